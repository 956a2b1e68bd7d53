/** Between a test and its nodes. */
import type { KernelNotice, LogEntry, NodeView } from "perdure/engine";

export interface Request {
  readonly id: number;
  readonly method: "start" | "result" | "send" | "cancel" | "status" | "retryOperation" | "move";
  readonly args: readonly unknown[];
}

/** An error, as it crosses a process border. */
export interface Described {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: Described;
}

export type Told =
  | { readonly kind: "opened" }
  | { readonly kind: "answer"; readonly id: number; readonly value?: unknown; readonly error?: Described }
  | { readonly kind: "log"; readonly log: LogEntry }
  | { readonly kind: "notice"; readonly notice: KernelNotice }
  | { readonly kind: "node"; readonly node: NodeView }
  | { readonly kind: "failed"; readonly error: Described };

export function describe(error: unknown): Described {
  if (!(error instanceof Error)) return { name: "thrown", message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    ...("code" in error ? { code: String(error.code) } : {}),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause: describe(cause) }),
  };
}
