import { Child } from "./child.ts";
import type { BeatsMethods } from "./children/beats.ts";
import { balanced } from "./cluster.ts";
import { Database } from "./database.ts";
import { fixed, median, pause, quantile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";

type Node = Child<BeatsMethods>;

/** Each lease is tried so often. */
const plan = [
  { leaseMs: 2_000, kills: 7 },
  { leaseMs: 10_000, kills: 3 },
] as const;
const crowd = 100;
const beatMs = 50;
const mostLeases = 2;
const moves = 300;
const movers = 10;

export const failover: Benchmark = {
  name: "failover",
  title: "Failover: a node dies, processes move",
  measures: `Two nodes own a store on a PostgreSQL server together.

- **takeover**: ${crowd} processes call a host operation every ${beatMs} ms, half of them on a node that is killed (\`kill -9\`). From the kill to the first call by one
  of that half on the other node, and to the moment when all of it have called there: as a multiple of the lease, which has to run out first, and which
  was renewed up to a third of it before;
- **move**: ${movers} processes call one operation after the other, without a pause, and are moved to and fro, one move at a time, ${moves} in all. How long
  each stood still: from its last call on the one node to its first on the other.`,
  limitMs: 300_000,
  isLong: true,
  run,
};

async function run(context: Context): Promise<Outcome> {
  const database = await Database.open(context);
  try {
    const takeovers = [];
    for (const { leaseMs, kills } of plan)
      takeovers.push(await takeOver(context, database, leaseMs, context.quick ? 1 : kills));
    return outcome(takeovers, await move(context, database, context.quick ? 40 : moves));
  } finally {
    await database.close();
  }
}

class Pair {
  readonly #database: Database;
  readonly #schema: string;
  readonly #leaseMs: number;
  #count = 0;

  constructor(database: Database, schema: string, leaseMs: number) {
    this.#database = database;
    this.#schema = schema;
    this.#leaseMs = leaseMs;
  }

  async node(): Promise<{ readonly node: Node; readonly name: string }> {
    const node: Node = new Child("beats");
    const name = `node-${++this.#count}`;
    await node.call("open", this.#database.store(this.#schema, this.#leaseMs), name);
    return { node, name };
  }

  /** Resolves when both own a part. */
  async shared(): Promise<void> {
    await balanced(this.#database, this.#schema, 2);
  }
}

interface TakenOver {
  readonly leaseMs: number;
  readonly firstMs: readonly number[];
  readonly allMs: readonly number[];
}

const nowMs = (): number => performance.timeOrigin + performance.now();

async function takeOver(context: Context, database: Database, leaseMs: number, kills: number): Promise<TakenOver> {
  const pair = new Pair(database, `lease_${leaseMs}`, leaseMs);
  const first: number[] = [];
  const all: number[] = [];
  let { node: victim } = await pair.node();
  let { node: heir } = await pair.node();
  for (let kill = 1; kill <= kills; kill++) {
    context.progress(`kill ${kill} of ${kills}, lease ${leaseMs} ms`);
    await pair.shared();
    // They begin where there is room.
    const everywhere = await victim.call("start", crowd, beatMs);
    const here = await seen([victim, heir], everywhere);
    const pids = everywhere.filter((pid) => here.get(pid) === victim);
    // Somewhere between two renewals.
    await pause((leaseMs / 3) * (kill / kills));
    const atMs = nowMs();
    await victim.kill();
    await seen([heir], pids);
    const beats = await heir.call("beats");
    const times = pids.map((pid) => (beats.get(pid)?.firstMs ?? NaN) - atMs);
    first.push(Math.min(...times));
    all.push(Math.max(...times));
    await heir.call("kill", everywhere);
    victim = heir;
    ({ node: heir } = await pair.node());
  }
  await closeAll([victim, heir]);
  return { leaseMs, firstMs: first, allMs: all };
}

/** When all these have given a sign, and on which of the nodes each did. */
async function seen(nodes: readonly Node[], pids: readonly string[]): Promise<ReadonlyMap<string, Node>> {
  for (;;) {
    const where = new Map<string, Node>();
    for (const node of nodes) for (const pid of (await node.call("beats")).keys()) where.set(pid, node);
    if (pids.every((pid) => where.has(pid))) return where;
    await pause(50);
  }
}

/** How long each stood still. */
async function move(context: Context, database: Database, count: number): Promise<number[]> {
  const pair = new Pair(database, "moves", 10_000);
  const nodes = [await pair.node(), await pair.node()] as const;
  await pair.shared();
  const pids = await nodes[0].node.call("start", movers, 0);
  const places = new Map(
    await seen(
      nodes.map(({ node }) => node),
      pids,
    ),
  );
  const still: number[] = [];
  for (let at = 0; at < count; at++) {
    const pid = pids[at % movers] ?? "";
    const [from, to] = places.get(pid) === nodes[0].node ? nodes : ([nodes[1], nodes[0]] as const);
    context.progress(`move ${at + 1} of ${count}`);
    await to.node.call("forget");
    await from.node.call("move", pid, to.name);
    places.set(pid, (await seen([to.node], [pid])).get(pid) ?? to.node);
    const [there, left] = await Promise.all([to.node.call("beats"), from.node.call("beats")]);
    still.push((there.get(pid)?.firstMs ?? NaN) - (left.get(pid)?.lastMs ?? NaN));
  }
  await closeAll(nodes.map(({ node }) => node));
  return still;
}

async function closeAll(nodes: readonly Node[]): Promise<void> {
  // What is still running there runs for ever.
  for (const node of nodes) await node.kill();
}

function outcome(takeovers: readonly TakenOver[], still: readonly number[]): Outcome {
  const leases = (all: readonly number[], leaseMs: number): string =>
    spread(
      all.map((ms) => ms / leaseMs),
      2,
    );
  return {
    verdicts: takeovers.map(({ leaseMs, firstMs }) => {
      const ratio = median(firstMs) / leaseMs;
      return {
        what: `kill -9 to the first turn on the other node, lease ${leaseMs / 1_000} s, in leases`,
        target: `≤ ${mostLeases}`,
        figure: fixed(ratio, 2),
        met: ratio <= mostLeases,
      };
    }),
    tables: [
      {
        caption: "Takeover: median (least … most) of the kills.",
        head: ["lease, ms", "kills", "first turn, ms", "in leases", "all of them, ms", "in leases"],
        rows: takeovers.map(({ leaseMs, firstMs, allMs }) => [
          fixed(leaseMs),
          fixed(firstMs.length),
          spread(firstMs),
          leases(firstMs, leaseMs),
          spread(allMs),
          leases(allMs, leaseMs),
        ]),
      },
      {
        caption: `Moves: for how long the process stood still, in ms, ${fixed(still.length)} moves.`,
        head: ["", "median", "90%", "99%", "most"],
        rows: [["stood still", ...[0.5, 0.9, 0.99, 1].map((at) => fixed(quantile(still, at), 1))]],
      },
    ],
  };
}
