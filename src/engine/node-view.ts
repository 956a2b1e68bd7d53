/** A node as it sees itself. */
export type NodeState =
  /** It owns the store and runs the processes in it. */
  | "active"
  /** Another node owns the store: this one takes over as soon as that one is gone. */
  | "standing-by"
  /** It cannot reach the database, and goes on when it can. */
  | "unreachable"
  /** It was closed, or has failed. */
  | "stopped";

export interface NodeView {
  readonly state: NodeState;
  readonly sinceMs: number;
  /** Of an active one: grows with every claim of the store. */
  readonly incarnation?: number;
  /** Why it is not active, in a sentence; "" if it is. */
  readonly message: string;
}
