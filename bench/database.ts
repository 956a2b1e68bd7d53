/** A PostgreSQL server on the disk that is measured, and what it has done and spent. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { number, text } from "../src/store/columns.ts";
import type { Row } from "../src/store/columns.ts";
import { parseAddress } from "../src/store/postgres/wire/address.ts";
import { Session, statement, step } from "../src/store/postgres/wire/session.ts";
import { startPostgres } from "../test/support/postgres.ts";
import type { PostgresServer } from "../test/support/postgres.ts";
import { forEachOf } from "./harness.ts";
import type { Context } from "./harness.ts";

/** Since the server was started. */
export interface Load {
  readonly atMs: number;
  /** All of them, also such as only read. Known a second late. */
  readonly transactions: number;
  /** Those that wrote. */
  readonly writes: number;
  readonly logBytes: number;
  /** CPU time of all its processes; 0 where the operating system does not tell. */
  readonly cpuMs: number;
}

/** What was done and spent between two looks. */
export function spentBetween(before: Load, after: Load): Omit<Load, "atMs"> & { readonly seconds: number } {
  return {
    seconds: (after.atMs - before.atMs) / 1000,
    transactions: after.transactions - before.transactions,
    writes: after.writes - before.writes,
    logBytes: after.logBytes - before.logBytes,
    cpuMs: after.cpuMs - before.cpuMs,
  };
}

const makeBare = statement(
  "CREATE TABLE IF NOT EXISTS public.bare (process bigint, turn bigint, at_ms bigint, crc bigint, body bytea, PRIMARY KEY (process, turn))",
);
const putBare = statement(
  "INSERT INTO public.bare (process, turn, at_ms, crc, body) SELECT * FROM unnest($1, $2, $3, $4, $5)",
  ...(["int8[]", "int8[]", "int8[]", "int8[]", "bytea[]"] as const),
);
/** About what the journal keeps of a trivial step. */
const body = new Uint8Array(90).fill(7);

export class Database {
  readonly #server: PostgresServer;
  readonly #sessions: Session[] = [];
  #turn = 0;

  static async open(context: Context): Promise<Database> {
    context.progress("starting a server");
    // As a server is set up that has work to do; everything that is reported as committed is on the disk.
    const settings = { shared_buffers: "512MB", max_wal_size: "4GB" };
    return new Database(await startPostgres({ fsync: true, parent: dirname(context.folder), settings }));
  }

  private constructor(server: PostgresServer) {
    this.#server = server;
  }

  /** Of a store in a schema of its own. */
  store(schema: string, leaseMs: number): string {
    return `${this.#server.url}?schema=${schema}&lease=${leaseMs}ms`;
  }

  async rows(sql: string): Promise<readonly Row[]> {
    const session = await this.#session(0);
    return (await session.run([step({ sql, types: [], once: true })]))[0]?.rows ?? [];
  }

  async load(): Promise<Load> {
    const [row = {}] = await this.rows(
      `SELECT (SELECT sum(xact_commit) FROM pg_stat_database)::bigint AS transactions, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS writes,
         (pg_current_wal_lsn() - '0/0')::bigint AS log, split_part(pg_read_file('postmaster.pid'), chr(10), 1)::bigint AS pid`,
    );
    const count = (name: string): number => number(row, name);
    return {
      atMs: performance.now(),
      transactions: count("transactions"),
      writes: count("writes"),
      logBytes: count("log"),
      cpuMs: cpuMsOf(count("pid")),
    };
  }

  /** Bare inserts, each transaction with so many rows: rows a second by so many connections at a time, as `pgbench` would do it. */
  async insertsPerSecond(connections: number, rowsEach: number, budgetMs: number): Promise<number> {
    await (await this.#session(0)).run([step(makeBare)]);
    const before = performance.now();
    let rows = 0;
    await forEachOf(connections, connections, async (at) => {
      const session = await this.#session(at);
      for (; performance.now() - before < budgetMs; rows += rowsEach) await this.#insert(session, rowsEach);
    });
    return (rows * 1000) / (performance.now() - before);
  }

  #insert(session: Session, count: number): Promise<unknown> {
    const turns = Array.from({ length: count }, () => ++this.#turn);
    const all = <T>(value: T): T[] => turns.map(() => value);
    const processes = turns.map((turn) => turn % 1_000);
    return session.transact([step(putBare, processes, turns, all(1_750_000_000_000), all(4_000_000_000), all(body))]);
  }

  async #session(at: number): Promise<Session> {
    this.#sessions[at] ??= await Session.open({
      address: parseAddress(this.#server.url),
      schema: "public",
      prepare: true,
      connectTimeoutMs: 10_000,
      responseTimeoutMs: 120_000,
    });
    return this.#sessions[at];
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.close();
    await this.#server.stop();
  }
}

/** Bytes of each table of a schema, and of its indexes. */
export async function tableSizes(
  database: Database,
  schema: string,
): Promise<{ readonly name: string; readonly tableBytes: number; readonly indexBytes: number }[]> {
  const rows = await database.rows(
    `SELECT c.relname::text AS name, pg_table_size(c.oid)::bigint AS "table", pg_indexes_size(c.oid)::bigint AS "index"
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = '${schema}' AND c.relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC`,
  );
  return rows.map((row) => ({
    name: text(row, "name"),
    tableBytes: number(row, "table"),
    indexBytes: number(row, "index"),
  }));
}

const msOfTick = 10;

/** Of a process, of those it has started, and of those of them that have ended. */
function cpuMsOf(pid: number): number {
  if (process.platform !== "linux") return 0;
  const own = statOf(pid);
  const ids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = ids.map((id) => statOf(Number(id))).filter(({ parent }) => parent === pid);
  const ticks = children.reduce((sum, child) => sum + child.ticks, own.ticks + own.endedTicks);
  return ticks * msOfTick;
}

function statOf(pid: number): { readonly parent: number; readonly ticks: number; readonly endedTicks: number } {
  try {
    // The name, in brackets, may hold anything.
    const words = (readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? "").split(" ").map(Number);
    const [, parent = 0] = words;
    const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = words.slice(11, 15);
    return { parent, ticks: user + system, endedTicks: endedUser + endedSystem };
  } catch {
    return { parent: 0, ticks: 0, endedTicks: 0 };
  }
}
