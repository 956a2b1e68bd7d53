/**
 * What every process image begins with. Evaluated as a script that leaves `dispatch` in a global, before any user code:
 * the machine takes that function and the global away, and nothing else of this is reachable from a program but the globals,
 * and `__perdure`, which the program's bundle takes away as its first act.
 */
import * as api from "../api.ts";
import { operation } from "../operation.ts";
import { connect } from "../runtime.ts";
import type { Emit } from "../runtime.ts";
import { dispatch } from "./core.ts";
import { installGlobals } from "./globals.ts";

declare const globalThis: Record<string, unknown>;

const hostEmit = globalThis["__emit"] as (
  kind: number,
  number: number,
  a: string,
  b: string,
  ...chunks: ArrayBuffer[]
) => void;
delete globalThis["__emit"];

const emit: Emit = (kind, number, a, b, ...chunks) => {
  if (chunks.length === 0) return hostEmit(kind, number, a, b);
  // The border takes whole buffers: a view of a larger one is copied out of it.
  return hostEmit(kind, number, a, b, ...chunks.map((chunk) => chunk.slice().buffer as ArrayBuffer));
};

connect(emit);
installGlobals(globalThis);
Object.defineProperty(globalThis, "__perdure", { value: { api, operation }, configurable: true });
globalThis["__dispatch"] = dispatch;
