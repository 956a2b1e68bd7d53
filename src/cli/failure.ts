/** How a command fails: one clear message, an exit code, and under `--json` a document. */
import { isPerdureError, PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { formatGuestError } from "./guest-error.ts";
import { toJson } from "./json-value.ts";
import type { Json } from "./json-value.ts";
import type { Terminal } from "./terminal.ts";

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unfinished: 3,
  engine: 70,
  interrupted: 130,
  closedPipe: 141,
  terminated: 143,
} as const;

const usageCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ARGUMENT_INVALID",
  "CONFIG_INVALID",
  "DURATION_INVALID",
]);
const engineCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ENGINE_FAILED",
  "ENGINE_BINARY",
  "ENGINE_CLOSED",
  "GUEST_THREAD_FAILED",
  "STORE_FENCED",
  "STORE_FAILED",
  "STORE_FULL",
  "STORE_UNREACHABLE",
]);

/** Failed while a node was running: what is wrong is the node, whatever the code. */
export class NodeFailure extends Error {
  override readonly cause: unknown;
  constructor(cause: unknown) {
    super("the node stopped");
    this.cause = cause;
  }
}

export interface Failure {
  readonly exitCode: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly error: unknown;
}

export function failureOf(thrown: unknown): Failure {
  const error = thrown instanceof NodeFailure ? thrown.cause : thrown;
  if (!isPerdureError(error)) {
    const message = `Perdure itself failed: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}. Set PERDURE_DEBUG=1 to see where.`;
    return { exitCode: exitCodes.engine, code: "ENGINE_FAILED", message, details: {}, error };
  }
  const { code, message, details } = error;
  const exitCode =
    thrown instanceof NodeFailure || engineCodes.has(code)
      ? exitCodes.engine
      : usageCodes.has(code)
        ? exitCodes.usage
        : exitCodes.failed;
  return { exitCode, code, message, details, error };
}

export function failureDocument({ code, message, details }: Failure): Json {
  return { error: { code, message, details: toJson(details) } };
}

/** Prints the failure and returns the exit code. */
export function reportFailure(thrown: unknown, terminal: Terminal, json: boolean): number {
  const failure = failureOf(thrown);
  printFailure(failure, terminal);
  if (json) terminal.print(JSON.stringify(failureDocument(failure)));
  return failure.exitCode;
}

export function printFailure({ code, message, error }: Failure, terminal: Terminal): void {
  const { err } = terminal;
  terminal.note(`${err.red("perdure:")} ${err.bold(code)}: ${message}`);
  const cause = error instanceof Error ? error.cause : undefined;
  // The cause of a process's end is the program's own error, and its stack is what the user needs; other causes are ours.
  if (isProcessEnd(code) && cause instanceof Error) {
    const text = formatGuestError(cause, { withoutHead: true, dim: err.dim });
    if (text !== "") terminal.note(text);
  }
  if ((process.env["PERDURE_DEBUG"] ?? "") !== "" && error instanceof Error) {
    terminal.note(err.dim(error.stack ?? ""));
    if (cause !== undefined) terminal.note(err.dim(`caused by ${formatGuestError(cause)}`));
  }
}

function isProcessEnd(code: ErrorCode): boolean {
  return code === "PROCESS_FAILED" || code === "PROCESS_CANCELLED" || code === "PROCESS_KILLED";
}

export function usageError(message: string): PerdureError {
  return new PerdureError("ARGUMENT_INVALID", message);
}
