/**
 * Moves a store to another place: takes both, copies part by part, compares all of it, and hands over. Whatever interrupts it, the same
 * call goes on: all that it knows is in the marks.
 */
import { PerdureError } from "../../base/errors.ts";
import type { StoreFault } from "../port.ts";
import { keyOf, parts } from "./parts.ts";
import type { Part, PartKey, PartName, PartRow } from "./parts.ts";
import type { Account, Mark, Mover } from "./port.ts";
import { seqParts } from "./port.ts";
import { asSole, isDamaged, RowDigest } from "./rows.ts";
import { planMigration } from "./plan.ts";
import type { Plan } from "./plan.ts";

export interface MigrateOptions {
  /** For a migration that begins: its id, random. */
  readonly id: string;
  readonly nowMs: number;
  readonly progress?: (progress: MigrateProgress) => void;
  /** Of each batch, at most. Default 2,000 rows, 4 MiB. */
  readonly batch?: { readonly rows: number; readonly bytes: number };
}

export interface MigrateProgress {
  /** Of the whole: from 0 to 1. */
  readonly share: number;
  readonly doing: "copying" | "comparing" | "checking";
  readonly part: PartName;
  readonly rows: number;
}

export interface MigrateReport {
  /** `already`: it was complete before, and nothing was done. */
  readonly outcome: "complete" | "already";
  /** It goes on with what an earlier call had begun. */
  readonly resumed: boolean;
  /** How many rows of each part were compared; the parts without any are left out. */
  readonly compared: Readonly<Partial<Record<PartName, number>>>;
  readonly rows: number;
  readonly bytes: number;
  /** Rows that were damaged in the source, and so are in the target. */
  readonly damaged: number;
  /** What else the target's audit found. It was so in the source: all rows are the same. */
  readonly faults: readonly StoreFault[];
  /** Tables beside Perdure's that stay where they are. */
  readonly foreignTables: readonly string[];
}

const defaultBatch = { rows: 2_000, bytes: 4 * 2 ** 20 };
/** Of the whole. */
const copyShare = 0.5;
const compareShare = 0.45;

/** Throws ARGUMENT_INVALID, STORE_IN_USE, STORE_MOVED, STORE_INCOMPLETE, MIGRATION_FAILED, and what the stores throw. */
export async function migrate(source: Mover, target: Mover, options: MigrateOptions): Promise<MigrateReport> {
  return await new Migration(source, target, options).run();
}

interface Done {
  readonly part: number;
  readonly after: PartKey | null;
}

class Migration {
  readonly #source: Mover;
  readonly #target: Mover;
  readonly #options: MigrateOptions;
  /** How many rows there are in all; and how many of them have gone by, in this step. */
  #total = 0;
  #seen = 0;
  #resumed = false;

  constructor(source: Mover, target: Mover, options: MigrateOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  async run(): Promise<MigrateReport> {
    const plan = await planMigration(this.#source, this.#target, this.#options);
    const foreignTables = await this.#source.foreignTables();
    const nothing = { rows: 0, bytes: 0, damaged: 0, compared: {}, faults: [], foreignTables };
    if (plan.kind === "complete") return { outcome: "already", resumed: false, ...nothing };
    this.#resumed = plan.resumes;
    const mark = await this.#begin(plan);
    const account = await this.#source.account();
    for (const part of parts) this.#total += await this.#source.count(part);
    await this.#copy(mark);
    await this.#target.settle(account);
    const compared = await this.#compare(account);
    const faults = await this.#audit();
    // From here on there is no way back. In between neither runs.
    await this.#source.complete("source");
    await this.#target.complete("target");
    return { outcome: "complete", resumed: this.#resumed, ...compared, faults, foreignTables };
  }

  /** Takes both. Answers what the target knows. */
  async #begin({ source, target, resumes }: Extract<Plan, { kind: "go" }>): Promise<Mark> {
    const { nowMs } = this.#options;
    if (resumes) {
      await this.#source.begin(source, nowMs);
      return await this.#target.begin(target, nowMs);
    }
    // As long as the source has no mark, it can be used, and nothing has been copied.
    const mark = await this.#target.begin(target, nowMs, true);
    try {
      await this.#source.begin(source, nowMs);
    } catch (error) {
      // If that fails too, the next call finds that nothing has come.
      await this.#target.withdraw("target").catch(() => undefined);
      throw error;
    }
    return mark;
  }

  get #limit(): { readonly rows: number; readonly bytes: number } {
    return this.#options.batch ?? defaultBatch;
  }

  #progress(doing: MigrateProgress["doing"], part: Part, rows: number): void {
    this.#seen += rows;
    const done = Math.min(1, this.#seen / Math.max(1, this.#total));
    const share =
      doing === "copying"
        ? done * copyShare
        : doing === "comparing"
          ? copyShare + done * compareShare
          : 1 - (1 - done) * 0.05;
    this.#options.progress?.({ share, doing, part: part.name, rows: this.#seen });
  }

  // -- copying ----------------------------------------------------------------------------------------------------

  async #copy({ progress }: Mark): Promise<void> {
    const done: Done = progress === "" ? { part: 0, after: null } : (JSON.parse(progress) as Done);
    for (const [index, part] of parts.entries()) {
      if (index < done.part) this.#progress("copying", part, await this.#source.count(part));
      else await this.#copyPart(part, index, index === done.part ? (done.after ?? undefined) : undefined);
    }
    this.#seen = 0;
  }

  async #copyPart(part: Part, index: number, after: PartKey | undefined): Promise<void> {
    // One batch is read while the one before it is written.
    for (let next = this.#read(part, after); ;) {
      const rows = await next;
      const last = rows.at(-1);
      if (last === undefined) return;
      const key = keyOf(part, last);
      next = this.#read(part, key);
      const done: Done = { part: index, after: key };
      await this.#target.fill(
        part,
        rows.map((row) => this.#adapted(part, row)),
        JSON.stringify(done),
      );
      this.#progress("copying", part, rows.length);
    }
  }

  #read(part: Part, after: PartKey | undefined): Promise<PartRow[]> {
    const rows = this.#source.dump(part, after, this.#limit);
    // If writing fails meanwhile, that is what is told.
    rows.catch(() => undefined);
    return rows;
  }

  /** A row of the source as the target keeps it. */
  #adapted(part: Part, row: PartRow): PartRow {
    return this.#target.shared ? row : asSole(part, row);
  }

  // -- comparing --------------------------------------------------------------------------------------------------

  async #compare(account: Account): Promise<Pick<MigrateReport, "compared" | "rows" | "bytes" | "damaged">> {
    const compared: Partial<Record<PartName, number>> = {};
    const sum = { rows: 0, bytes: 0, damaged: 0 };
    for (const part of parts) {
      const [before, after] = await Promise.all([this.#digest(this.#source, part), this.#digest(this.#target, part)]);
      if (before.digest.hex !== after.digest.hex || before.digest.rows !== after.digest.rows)
        throw this.#differs(
          `of the table ${part.name}, ${before.digest.rows} rows were to come and ${after.digest.rows} are there, or their contents differ`,
        );
      const { rows, bytes } = before.digest;
      if (rows > 0) compared[part.name] = rows;
      sum.rows += rows;
      sum.bytes += bytes;
      sum.damaged += before.damaged;
    }
    this.#seen = 0;
    const settled = await this.#target.account();
    const problem = accountProblem(account, settled);
    if (problem !== undefined) throw this.#differs(problem);
    return { compared, ...sum };
  }

  async #digest(mover: Mover, part: Part): Promise<{ readonly digest: RowDigest; readonly damaged: number }> {
    const isSource = mover === this.#source;
    const both = this.#source.shared && this.#target.shared;
    const digest = new RowDigest();
    let damaged = 0;
    for (let after: PartKey | undefined; ;) {
      const rows = await mover.dump(part, after, this.#limit);
      const last = rows.at(-1);
      if (last === undefined) return { digest, damaged };
      after = keyOf(part, last);
      for (const row of rows) {
        // What only one of them has is not compared: the target has made it up, or left it.
        digest.add(part, both ? row : asSole(part, row));
        if (isSource && isDamaged(part, row)) damaged++;
      }
      if (isSource) this.#progress("comparing", part, rows.length);
    }
  }

  #differs(detail: string): PerdureError {
    const [from, to] = [this.#source.place, this.#target.place];
    return new PerdureError(
      "MIGRATION_FAILED",
      `${to} does not hold what ${from} holds: ${detail}. Nothing can run from ${to}. Give this migration up with --abandon: then ${from} goes on as it is.`,
      { details: { from, to } },
    );
  }

  // -- the store's own audit --------------------------------------------------------------------------------------

  async #audit(): Promise<StoreFault[]> {
    const last = parts.at(-1);
    const faults: StoreFault[] = [];
    await this.#target.audit(
      (fault) => faults.push(fault),
      (done, total) => {
        this.#seen = (done / total) * this.#total;
        if (last !== undefined) this.#progress("checking", last, 0);
      },
    );
    // Whatever follows from the rows was so before: they are the same.
    const own = faults.find(({ rule }) => rule === "file" || rule === "journal-index");
    if (own !== undefined) throw this.#differs(`${own.detail} (${own.rule})`);
    return faults;
  }
}

function accountProblem(before: Account, after: Account): string | undefined {
  if (before.store !== after.store) return `its id is ${after.store}, not ${before.store}`;
  if (before.downtimeMs !== after.downtimeMs || before.aliveAtMs !== after.aliveAtMs)
    return `its time account says ${after.downtimeMs} ms without an owner up to ${after.aliveAtMs}, not ${before.downtimeMs} ms up to ${before.aliveAtMs}`;
  if (before.clean !== after.clean) return "it says otherwise whether its last owner stopped in good order";
  if (after.incarnation < before.incarnation || after.lastKey < before.lastKey)
    return "it would give process keys a second time";
  const seq = seqParts.find((part) => after.seqs[part] < before.seqs[part]);
  return seq === undefined ? undefined : `it would give numbers of the table ${seq} a second time`;
}
