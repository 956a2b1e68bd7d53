/**
 * Bank transfers while their nodes are killed and stopped and the bank outside loses requests and answers: real processes,
 * a real store, real HTTP. In the end the books must balance.
 *
 *     npm run storm -- --minutes 10                      as long as that, one node at a time over a SQLite file
 *     npm run storm -- --kills 500                       until the node was killed so often
 *     npm run storm -- --minutes 1 --seed 7              with the same faults at the bank, and nearly the same moments of death
 *     npm run storm -- --nodes 3 --store postgres        three at once over a PostgreSQL server, whose lines and whose server suffer too
 *
 * With `--keep` a database in which something is wrong runs until this is stopped, so that one can look at it.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { storm } from "./storm.ts";
import type { StormReport } from "./storm.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    kills: { type: "string" },
    seed: { type: "string" },
    nodes: { type: "string" },
    store: { type: "string", default: "sqlite" },
    keep: { type: "boolean", default: false },
  },
});

function positive(name: "minutes" | "kills" | "seed" | "nodes", fallback: number): number {
  const text = values[name];
  const value = text === undefined ? fallback : Number(text);
  if (Number.isNaN(value) || value < 0) throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
  return value;
}

const { store } = values;
if (store !== "sqlite" && store !== "postgres")
  throw new Error(`--store takes sqlite or postgres, not ${JSON.stringify(store)}.`);
const nodes = positive("nodes", store === "postgres" ? 3 : 1);
if (nodes < 1 || (store === "sqlite" && nodes > 1))
  throw new Error(`--nodes ${nodes}: over a file there is one node at a time. Take --store postgres for more.`);
const minutes = positive("minutes", values.kills === undefined ? 1 : Infinity);
const kills = positive("kills", Infinity);
const seed = positive("seed", randomInt(2 ** 31));
const { stdout } = process;
stdout.write(`Storm from seed ${seed}\n`);

const startedMs = performance.now();
let saidMs = startedMs;

/** One line that is written over; where that cannot be, a line each minute. */
function progress(line: string): void {
  if (stdout.isTTY) stdout.write(`\r${line} `);
  else if (performance.now() - saidMs > 60_000) {
    saidMs = performance.now();
    stdout.write(`… ${line}\n`);
  }
}

const report = await storm({
  seed,
  kills,
  store,
  nodes,
  forMs: minutes * 60_000,
  progress,
});
if (stdout.isTTY) stdout.write("\n");
tell(report, (performance.now() - startedMs) / 1_000);
if (values.keep && report.problems.length > 0) setInterval(() => undefined, 60_000);

function tell(
  { problems, ended, talks, excused, peer, told, verified, store: at }: StormReport,
  seconds: number,
): void {
  const say = (text: string): void => void stdout.write(`${text}\n`);
  say(`In ${seconds.toFixed(0)} s:`);
  for (const line of told) say(line);
  for (const way of ["inside", "told", "keyed", "once", "reconciled", "fetched"]) {
    const these = ended.filter(({ transfer }) => transfer.way === way);
    const count = (outcome: string): number => these.filter((each) => each.outcome === outcome).length;
    const requests = peer.requests.filter((request) => request.way === way).length;
    const atPeer = way === "inside" || way === "told" ? "" : `; ${requests} requests at the bank`;
    say(
      `${way.padEnd(11)}${these.length} transfers: ${count("done")} done, ${count("refused")} refused, ${count("unknown")} unknown${atPeer}`,
    );
  }
  say(
    `${talks} conversations: 24 words each, heard once, in their order, and the end last, but for what is said below`,
  );
  const faults = [...peer.faults].map(([fault, times]) => `${times} ${fault}`).join(", ");
  say(`at the bank: ${faults}; ${peer.repeated} payments known by their key and not made again`);
  if (excused > 0)
    say(
      `${excused} payments were made twice by calls in the middle of which the machine stood still beyond their timeout`,
    );
  say(verified);
  for (const problem of problems.slice(0, 20)) say(`WRONG: ${problem}`);
  say(problems.length === 0 ? "The books balance." : `${problems.length} problems. The store was ${at}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
