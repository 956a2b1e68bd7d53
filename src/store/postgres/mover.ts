/** A store on PostgreSQL as one end of a migration: see `../migration/port.ts`. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { pid } from "node:process";
import { PerdureError } from "../../base/errors.ts";
import { number, text } from "../columns.ts";
import { parts } from "../migration/parts.ts";
import type { Part, PartKey, PartRow } from "../migration/parts.ts";
import { seqParts } from "../migration/port.ts";
import type { Account, DumpLimit, Mark, Marks, MigrationRole, Mover, SeqPart } from "../migration/port.ts";
import { describeOwner } from "../nodes.ts";
import type { StoreFault } from "../port.ts";
import { audit } from "./audit.ts";
import { filling, PartReader, ShardChooser } from "./parts/whole.ts";
import { keysOfIncarnation, lockStore, takeStock } from "./lease.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { readMarks } from "./marks.ts";
import { listNodes } from "./nodes.ts";
import { raised, readRefusal } from "./parts/raise.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Result, Statement, Step } from "./wire/session.ts";

// Whoever writes leaves a receipt: this waits for those who are about to, and those who come later see the mark.
const lockWriters = statement("LOCK TABLE ~.receipt IN SHARE MODE");
const checkFree = statement(
  `SELECT ${raised("owned", "0", "0", "0", "count(*)")} FROM ~.node
   WHERE state = 'live' AND expires_at > clock_timestamp() HAVING count(*) > 0`,
);
// What comes late over a connection that was lost must not begin a second time: everything may be there by then.
const checkNew = statement(
  `SELECT ${raised("stale", "0", "0", "0", "count(*)")} FROM ~.migration WHERE role = $1 AND run = $2 HAVING count(*) > 0`,
  "text",
  "text",
);
const deleteMark = statement("DELETE FROM ~.migration WHERE role = $1", "text");
const putMark = statement(
  `INSERT INTO ~.migration AS m (role, id, state, place, store_id, at_ms, progress, run) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
   ON CONFLICT (role) DO UPDATE SET run = excluded.run WHERE m.id = excluded.id`,
  ...(["text", "text", "text", "text", "text", "int8", "text", "text"] as const),
);
const stale = `SELECT ${raised("stale", "0", "0", "0", "count(*)")} FROM own HAVING count(*) = 0`;
const checkRun = statement(
  `WITH own AS (SELECT 1 AS one FROM ~.migration WHERE role = $1 AND run = $2 FOR SHARE) ${stale}`,
  "text",
  "text",
);
const advance = statement(
  `WITH own AS (UPDATE ~.migration SET progress = $2 WHERE role = 'target' AND state = 'under-way' AND run = $1 AND progress = $3
     RETURNING 1 AS one) ${stale}`,
  ...(["text", "text", "text"] as const),
);
const finish = statement(
  `WITH own AS (UPDATE ~.migration SET state = 'complete' WHERE role = $1 AND run = $2 RETURNING 1 AS one) ${stale}`,
  "text",
  "text",
);
const checkIncomplete = statement(
  `SELECT ${raised("stale", "0", "0", "0", "count(*)")} FROM ~.migration WHERE role = 'target' AND state = 'complete' HAVING count(*) > 0`,
);
const empty = statement(`TRUNCATE ${parts.map(({ name }) => `~.${name}`).join(", ")}`);
const renew = statement("UPDATE ~.meta SET store_id = $1", "text");

const readAccount = statement(
  `SELECT store_id, downtime_ms, (SELECT coalesce(max(incarnation), 0) FROM ~.node) AS incarnation,
     (SELECT max(alive_at_ms) FROM ~.node) AS alive_at_ms FROM ~.meta`,
);
const readShards = statement("SELECT shard, clean FROM ~.shard ORDER BY shard");
const lastSeq = statement(
  "SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence($1, 'seq') AS regclass)), 0) AS seq",
  "text",
);
const setSeq = statement(
  "SELECT setval(CAST(pg_get_serial_sequence($1, 'seq') AS regclass), greatest($2, 1), $2 > 0) AS seq",
  "text",
  "int8",
);

const setMeta = statement("UPDATE ~.meta SET store_id = $1, downtime_ms = $2", "text", "int8");
const volatile = ["node", "receipt", "reserved", "standby", "handover", "handover_part"];
const forgetVolatile: readonly Statement[] = volatile.map((table) => statement(`DELETE FROM ~.${table}`));
const putNode = statement(
  `INSERT INTO ~.node (incarnation, token, state, session, lease_ms, expires_at, host, os_pid, downtime_ms, started_at_ms, alive_at_ms,
     alive_number, about, load) VALUES ($1, $2, 'released', 1, $3, clock_timestamp(), $4, $5, $6, $7, $7, -1, '', 0)`,
  ...(["int8", "text", "int8", "text", "int8", "int8", "int8"] as const),
);
const setClean = statement("UPDATE ~.shard SET owner = 0, posted = 0, clean = $1", "int8");
const dropShards = statement("DELETE FROM ~.shard");
const putShards = statement(
  "INSERT INTO ~.shard (shard, owner, clean, posted) SELECT shard, 0, clean, 0 FROM unnest($1, $2) AS t (shard, clean)",
  "int8[]",
  "int8[]",
);

export class PostgresMover implements Mover {
  readonly place: string;
  readonly shared = true;
  readonly #line: Line;
  readonly #reader: PartReader;
  /** Of this mover: whoever begins after it has another one. */
  readonly #run = randomUUID();
  readonly #chooser: ShardChooser;
  /** What the target has recorded. */
  #progress = "";

  constructor(line: Line) {
    this.place = line.place.path;
    this.#line = line;
    this.#reader = new PartReader(line);
    this.#chooser = new ShardChooser(line);
  }

  async marks(): Promise<Marks> {
    return await this.#do("read", () => readMarks(this.#line));
  }

  async begin(mark: Mark, nowMs: number, isEmptied = false): Promise<Mark> {
    const { role, id, state, place, store, atMs, progress } = mark;
    const steps = [
      step(lockStore),
      step(checkNew, role, this.#run),
      step(lockWriters),
      step(checkFree),
      // Its last owners may have died: their shards are put in order as by whoever claims the store next.
      ...(role === "source" ? takeStock(nowMs) : []),
      ...(isEmptied ? [step(empty), step(renew, randomUUID()), step(deleteMark, role)] : []),
      step(putMark, role, id, state, place, store, atMs, progress, this.#run),
      step(checkRun, role, this.#run),
    ];
    try {
      await this.#write("begin to move", steps);
    } catch (error) {
      // The connection was lost when it was done.
      if (!isStale(error) || (await this.#line.get(ownMark, role, this.#run)) === undefined) throw error;
    }
    const found = (await this.marks())[role];
    if (found === undefined) throw this.#stale();
    this.#progress = found.progress;
    return found;
  }

  async account(): Promise<Account> {
    return await this.#do("read", async () => {
      const row = (await this.#line.get(readAccount)) ?? {};
      const shards = (await this.#line.all(readShards)).map((each) => ({
        shard: number(each, "shard"),
        clean: number(each, "clean") === 1,
      }));
      const incarnation = number(row, "incarnation");
      const seqs = { inbox: 0, log: 0, dead_letter: 0 };
      for (const part of seqParts) seqs[part] = number((await this.#line.get(lastSeq, this.#table(part))) ?? {}, "seq");
      return {
        store: text(row, "store_id"),
        incarnation,
        lastKey: incarnation === 0 ? 0 : (incarnation + 1) * keysOfIncarnation - 1,
        downtimeMs: number(row, "downtime_ms"),
        aliveAtMs: row["alive_at_ms"] === null ? undefined : number(row, "alive_at_ms"),
        clean: shards.every(({ clean }) => clean),
        seqs,
        shards,
      };
    });
  }

  async count(part: Part): Promise<number> {
    return await this.#do("read", () => this.#reader.count(part));
  }

  async dump(part: Part, after: PartKey | undefined, limit: DumpLimit): Promise<PartRow[]> {
    return await this.#do("read", () => this.#reader.dump(part, after, limit));
  }

  async fill(part: Part, rows: readonly PartRow[], progress: string): Promise<void> {
    const before = this.#progress;
    if (before === progress) return;
    const placed = part.name === "process" ? await this.#chooser.placed(rows) : rows;
    try {
      await this.#write("fill", [step(advance, this.#run, progress, before), ...filling(part, placed)]);
    } catch (error) {
      // The connection was lost when it was done.
      if (!(await this.#hasRecorded(error, progress))) throw error;
    }
    this.#progress = progress;
  }

  async #hasRecorded(error: unknown, progress: string): Promise<boolean> {
    const row = isStale(error) ? await this.#line.get(ownMark, "target", this.#run) : undefined;
    return row !== undefined && text(row, "progress") === progress;
  }

  async settle(account: Account): Promise<void> {
    const { store, downtimeMs, aliveAtMs, shards, clean } = account;
    // The next one begins beyond all keys there are.
    const incarnation = Math.max(account.incarnation, Math.floor(account.lastKey / keysOfIncarnation));
    const node = [incarnation, randomUUID(), this.#line.options.leaseMs, hostname(), pid, downtimeMs] as const;
    await this.#write("fill", [
      step(checkRun, "target", this.#run),
      step(setMeta, store, downtimeMs),
      ...forgetVolatile.map((each) => step(each)),
      ...(aliveAtMs === undefined ? [] : [step(putNode, ...node, aliveAtMs)]),
      ...(shards === undefined
        ? [step(setClean, clean ? 1 : 0)]
        : [
            step(dropShards),
            step(
              putShards,
              shards.map(({ shard }) => shard),
              shards.map((each) => (each.clean ? 1 : 0)),
            ),
          ]),
      ...seqParts.map((part) => step(setSeq, this.#table(part), account.seqs[part])),
    ]);
  }

  async complete(role: MigrationRole): Promise<void> {
    await this.#write("hand over", [step(finish, role, this.#run)]);
  }

  async withdraw(role: MigrationRole): Promise<void> {
    const emptying = [step(checkIncomplete), step(empty), step(renew, randomUUID())];
    await this.#write("give up the migration of", [
      step(lockStore),
      step(lockWriters),
      step(checkFree),
      ...(role === "target" ? emptying : []),
      step(deleteMark, role),
    ]);
  }

  async audit(report: (fault: StoreFault) => void, done: (done: number, total: number) => void): Promise<void> {
    await this.#do("read", () => audit(this.#line, report, done));
  }

  /** The schema holds nothing else. What lies in others is not known here. */
  foreignTables(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    this.#line.close();
    return Promise.resolve();
  }

  #table(part: SeqPart): string {
    return `"${this.#line.options.schema.replaceAll('"', '""')}".${part}`;
  }

  async #write(doing: string, steps: readonly Step[]): Promise<readonly Result[]> {
    return await this.#do(doing, () =>
      this.#line.retrying(doing, async () => {
        const session = await this.#line.reader();
        return await session.transact([settings(session, this.#line.options.statementTimeoutMs), ...steps]);
      }),
    );
  }

  /** `doing` completes "Cannot … the store". */
  async #do<T>(doing: string, work: () => Promise<T>): Promise<T> {
    this.#line.check(doing);
    try {
      return await work();
    } catch (error) {
      const refusal = error instanceof ServerError ? readRefusal(error) : undefined;
      if (refusal?.kind === "stale") throw this.#stale(error);
      if (refusal?.kind === "owned") throw await this.#inUse(error);
      throw this.#line.error(doing, error);
    }
  }

  #stale(cause?: unknown): PerdureError {
    return new PerdureError(
      "STORE_FENCED",
      `The migration of the store ${this.place} was taken over by another command, given up, or completed. Nothing of this write was kept.`,
      { cause, details: { path: this.place } },
    );
  }

  async #inUse(cause: unknown): Promise<PerdureError> {
    // Whoever has not given its name is not listed.
    const [row] = await listNodes(this.#line, 0).catch(() => []);
    const owner = describeOwner(row?.name, row?.pid, row?.host);
    return new PerdureError(
      "STORE_IN_USE",
      `The store ${this.place} is owned by ${owner}. Stop all of its nodes first; one that was killed is gone when its lease has run out.`,
      { cause, details: { path: this.place, owner } },
    );
  }
}

const ownMark = statement("SELECT progress FROM ~.migration WHERE role = $1 AND run = $2", "text", "text");

function isStale(error: unknown): boolean {
  const cause = error instanceof PerdureError ? error.cause : undefined;
  return cause instanceof ServerError && readRefusal(cause)?.kind === "stale";
}
