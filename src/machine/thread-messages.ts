import type { ProcessKey } from "../journal/types.ts";
import type { LocalMachineOptions } from "./local.ts";
import type { QueryOutcome, QueryRequest, SnapshotResult, TurnRequest, TurnResult } from "./port.ts";

export type GuestThreadOptions = Pick<LocalMachineOptions, "fuelInterrupts" | "limits" | "pool">;

export interface GuestThreadData {
  readonly engine: Uint8Array;
  /** See `pulseSlot`. */
  readonly pulse: SharedArrayBuffer;
  readonly options: GuestThreadOptions;
}

export type ToThread =
  | { readonly kind: "run"; readonly requests: readonly TurnRequest[] }
  /** The same, see `thread-text.ts`. */
  | { readonly kind: "run-text"; readonly text: string }
  | { readonly kind: "query"; readonly request: QueryRequest }
  | { readonly kind: "snapshot" | "kill" | "drop"; readonly process: ProcessKey }
  /** The thread ends itself, at a moment when that is safe. */
  | { readonly kind: "close" }
  | { readonly kind: "answer"; readonly subject: string; readonly value: unknown }
  | { readonly kind: "refusal"; readonly subject: string; readonly message: string };

export type FromThread =
  | { readonly kind: "turns"; readonly results: readonly TurnResult[] }
  | { readonly kind: "turns-text"; readonly text: string }
  | { readonly kind: "snapshots"; readonly results: readonly SnapshotResult[] }
  | { readonly kind: "query"; readonly id: number; readonly outcome: QueryOutcome }
  | { readonly kind: "need-source" | "need-image"; readonly subject: string }
  | { readonly kind: "save-image"; readonly key: string; readonly encoded: Uint8Array };
