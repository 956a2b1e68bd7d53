/** What commits cost on PostgreSQL: a server on this machine, with fsync on, and bare inserts over the same connection code beside it. */
import { dirname } from "node:path";
import { step as stepOf, Session, statement } from "../src/store/postgres/wire/session.ts";
import { parseAddress } from "../src/store/postgres/wire/address.ts";
import { openPostgresStore } from "../src/store/postgres/index.ts";
import type { PostgresStore } from "../src/store/postgres/index.ts";
import type { CommitBatch, OperationRow, ProcessRow } from "../src/store/port.ts";
import { startPostgres } from "../test/support/postgres.ts";
import { fixed, interleave, median, medianRatio, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";

const sizes = [1, 100, 1_000] as const;
const processCount = 1_000;
const startMs = 1_750_000_000_000;
const program = "f".repeat(64);
/** Commits under way at once, where they do not wait for each other. */
const depth = 8;

export const postgres: Benchmark = {
  name: "postgres",
  title: "PostgreSQL: commits and rows",
  measures: `A PostgreSQL server on this machine, with \`fsync\` on, its files on the disk that is measured. A commit takes so many turns of
${fixed(processCount)} processes in turn: alone, or as steps (the turn, the row of its next operation, and the end of the one before). Each
commit waits for the one before, but for the last kind, where ${depth} are under way. Beside it, in the same rounds, bare inserts of as many
rows of the same size into a table with the same key, in one transaction each, over the same connection code.`,
  limitMs: 400_000,
  run,
};

type Kind = "turns" | "steps" | "turns, 8 under way" | "bare inserts";

async function run(context: Context): Promise<Outcome> {
  context.progress("starting a server");
  const server = await startPostgres({ fsync: true, parent: dirname(context.folder) });
  try {
    const bench = await Bench.open(server.url);
    const budgetMs = context.quick ? 300 : 2_000;
    const kinds: readonly Kind[] = ["bare inserts", "turns", "steps", "turns, 8 under way"];
    const variants = Object.fromEntries(
      sizes.flatMap((size) => kinds.map((kind) => [`${kind} / ${size}`, () => bench.rate(kind, size, budgetMs)])),
    );
    const rates = await interleave(context, context.quick ? 2 : 5, variants);
    await bench.close();
    return outcome(kinds, rates);
  } finally {
    await server.stop();
  }
}

function outcome(kinds: readonly Kind[], rates: Readonly<Record<string, number[]>>): Outcome {
  const rows = sizes.flatMap((size) => {
    const bare = rates[`bare inserts / ${size}`] ?? [];
    return kinds.map((kind) => {
      const commits = rates[`${kind} / ${size}`] ?? [];
      const share = kind === "bare inserts" ? "" : fixed(medianRatio(commits, bare), 2);
      return [`${fixed(size)} a commit: ${kind}`, spread(commits, 0), fixed(median(commits) * size), share];
    });
  });
  const head = ["", "commits a second", "turns a second", "of bare inserts"];
  return { verdicts: [], tables: [{ caption: "Median (least … most) of the rounds.", head, rows }] };
}

const makeBare = statement(
  "CREATE TABLE bare (process bigint, turn bigint, at_ms bigint, crc bigint, body bytea, PRIMARY KEY (process, turn))",
);
const putBare = statement(
  "INSERT INTO bare (process, turn, at_ms, crc, body) SELECT * FROM unnest($1, $2, $3, $4, $5)",
  ...(["int8[]", "int8[]", "int8[]", "int8[]", "bytea[]"] as const),
);
/** About what the journal keeps of such a turn. */
const body = new Uint8Array(90).fill(7);

class Bench {
  readonly #store: PostgresStore;
  readonly #session: Session;
  readonly #turns = new Uint32Array(processCount);
  readonly #bareTurns = new Uint32Array(processCount);
  #next = 0;

  static async open(url: string): Promise<Bench> {
    const store = await openPostgresStore(url);
    await store.claim(startMs);
    await store.sharing.acquire((await store.sharing.shards()).map(({ shard }) => shard));
    const names = { bundle: "b", sourceMap: "s", prelude: "p", engine: "e", operations: [] };
    await store.putProgram({ hash: program, file: "app.ts", createdAtMs: startMs, ...names }, []);
    const keys = Array.from({ length: processCount }, (_, i) => i + 1);
    await store.commit({ atMs: startMs, newProcesses: keys.map(newProcess) });
    const session = await Session.open({
      address: parseAddress(url),
      schema: "public",
      prepare: true,
      connectTimeoutMs: 10_000,
      responseTimeoutMs: 60_000,
    });
    await session.run([stepOf(makeBare)]);
    return new Bench(store, session);
  }

  private constructor(store: PostgresStore, session: Session) {
    this.#store = store;
    this.#session = session;
  }

  /** Commits a second. */
  async rate(kind: Kind, size: number, budgetMs: number): Promise<number> {
    const lanes = kind === "turns, 8 under way" ? depth : 1;
    const before = performance.now();
    let commits = 0;
    const lane = async (): Promise<void> => {
      while (performance.now() - before < budgetMs) {
        await (kind === "bare inserts" ? this.#insert(size) : this.#store.commit(this.#batch(size, kind === "steps")));
        commits++;
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return (commits * 1000) / (performance.now() - before);
  }

  async close(): Promise<void> {
    await this.#store.close();
    this.#session.close();
  }

  #insert(size: number): Promise<unknown> {
    const processes = Array.from({ length: size }, () => this.#next++ % processCount);
    const turns = processes.map((process) => ++this.#bareTurns[process]!);
    const all = <T>(value: T): T[] => processes.map(() => value);
    return this.#session.transact([stepOf(putBare, processes, turns, all(startMs), all(4_000_000_000), all(body))]);
  }

  #batch(size: number, isStep: boolean): CommitBatch {
    const turns: NonNullable<CommitBatch["turns"]>[number][] = [];
    for (let i = 0; i < size; i++) {
      const index = this.#next++ % processCount;
      const number = ++this.#turns[index]!;
      const value = { text: 'j{"receipt":"r-0123456789","ok":true}' };
      const inputs = [{ kind: "result", operation: number, ok: true, value }] as const;
      const commands = [{ kind: "operation", target: "warehouse.ts#charge", digest: "0123456789abcdef" }] as const;
      turns.push({ process: index + 1, turn: { number, timeMs: startMs, inputs, commands } });
    }
    if (!isStep) return { atMs: startMs, turns };
    const operations = turns.map(({ process, turn }) => operation(process, turn.number + 1));
    const operationsGone = turns.map(({ process, turn }) => ({ process, number: turn.number }));
    return { atMs: startMs, turns, operations, operationsGone };
  }
}

function newProcess(key: number): ProcessRow {
  return {
    key,
    pid: `order-${key}`,
    program,
    entry: "order",
    argsDigest: "ab".repeat(32),
    state: "running",
    problem: "",
    startedAtMs: startMs,
    parent: "",
    label: "",
    role: "",
    restarts: 0,
    needs: "",
    held: false,
    trapsExits: false,
    life: 1,
    shard: (key % 16) + 1,
  };
}

function operation(process: number, number: number): OperationRow {
  return {
    process,
    number,
    args: { text: 'j["order-0123456789",4200]' },
    name: "warehouse.ts#charge",
    options: "",
    state: "pending",
    attempt: 1,
    notBeforeMs: 0,
    startedAtMs: 0,
    deaths: 0,
    lastError: "",
    createdAtMs: startMs,
  };
}
