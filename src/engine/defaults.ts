import type { KernelNotice } from "../kernel/ports.ts";
import type { LogEntry } from "./options.ts";

export const defaultCloseTimeoutMs = 5_000;

export function printLog({ level, text }: LogEntry): void {
  const stream = level === "error" || level === "warn" ? process.stderr : process.stdout;
  stream.write(`${text}\n`);
}

export function printNotice({ pid, message }: KernelNotice): void {
  process.stderr.write(`perdure: process ${pid}: ${message}\n`);
}
