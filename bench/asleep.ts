import { Child } from "./child.ts";
import type { EngineMethods } from "./children/engine.ts";
import { balanced } from "./cluster.ts";
import { Database, spentBetween, tableSizes } from "./database.ts";
import { fixed, pause, programFile } from "./harness.ts";
import type { Benchmark, Context, Outcome, Table } from "./harness.ts";

type Node = Child<EngineMethods>;

const nodeCount = 2;
const startsAtOnce = 500;
const schema = "asleep";
const mostCores = 0.1;

export const asleep: Benchmark = {
  name: "asleep",
  title: "Cluster: 100,000 processes asleep",
  measures: `Two nodes own a store on a PostgreSQL server together, and nothing happens in it: first while it is empty, then with 100,000 processes in
\`await sleep("1 day")\`. How many transactions the server carries out, how much it writes, and what CPU time it and the nodes take, in shares of one
core; and how large tables and indexes are (\`pg_table_size\`, \`pg_indexes_size\`), as they have grown and after \`VACUUM FULL\`.`,
  limitMs: 600_000,
  isLong: true,
  run,
};

async function run(context: Context): Promise<Outcome> {
  const count = context.quick ? 5_000 : 100_000;
  const database = await Database.open(context);
  try {
    const nodes = Array.from({ length: nodeCount }, () => new Child<EngineMethods>("engine"));
    const open = { store: database.store(schema, 10_000), program: programFile("sleepers") };
    for (const [at, node] of nodes.entries()) await node.call("open", { ...open, nodeName: `node-${at + 1}` });
    await balanced(database, schema, nodeCount);
    const [settleMs, emptyMs, fullMs] = context.quick ? [500, 3_000, 5_000] : [3_000, 20_000, 60_000];
    const idle = async (what: string, forMs: number): Promise<Idle> => {
      context.progress(what);
      await pause(settleMs);
      return { what, ...(await idleFor(database, nodes, forMs)) };
    };
    const empty = await idle("an empty store", emptyMs);
    const startMs = await startAll(context, database, nodes, count);
    // What was just written is cleaned up and written out at leisure, and not for the sleepers' sake.
    await database.rows(`VACUUM ANALYZE`);
    await database.rows("CHECKPOINT");
    const full = await idle(`${fixed(count)} asleep`, fullMs);
    const grown = await tableSizes(database, schema);
    for (const node of nodes) await node.call("close");
    for (const node of nodes) await node.kill();
    await database.rows("VACUUM FULL");
    return outcome(count, [empty, full], [grown, await tableSizes(database, schema)], startMs);
  } finally {
    await database.close();
  }
}

async function startAll(context: Context, database: Database, nodes: readonly Node[], count: number): Promise<number> {
  const before = performance.now();
  const all = nodes.map((node) => node.call("start", "sleeper", [], count / nodes.length, startsAtOnce));
  const starts = Promise.all(all);
  for (let sleeping = 0; sleeping < count;) {
    context.progress(`${fixed(sleeping)} of ${fixed(count)} asleep`);
    // A start that fails must end this, too.
    await Promise.race([starts.then(() => pause(100)), pause(1_000)]);
    sleeping = Number((await database.rows(`SELECT count(*) AS sleeping FROM ${schema}.timer`))[0]?.["sleeping"]);
  }
  await starts;
  return performance.now() - before;
}

/** By the second. */
interface Rates {
  readonly transactions: number;
  readonly writes: number;
  readonly logBytes: number;
  readonly serverCores: number;
  readonly nodeCores: number;
  readonly memoryBytes: number;
}

interface Idle extends Rates {
  readonly what: string;
}

async function idleFor(database: Database, nodes: readonly Node[], forMs: number): Promise<Rates> {
  const cpuMicros = async (): Promise<number> =>
    (await Promise.all(nodes.map((node) => node.call("cpuMicros")))).reduce((sum, each) => sum + each, 0);
  const [before, cpuBefore] = [await database.load(), await cpuMicros()];
  await pause(forMs);
  const [after, cpuAfter] = [await database.load(), await cpuMicros()];
  const { seconds, transactions, writes, logBytes, cpuMs } = spentBetween(before, after);
  const memory = await Promise.all(nodes.map((node) => node.call("memory")));
  return {
    transactions: transactions / seconds,
    writes: writes / seconds,
    logBytes: logBytes / seconds,
    serverCores: cpuMs / 1000 / seconds,
    nodeCores: (cpuAfter - cpuBefore) / 1e6 / seconds / nodes.length,
    memoryBytes: Math.max(...memory.map(({ nowBytes }) => nowBytes)),
  };
}

type Sizes = Awaited<ReturnType<typeof tableSizes>>;

function outcome(count: number, idle: readonly [Idle, Idle], sizes: readonly [Sizes, Sizes], startMs: number): Outcome {
  const [, full] = idle;
  const cores = full.serverCores + nodeCount * full.nodeCores;
  return {
    verdicts: [
      {
        what: `cores that server and ${nodeCount} nodes take together, ${full.what}`,
        target: `≤ ${mostCores}`,
        figure: fixed(cores, 3),
        met: cores <= mostCores,
      },
    ],
    tables: [
      {
        caption: "While nothing happens, by the second.",
        head: [
          "",
          "transactions",
          "of these, writing",
          "bytes of write-ahead log",
          "cores, server",
          "cores, each node",
          "memory of a node, MiB",
        ],
        rows: idle.map(({ what, transactions, writes, logBytes, serverCores, nodeCores, memoryBytes }) => [
          what,
          fixed(transactions, 1),
          fixed(writes, 1),
          fixed(logBytes),
          fixed(serverCores, 4),
          fixed(nodeCores, 4),
          fixed(memoryBytes / 1024 / 1024),
        ]),
      },
      sizeTable(count, sizes, startMs),
    ],
  };
}

function sizeTable(count: number, [grown, packed]: readonly [Sizes, Sizes], startMs: number): Table {
  const each = (bytes: number): string => fixed(bytes / count);
  const sum = (sizes: Sizes, of: "tableBytes" | "indexBytes"): number => sizes.reduce((all, size) => all + size[of], 0);
  const large = grown.filter(({ tableBytes, indexBytes }) => (tableBytes + indexBytes) / count >= 1);
  const row = (what: string, before: readonly number[], after: readonly number[]): string[] => [
    what,
    ...[...before, ...after].map((bytes) => each(bytes)),
  ];
  return {
    caption: `Bytes of each of ${fixed(count)} processes asleep, which were started in ${fixed(startMs / 1000)} s (${fixed((count * 1000) / startMs)} a second).`,
    head: ["", "table", "indexes", "table, packed", "indexes, packed"],
    rows: [
      ...large.map(({ name, tableBytes, indexBytes }) => {
        const after = packed.find((size) => size.name === name);
        return row(name, [tableBytes, indexBytes], [after?.tableBytes ?? 0, after?.indexBytes ?? 0]);
      }),
      row(
        "all",
        [sum(grown, "tableBytes"), sum(grown, "indexBytes")],
        [sum(packed, "tableBytes"), sum(packed, "indexBytes")],
      ),
    ],
  };
}
