/** What a storm needs of the nodes it rages on: one after the other over a file, or several at once over a database. */
import { NodeError, NodeGone } from "../e2e/support/engine-process.ts";
import type { EngineProcess } from "../e2e/support/engine-process.ts";
import type { Books } from "./books.ts";

export interface Fleet {
  /** Kills of nodes so far. */
  readonly kills: number;
  /** What no node should ever say or do. */
  readonly problems: readonly string[];
  /** Asks a node, and another one if that does not live to answer: whatever is asked must be such that it can be asked twice. */
  ask<T>(question: (node: EngineProcess) => Promise<T>): Promise<T>;
  /** The same; `by`: who has answered, if nobody else was asked. */
  askWhom<T>(question: (node: EngineProcess) => Promise<T>): Promise<{ readonly value: T; readonly by?: object }>;
  /** One act of violence, after a while. */
  strike(): Promise<void>;
  /** Resolves when all is well again. */
  calm(): Promise<void>;
  /** Keeps letting go what waits for a person, until it is aborted. */
  attend(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
  /** When all nodes are closed: what transfers have written. */
  books(): Promise<Books>;
  /** When all nodes are closed: how to name the store to the command line. */
  readonly store: string;
  /** Whether the operating system let a node stand still in the middle of a call for longer than the call may take. */
  wasStill(node: string, atMs: number): boolean;
  /** What was done to them, for people. */
  told(): Promise<readonly string[]>;
  /** The store and what belongs to it goes. */
  dispose(): Promise<void>;
}

/** The node is no longer one, or for the moment; what it was asked it may have done or not. */
export function isLost(error: unknown): boolean {
  if (error instanceof NodeGone) return true;
  const codes = ["STORE_UNREACHABLE", "STORE_FENCED", "NODE_STANDING_BY", "ENGINE_CLOSED"];
  return error instanceof NodeError && codes.includes(error.code ?? "");
}

/** Operations that a node has said to be quarantined: what was running at five deaths waits for a person. */
export function quarantined(node: EngineProcess): { readonly pid: string; readonly number: number }[] {
  return node.notices.flatMap(({ kind, pid, message }) => {
    const number = Number(/^Operation (\d+)/.exec(message)?.[1] ?? 0);
    return kind === "operation-quarantined" && number > 0 ? { pid, number } : [];
  });
}

export function unexpected(node: EngineProcess): string[] {
  return node.notices.flatMap(({ kind, pid, message }) =>
    kind === "operation-quarantined" ? [] : `${kind} of ${pid}: ${message}`,
  );
}
