import { Child } from "./child.ts";
import type { EngineMethods } from "./children/engine.ts";
import { Database, spentBetween } from "./database.ts";
import { fixed, forEachOf, interleave, median, medianRatio, pause, programFile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";

type Node = Child<EngineMethods>;

const nodeCounts = [1, 2, 4] as const;
const processes = 600;
const stepsEach = 10;
const steps = processes * stepsEach;
const leaseMs = 10_000;
/** As `pgbench -c 8` with a script of one INSERT. */
const connections = 8;
const bulkRows = 100;
const budgetMs = 1_500;
/** How exactly the end of a round is known: it takes seconds. */
const lookMs = 10;

export const cluster: Benchmark = {
  name: "cluster",
  title: "Cluster: durable steps on one PostgreSQL",
  measures: `${fixed(processes)} processes of ${stepsEach} trivial host operations each, on 1, 2 and 4 nodes that own one store on a PostgreSQL server together
(\`fsync\` on, its files on the disk that is measured). Each node starts its part of them, all at once; from the first start to the last exit.
Nodes and server share this machine, so that more nodes have no more cores: the ratios say what sharing costs, the CPU time by itself
what each part would need on machines of its own. Beside it, in the same rounds, bare inserts of rows of about the size of a turn: one row
a transaction over ${connections} connections, and ${bulkRows} rows a transaction over one.`,
  limitMs: 300_000,
  run,
};

/** What so many nodes did. */
interface Found {
  readonly count: number;
  readonly rates: readonly number[];
  readonly single: readonly number[];
  readonly bulk: readonly number[];
  /** Of each step. */
  readonly nodeMicros: number;
  readonly serverMicros: number;
  readonly logBytes: number;
  readonly stepsPerWrite: number;
}

async function run(context: Context): Promise<Outcome> {
  const database = await Database.open(context);
  try {
    const all: Found[] = [];
    for (const count of nodeCounts) all.push(await measure(context, database, count));
    return outcome(all);
  } finally {
    await database.close();
  }
}

async function measure(context: Context, database: Database, count: number): Promise<Found> {
  context.progress(`opening ${count} nodes`);
  const schema = `nodes_${count}`;
  const nodes: Node[] = Array.from({ length: count }, () => new Child("engine"));
  const open = { store: database.store(schema, leaseMs), program: programFile("steps") };
  await forEachOf(count, 1, async (at) => nodes[at]?.call("open", { ...open, nodeName: `node-${at + 1}` }));
  await balanced(database, schema, count);
  await runAll(nodes);
  const spent: { readonly nodeMicros: number; readonly load: ReturnType<typeof spentBetween> }[] = [];
  const { rates, single, bulk } = await interleave(context, context.quick ? 1 : 5, {
    single: () => database.insertsPerSecond(connections, 1, budgetMs),
    rates: async () => {
      const before = await database.load();
      const cpuBefore = await sumOf(nodes, "cpuMicros");
      const startedMs = performance.now();
      await runAll(nodes);
      const elapsedMs = performance.now() - startedMs;
      const nodeMicros = (await sumOf(nodes, "cpuMicros")) - cpuBefore;
      spent.push({ nodeMicros, load: spentBetween(before, await database.load()) });
      return (steps * 1000) / elapsedMs;
    },
    bulk: () => database.insertsPerSecond(1, bulkRows, budgetMs),
  });
  await Promise.all(nodes.map((node) => node.call("close")));
  for (const node of nodes) await node.kill();
  return {
    count,
    rates,
    single,
    bulk,
    nodeMicros: median(spent.map(({ nodeMicros }) => nodeMicros / steps)),
    serverMicros: median(spent.map(({ load }) => (load.cpuMs * 1000) / steps)),
    logBytes: median(spent.map(({ load }) => load.logBytes / steps)),
    stepsPerWrite: median(spent.map(({ load }) => steps / load.writes)),
  };
}

/** Each node starts its part. Where they run and end is for placement to say. */
async function runAll(nodes: readonly Node[]): Promise<void> {
  const each = processes / nodes.length;
  const before = await sumOf(nodes, "ended");
  await Promise.all(nodes.map((node) => node.call("start", "loop", [stepsEach], each, each)));
  while ((await sumOf(nodes, "ended")) - before < processes) await pause(lookMs);
}

async function sumOf(nodes: readonly Node[], what: "cpuMicros" | "ended"): Promise<number> {
  return (await Promise.all(nodes.map((node) => node.call(what)))).reduce((sum, each) => sum + each, 0);
}

/** Resolves when each node owns about as much as the others. */
export async function balanced(database: Database, schema: string, count: number): Promise<void> {
  for (;;) {
    const rows = await database.rows(
      `SELECT count(*) AS shards FROM "${schema}".shard WHERE owner <> 0 GROUP BY owner ORDER BY 1`,
    );
    const shards = rows.map((row) => Number(row["shards"]));
    if (shards.length === count && (shards.at(-1) ?? 0) - (shards[0] ?? 0) <= 1) return;
    await pause(100);
  }
}

function outcome(all: readonly Found[]): Outcome {
  const [one] = all;
  return {
    verdicts: [],
    tables: [
      {
        caption: "Median (least … most) of the rounds, per second.",
        head: [
          "",
          "steps",
          "against one node",
          "bare inserts",
          "steps against them",
          "bare inserts, bulk",
          "steps against them",
        ],
        rows: all.map(({ count, rates, single, bulk }) => [
          `${count} ${count === 1 ? "node" : "nodes"}`,
          spread(rates),
          fixed(median(rates) / median(one?.rates ?? []), 2),
          spread(single),
          fixed(medianRatio(rates, single), 2),
          spread(bulk),
          fixed(medianRatio(rates, bulk), 3),
        ]),
      },
      {
        caption:
          "What a step costs whom, medians. At full load, one core of the server carries a second's worth of CPU time divided by the first column.",
        head: [
          "",
          "CPU µs, server",
          "steps/s a core of it carries",
          "CPU µs, nodes",
          "bytes of write-ahead log",
          "steps a transaction",
        ],
        rows: all.map(({ count, serverMicros, nodeMicros, logBytes, stepsPerWrite }) => [
          `${count} ${count === 1 ? "node" : "nodes"}`,
          fixed(serverMicros, 1),
          serverMicros > 0 ? fixed(1e6 / serverMicros) : "",
          fixed(nodeMicros, 1),
          fixed(logBytes),
          fixed(stepsPerWrite, 1),
        ]),
      },
    ],
  };
}
