/**
 * Bank transfers while their node is killed and stopped and the bank outside loses requests and answers: real processes,
 * a real SQLite file, real HTTP. In the end the books must balance.
 *
 *     npm run storm -- --minutes 10             as long as that
 *     npm run storm -- --kills 500              until the node was killed so often
 *     npm run storm -- --minutes 1 --seed 7     with the same faults at the bank, and nearly the same moments of death
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { storm } from "./storm.ts";
import type { StormReport } from "./storm.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string" }, kills: { type: "string" }, seed: { type: "string" } },
});

function positive(name: "minutes" | "kills" | "seed", fallback: number): number {
  const text = values[name];
  const value = text === undefined ? fallback : Number(text);
  if (Number.isNaN(value) || value < 0) throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
  return value;
}

const minutes = positive("minutes", values.kills === undefined ? 1 : Infinity);
const kills = positive("kills", Infinity);
const seed = positive("seed", randomInt(2 ** 31));
const { stdout } = process;
stdout.write(`Storm from seed ${seed}\n`);

const startedMs = performance.now();
const report = await storm({
  seed,
  kills,
  forMs: minutes * 60_000,
  progress: (line) => void (stdout.isTTY && stdout.write(`\r${line} `)),
});
if (stdout.isTTY) stdout.write("\n");
tell(report, (performance.now() - startedMs) / 1_000);

function tell({ problems, ended, peer, nodes, verified, folder }: StormReport, seconds: number): void {
  const say = (text: string): void => void stdout.write(`${text}\n`);
  say(
    `${nodes.kills} kills (${nodes.killsWhileOpening} of them while the node was opening), ${nodes.stops} stops, in ${seconds.toFixed(0)} s`,
  );
  for (const way of ["inside", "keyed", "once", "reconciled", "fetched"]) {
    const these = ended.filter(({ transfer }) => transfer.way === way);
    const count = (outcome: string): number => these.filter((each) => each.outcome === outcome).length;
    const requests = peer.requests.filter((request) => request.way === way).length;
    const atPeer = way === "inside" ? "" : `; ${requests} requests at the bank`;
    say(
      `${way.padEnd(11)}${these.length} transfers: ${count("done")} done, ${count("refused")} refused, ${count("unknown")} unknown${atPeer}`,
    );
  }
  const faults = [...peer.faults].map(([fault, times]) => `${times} ${fault}`).join(", ");
  say(`at the bank: ${faults}; ${peer.repeated} payments known by their key and not made again`);
  say(`${nodes.released} operations had been running at five deaths and were let go on`);
  say(verified);
  for (const problem of problems.slice(0, 20)) say(`WRONG: ${problem}`);
  say(problems.length === 0 ? "The books balance." : `${problems.length} problems. The store is in ${folder}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
