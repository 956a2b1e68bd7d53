/** A disk that tells of everything that becomes durable, and may be tampered with. */
import type { Input } from "../../src/journal/types.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import type { CommitBatch, InboxRow, Lease, LogRow, ProcessKey, ProcessRow } from "../../src/store/port.ts";
import type { WatchedOwners } from "./cluster/owners.ts";

/** Who is told of everything that becomes durable, before anyone else can know. */
export interface DiskWatcher {
  complain(problem: string): void;
  claimed(countedMs: number, nowMs: number): void;
  before(batch: CommitBatch): void;
  after(batch: CommitBatch, seqs: readonly number[]): void;
  refused(error: Error): void;
  /** An input from outside any commit. */
  put(key: ProcessKey, input: Input, seq: number): void;
}

export class WatchedDisk extends MemoryDisk {
  ledger: DiskWatcher | undefined;
  lease: Lease | undefined;
  /** What clocks showed when the last owner came to its end. */
  endedAtMs: number | undefined;
  /** The last owner stopped because of a failure. */
  gaveUp = false;
  /** Changes commits on their way to the disk, to see whether anybody notices. */
  sabotage: ((batch: CommitBatch, disk: WatchedDisk) => CommitBatch) | undefined;
  /** Changes what is handed out of what was posted. */
  posting: ((rows: InboxRow[]) => InboxRow[]) | undefined;
  /** Everything that was ever printed, pruned or not. */
  readonly printed: LogRow[] = [];
  /** Where several nodes own it. */
  readonly owners: WatchedOwners | undefined;
  #applying = false;

  constructor(id: string, owners?: WatchedOwners) {
    super(id, owners);
    this.owners = owners;
  }

  override claim(owner: object, nowMs: number): Lease {
    const before = this.lease;
    this.lease = super.claim(owner, nowMs);
    if (this.gaveUp && this.lease.cleanShutdown)
      this.ledger?.complain("a node that failed left the store as if it had closed");
    this.gaveUp = false;
    if (before !== undefined) this.ledger?.claimed(this.lease.downtimeMs - before.downtimeMs, nowMs);
    return this.lease;
  }

  /** From now on the turn fails its checksum. */
  rot(key: ProcessKey, turn: number): void {
    this.record(key).turns[turn - 1] = undefined;
  }

  override apply(given: CommitBatch, incarnation = 0): number[] {
    const batch = this.sabotage?.(given, this) ?? given;
    const born = (process: ProcessKey): ProcessRow | undefined =>
      batch.newProcesses?.find(({ key }) => key === process) ?? this.processes.get(process)?.row;
    if (batch.turns !== undefined) this.owners?.checkMayWrite(batch, born);
    this.ledger?.before(batch);
    let seqs: number[];
    this.#applying = true;
    try {
      seqs = super.apply(batch, incarnation);
    } catch (error) {
      this.ledger?.refused(error as Error);
      throw error;
    } finally {
      this.#applying = false;
    }
    for (const row of batch.logs ?? []) this.printed.push({ seq: this.printed.length + 1, ...row });
    this.ledger?.after(batch, seqs);
    return seqs;
  }

  override inboxAfter(...given: Parameters<MemoryDisk["inboxAfter"]>): InboxRow[] {
    const rows = super.inboxAfter(...given);
    return this.posting?.(rows) ?? rows;
  }

  override putInput(row: Omit<InboxRow, "seq">): number {
    const seq = super.putInput(row);
    if (!this.#applying) this.ledger?.put(row.process, row.input, seq);
    return seq;
  }
}
