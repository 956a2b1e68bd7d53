/**
 * The part of the store port that moves a whole store to another place, of whatever kind.
 *
 * A migration is known by its id, which both stores remember by a **mark**. While the source has one, and while the target's says
 * `under-way`, no engine can own the store, and nobody outside can write to it; the target cannot even be read. In the end the source's
 * says `complete` first, then the target's: at no moment can both run. Marks outlive whoever put them: a migration that was
 * interrupted goes on from the progress that the target has recorded together with its rows.
 *
 * Rules every implementation keeps:
 * - `begin` is refused with STORE_IN_USE while an engine owns the store, and each later call of this mover with STORE_FENCED once another
 *   mover has begun.
 * - `fill` is atomic, and durable when its promise resolves. Called again with a progress that is recorded already, it changes nothing.
 * - `dump` hands out rows as they are, damaged or not.
 */
import type { StoreFault } from "../port.ts";
import type { Part, PartKey, PartRow } from "./parts.ts";

export const migrationRoles = ["source", "target"] as const;
export type MigrationRole = (typeof migrationRoles)[number];

export const markStates = ["under-way", "complete"] as const;

export interface Mark {
  /** Of the migration: the same in both stores. */
  readonly id: string;
  readonly role: MigrationRole;
  readonly state: (typeof markStates)[number];
  /** Where the other store is, as people know it: without a password. */
  readonly place: string;
  /** The id of the source, which the target takes over. */
  readonly store: string;
  /** When it began. */
  readonly atMs: number;
  /** Of a target: what was recorded last; "" before the first row. */
  readonly progress: string;
}

export type Marks = Partial<Readonly<Record<MigrationRole, Mark | undefined>>>;

/** What a store says of itself, beside its rows. */
export interface Account {
  readonly store: string;
  /** Of its last owner; 0 if there was none. The next one's is greater. */
  readonly incarnation: number;
  /** No process key up to this one is given again. */
  readonly lastKey: number;
  /** Total wall time without an owner, up to `aliveAtMs`, when the last one was alive. Undefined: there was none. */
  readonly downtimeMs: number;
  readonly aliveAtMs: number | undefined;
  /** Whether the last owner released the store in good order. */
  readonly clean: boolean;
  /** The last seqs that were given. */
  readonly seqs: Readonly<Record<SeqPart, number>>;
  /** Of a store that several nodes own. */
  readonly shards?: readonly { readonly shard: number; readonly clean: boolean }[];
}

export type SeqPart = "inbox" | "log" | "dead_letter";
export const seqParts: readonly SeqPart[] = ["inbox", "log", "dead_letter"];

/** A store as one end of a migration. */
export interface Mover {
  /** As people know it. */
  readonly place: string;
  /** Several nodes own it. */
  readonly shared: boolean;
  marks(): Promise<Marks>;
  /**
   * Takes the store, and puts the mark unless there is one of this migration already. Answers the one in force. `empty`: deletes all rows
   * before, and whatever mark of the same role there is.
   */
  begin(mark: Mark, nowMs: number, empty?: boolean): Promise<Mark>;
  account(): Promise<Account>;
  count(part: Part): Promise<number>;
  /** Rows after a key, in the order of the part; at most `rows`, and no more once they have `bytes` bytes. None: there are no more. */
  dump(part: Part, after: PartKey | undefined, limit: DumpLimit): Promise<PartRow[]>;
  /** Adds rows to a target, and records its progress. */
  fill(part: Part, rows: readonly PartRow[], progress: string): Promise<void>;
  /** Makes a target's account that of the source. */
  settle(account: Account): Promise<void>;
  complete(role: MigrationRole): Promise<void>;
  /** Takes the store, and the mark away, and with that of a target that is not complete all rows. */
  withdraw(role: MigrationRole): Promise<void>;
  audit(report: (fault: StoreFault) => void, step: (done: number, total: number) => void): Promise<void>;
  /** Tables beside Perdure's, which stay where they are. */
  foreignTables(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface DumpLimit {
  readonly rows: number;
  readonly bytes: number;
}
