/** Transfers under fire: asked for without end, by somebody who asks again whenever a node dies, until all have ended. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { NodeGone } from "../e2e/support/engine-process.ts";
import type { EngineProcess } from "../e2e/support/engine-process.ts";
import { Dice } from "../simulation/dice.ts";
import { checkBooks } from "./books.ts";
import type { Ended } from "./books.ts";
import { Nodes } from "./nodes.ts";
import { Peer } from "./peer.ts";
import type { Outcome, Transfer, Way } from "./program/transfer.ts";

export interface StormOptions {
  readonly seed: number;
  /** The node is killed for so long, or until it was killed so often. */
  readonly forMs: number;
  readonly kills: number;
  readonly progress: (line: string) => void;
}

export interface StormReport {
  readonly problems: readonly string[];
  readonly ended: readonly Ended[];
  readonly peer: Peer;
  readonly nodes: Nodes;
  /** What `perdure verify` said of the store in the end. */
  readonly verified: string;
  /** The store, kept if something is wrong. */
  readonly folder: string;
}

const program = fileURLToPath(new URL("program/app.ts", import.meta.url));
const perdure = fileURLToPath(new URL("../../bin/perdure.js", import.meta.url));
const accounts = 20;
const centsEach = 50_000;
/** Transfers under way. */
const crowd = 32;
/** After the storm, for what is still to be done. */
const patienceMs = 120_000;

const ways: Readonly<Record<Way, number>> = { inside: 5, keyed: 3, once: 2, reconciled: 2, fetched: 2 };

export async function storm(options: StormOptions): Promise<StormReport> {
  const folder = mkdtempSync(join(tmpdir(), "perdure-storm-"));
  const store = join(folder, "storm.db");
  const peer = new Peer(new Dice(options.seed, "peer"));
  const nodes = new Nodes({ dice: new Dice(options.seed, "nodes"), program, store, peer: await peer.listen() });
  const calm = new AbortController();
  const ended: Ended[] = [];
  const dice = new Dice(options.seed, "transfers");
  await ask(nodes, (node) =>
    node.start("prepare", "prepare", [accounts, centsEach]).then(() => node.result("prepare")),
  );
  let drawn = 0;
  const failures: string[] = [];
  const work = async (): Promise<void> => {
    while (!calm.signal.aborted) {
      const transfer = drawTransfer(dice, ++drawn);
      await carryOut(nodes, transfer).then(
        (each) => ended.push(each),
        (error: unknown) => failures.push(`${transfer.id} (${transfer.way}) failed: ${String(error)}`),
      );
    }
  };
  const crowdAtWork = Array.from({ length: crowd }, () => work());
  await strikeOn(options, nodes, ended);
  peer.calm = true;
  calm.abort();
  const attended = new AbortController();
  const attending = nodes.attend(attended.signal);
  const inTime = await Promise.race([Promise.all(crowdAtWork).then(() => true), sleep(patienceMs, false)]);
  attended.abort();
  await attending;
  await nodes.close();
  await peer.close();
  const problems = [...failures, ...nodes.problems, ...checkBooks(store, ended, peer, accounts * centsEach)];
  const verified = await verify(store);
  if (!verified.isWhole) problems.push(`perdure verify: ${verified.said}`);
  if (!inTime)
    problems.push(
      `${drawn - ended.length - failures.length} transfers have not ended ${patienceMs / 1_000} s after the storm`,
    );
  if (problems.length === 0) rmSync(folder, { recursive: true, force: true });
  return { problems, ended, peer, nodes, verified: verified.said, folder };
}

async function strikeOn(
  { forMs, kills, progress }: StormOptions,
  nodes: Nodes,
  ended: readonly Ended[],
): Promise<void> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < forMs && nodes.kills < kills) {
    await nodes.strike();
    progress(`${nodes.kills} kills, ${nodes.stops} stops, ${ended.length} transfers`);
  }
}

/** Every row looked at, and every process replayed against its journal. */
async function verify(store: string): Promise<{ isWhole: boolean; said: string }> {
  return await new Promise((resolve) => {
    execFile(process.execPath, [perdure, "verify", "--store", store], (error, stdout, stderr) =>
      resolve({ isWhole: error === null, said: `${stdout}${stderr}`.trim() }),
    );
  });
}

function drawTransfer(dice: Dice, number: number): Transfer {
  const from = dice.int(0, accounts - 1);
  const to = (from + dice.int(1, accounts - 1)) % accounts;
  // Now and then more than any account is likely to have.
  const cents = dice.chance(0.05) ? 100 * centsEach : dice.int(1, 400);
  return { id: `t-${number}`, way: dice.weighted(ways), from, to, cents };
}

async function carryOut(nodes: Nodes, transfer: Transfer): Promise<Ended> {
  const { id } = transfer;
  const outcome = await ask(nodes, async (node) => {
    await node.start(id, "transfer", [transfer]);
    return (await node.result(id)) as Outcome;
  });
  return { transfer, outcome };
}

/** Whoever asks does not know what the last node did, and asks the next one the same. */
async function ask<T>(nodes: Nodes, question: (node: EngineProcess) => Promise<T>): Promise<T> {
  for (let node = nodes.current; ; node = await nodes.after(node)) {
    try {
      return await question(node);
    } catch (error) {
      if (!(error instanceof NodeGone)) throw error;
    }
  }
}
