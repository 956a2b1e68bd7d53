import { hostname } from "node:os";
import { PerdureError } from "../base/errors.ts";
import type { KernelNotice } from "../kernel/ports.ts";
import type { NodeView } from "./node-view.ts";
import type { LogEntry } from "./options.ts";

export const defaultCloseTimeoutMs = 5_000;

/** Throws ARGUMENT_INVALID. */
export function nodeName(name: string = `${process.pid}@${hostname()}`): string {
  if (/^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u.test(name) && name.trim() === name) return name;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${JSON.stringify(name)} is no name for a node: it must be 1 to 100 printable characters, and no space at either end.`,
  );
}

export function printLog({ level, text }: LogEntry): void {
  const stream = level === "error" || level === "warn" ? process.stderr : process.stdout;
  stream.write(`${text}\n`);
}

export function printNotice({ pid, message }: KernelNotice): void {
  process.stderr.write(pid === "" ? `perdure: ${message}\n` : `perdure: process ${pid}: ${message}\n`);
}

/** A node that is active from the start has nothing to say. */
export function printNode({ state, message }: NodeView): void {
  if (state === "standing-by") process.stderr.write(`perdure: this node stands by: ${message}\n`);
  else if (state === "unreachable") process.stderr.write(`perdure: this node waits for the database: ${message}\n`);
}
