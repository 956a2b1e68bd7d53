/** Simulated processes as real programs in QuickJS. One machine serves all runs of a thread: its image is made once. */
import { fileURLToPath } from "node:url";
import type {
  MachineEvents,
  QueryOutcome,
  QueryRequest,
  SnapshotResult,
  TurnOutcome,
  TurnRequest,
} from "../../src/machine/port.ts";
import type { ProcessKey } from "../../src/store/port.ts";
import { Machines } from "../conformance/otp/machines.ts";
import type { Share } from "../conformance/otp/machines.ts";
import type { Cores } from "./cores.ts";
import type { Standstill } from "./standstill.ts";

let opening: Promise<Machines> | undefined;

/** The machine of this thread. */
export function openMachines(): Promise<Machines> {
  opening ??= Machines.open(fileURLToPath(new URL("guest/program.ts", import.meta.url)));
  return opening;
}

export class QuickJsCores implements Cores {
  readonly #share: Share;
  readonly #standstill: Standstill;
  readonly #answers = new Map<ProcessKey, (outcome: TurnOutcome) => void>();
  #snapshot: SnapshotResult | undefined;

  constructor(machines: Machines, standstill: Standstill, failed: (error: Error) => void) {
    this.#standstill = standstill;
    const events: MachineEvents = {
      turns: (results) => {
        for (const { process, outcome } of results) {
          const answer = this.#answers.get(process);
          this.#answers.delete(process);
          answer?.(outcome);
        }
      },
      snapshots: (results) => (this.#snapshot = results[0]),
      failed,
    };
    this.#share = machines.share(events);
  }

  run(request: TurnRequest, answer: (outcome: TurnOutcome) => void): void {
    this.#answers.set(request.process, this.#standstill.await(answer));
    this.#share.run([request]);
  }

  query(request: QueryRequest, answer: (outcome: QueryOutcome) => void): void {
    void this.#share.query(request).then(this.#standstill.await(answer));
  }

  /** It comes at once. */
  snapshot(process: ProcessKey): Uint8Array {
    this.#snapshot = undefined;
    this.#share.snapshot(process);
    const result = this.#snapshot as SnapshotResult | undefined;
    if (result === undefined) throw new Error(`process ${process} is not there to take a snapshot of`);
    return result.body;
  }

  spoil(snapshot: Uint8Array): Uint8Array {
    // Not `slice`: a Buffer's shares its memory.
    const spoilt = new Uint8Array(snapshot);
    const index = snapshot.length >> 1;
    spoilt[index] = (spoilt[index] ?? 0) ^ 0x10;
    return spoilt;
  }

  drop(process: ProcessKey): void {
    this.#share.drop(process);
  }

  end(): void {
    this.#share.end();
  }
}
