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
import { hideFunctionsOfFrames } from "./frames.ts";
import { installGlobals } from "./globals.ts";

const globals = globalThis as unknown as Record<string, unknown>;

connect(globals["__emit"] as Emit);
delete globals["__emit"];
installGlobals(globals);
hideFunctionsOfFrames();
Object.defineProperty(globals, "__perdure", { value: { api, operation }, configurable: true });
globals["__dispatch"] = dispatch;
