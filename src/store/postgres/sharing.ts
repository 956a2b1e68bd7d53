/** What a handle does to own a store together with others: see `../sharing.ts` and `schema.ts`. */
import type { Pid } from "../../journal/types.ts";
import { number, text } from "../columns.ts";
import { encodeAbout } from "../nodes.ts";
import type { Announcement } from "../nodes.ts";
import type { AcquiredShard, InboxRow, ProcessKey, ShardRow, Sharing } from "../port.ts";
import { receipt } from "./commit.ts";
import type { Hints } from "./hints.ts";
import { liveNodes, reap } from "./lease.ts";
import type { Line } from "./line.ts";
import type { Owner } from "./parts/locks.ts";
import { queries } from "./queries.ts";
import { readPosted } from "./reads.ts";
import { Reserved } from "./reserved.ts";
import { statement, step } from "./wire/session.ts";
import type { Write } from "./writer.ts";

export interface SharingParts {
  readonly line: Line;
  readonly hints: Hints;
  /** Of the last claim; 0 before the first. */
  incarnation(): number;
  write<T>(write: Write<T>): Promise<T>;
  read<T>(read: () => Promise<T>): Promise<T>;
}

const acquireShards = statement(
  `WITH free AS (SELECT shard, clean FROM ~.shard WHERE shard = ANY ($3) AND owner = 0 ORDER BY shard FOR UPDATE),
     own AS (UPDATE ~.shard AS s SET owner = $1 FROM free WHERE s.shard = free.shard RETURNING s.shard, free.clean, s.posted)
   INSERT INTO ~.receipt (incarnation, number, put)
   SELECT $1, $2, (SELECT string_agg(CAST(shard AS text) || ' ' || CAST(clean AS text) || ' ' || CAST(posted AS text), ',' ORDER BY shard) FROM own)
   RETURNING put, gone`,
  ...(["int8", "int8", "int8[]"] as const),
);
const takeName = statement(
  `WITH taken AS (INSERT INTO ~.name (name, process) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1)
   UPDATE ~.change SET names = names + 1 WHERE EXISTS (SELECT 1 FROM taken)`,
  "text",
  "int8",
);
const tellHolder = statement(
  `INSERT INTO ~.receipt (incarnation, number, put)
   SELECT $1, $2, (SELECT CAST(process AS text) FROM ~.name WHERE name = $3) RETURNING put, gone`,
  ...(["int8", "int8", "text"] as const),
);
const announce = statement("UPDATE ~.node SET about = $2, load = $3 WHERE incarnation = $1", "int8", "text", "int8");

type Receipt = Write<unknown>["receipt"];

export class PostgresSharing implements Sharing {
  readonly #parts: SharingParts;
  readonly #reserved: Reserved;
  readonly #returning: Reserved;
  /** Of own shards: the number of the last row that was handed out. */
  readonly #cursors = new Map<number, number>();
  /** Shards that a commit under way gives up. */
  readonly #leaving = new Set<number>();
  #names = -1;
  #reading: Promise<unknown> = Promise.resolve();
  #stopListening: (() => void) | undefined;

  constructor(parts: SharingParts) {
    this.#parts = parts;
    this.#reserved = new Reserved(parts, ["process", "tombstone", "exported"]);
    this.#returning = new Reserved(parts, ["process", "tombstone"]);
  }

  /** As a commit needs to know it that is made now. */
  get owner(): Owner {
    const shards = [...this.#cursors.keys()].filter((shard) => !this.#leaving.has(shard));
    return { incarnation: this.#parts.incarnation(), shards, channel: this.#parts.hints.channel };
  }

  /** Nothing is owned any more. */
  forget(): void {
    this.#cursors.clear();
    this.#leaving.clear();
  }

  /** `write` gives these shards up. */
  async yielding<T>(shards: readonly number[], write: () => Promise<T>): Promise<T> {
    const work = write();
    for (const shard of shards) this.#leaving.add(shard);
    try {
      const result = await work;
      for (const shard of shards) this.#cursors.delete(shard);
      return result;
    } finally {
      for (const shard of shards) this.#leaving.delete(shard);
    }
  }

  shards(): Promise<ShardRow[]> {
    return this.#parts.read(async () =>
      (await this.#parts.line.all(queries.shards)).map((row) => ({
        shard: number(row, "shard"),
        owner: number(row, "owner"),
      })),
    );
  }

  incarnations(): Promise<number[]> {
    return this.#parts.read(async () =>
      (await this.#parts.line.all(liveNodes)).map((row) => number(row, "incarnation")),
    );
  }

  reap(nowMs: number): Promise<number[]> {
    return this.#parts.read(() => reap(this.#parts.line, this.#parts.incarnation(), nowMs));
  }

  async posted(limit: number): Promise<InboxRow[]> {
    // One after the other, lest a row be handed out twice.
    const read = this.#reading.then(() => this.#parts.read(() => this.#read(limit)));
    this.#reading = read.catch(() => undefined);
    return read;
  }

  async #read(limit: number): Promise<InboxRow[]> {
    const rows: InboxRow[] = [];
    while (rows.length < limit && this.#cursors.size > 0) {
      const page = await readPosted(this.#parts.line, this.#parts.incarnation(), this.#cursors, limit - rows.length);
      for (const [shard, last] of page.seen) if (this.#cursors.has(shard)) this.#cursors.set(shard, last);
      rows.push(...page.rows);
      if (page.isAll) break;
    }
    return rows;
  }

  async acquire(shards: readonly number[]): Promise<AcquiredShard[]> {
    const put: Receipt = ({ incarnation, number: at }) => step(acquireShards, incarnation, at, shards);
    const acquired = await this.#parts.write({
      ...alone("acquire shards of", put),
      read: (row) =>
        row["put"] === null
          ? []
          : text(row, "put")
              .split(",")
              .map((each) => each.split(" ").map(Number)),
    });
    return acquired.map(([shard = 0, clean, posted = 0]) => {
      this.#cursors.set(shard, posted);
      return { shard, clean: clean === 1 };
    });
  }

  async claimName(name: string, process: ProcessKey): Promise<ProcessKey> {
    for (;;) {
      const holder = await this.#parts.write({
        ...alone("register a name in", ({ incarnation, number: at }) => step(tellHolder, incarnation, at, name)),
        before: [step(takeName, name, process)],
        read: (row) => (row["put"] === null ? undefined : Number(text(row, "put"))),
      });
      // It was given back at this very moment.
      if (holder !== undefined) return holder;
    }
  }

  reservePid(pid: Pid, returning = false): Promise<boolean> {
    return (returning ? this.#returning : this.#reserved).keep(pid);
  }

  async announce(news: Announcement): Promise<void> {
    await this.#parts.write({
      ...alone("announce a node in", (id) => receipt(id, null)),
      before: [step(announce, this.#parts.incarnation(), encodeAbout(news), news.load)],
      read: () => undefined,
    });
  }

  listen(fn: () => void): void {
    this.#stopListening?.();
    this.#stopListening = this.#parts.hints.on((shards) => {
      if (shards?.some((shard) => this.#cursors.has(shard)) !== false) fn();
    });
  }

  namesChanged(): Promise<boolean> {
    return this.#parts.read(async () => {
      const before = this.#names;
      this.#names = number((await this.#parts.line.get(queries.nameChanges)) ?? {}, "names");
      return before !== this.#names;
    });
  }
}

/** A write that is no sign of life, and may wait for another node's. */
function alone(doing: string, receipt: Receipt): Omit<Write<never>, "read"> {
  return { doing, atMs: null, mayWait: true, before: [], receipt, after: [] };
}
