/** Transfers under fire: asked for without end, by somebody who asks again whenever a node dies, until all have ended. */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Dice } from "../simulation/dice.ts";
import { checkBooks } from "./books.ts";
import type { Ended } from "./books.ts";
import { Cluster } from "./cluster/cluster.ts";
import type { Fleet } from "./fleet.ts";
import { Nodes } from "./nodes.ts";
import { Peer } from "./peer.ts";
import type { Payment } from "./peer.ts";
import { reconciledTimeoutMs } from "./program/transfer.ts";
import type { Outcome, Place, Transfer, Way } from "./program/transfer.ts";
import { talk } from "./talks.ts";

export interface StormOptions {
  readonly seed: number;
  /** Nodes are killed for so long, or until they were killed so often. */
  readonly forMs: number;
  readonly kills: number;
  /** `sqlite`: one node at a time over a file. `postgres`: several at once over a server that the storm brings. */
  readonly store: "sqlite" | "postgres";
  /** How many at once. */
  readonly nodes: number;
  /** Transfers under way at a time; and an eighth of that conversations. Default 32. */
  readonly crowd?: number;
  /** After the storm, for what is still to be done. Default 120,000. */
  readonly patienceMs?: number;
  readonly progress: (line: string) => void;
}

export interface StormReport {
  readonly problems: readonly string[];
  readonly ended: readonly Ended[];
  /** Conversations that came to their end. */
  readonly talks: number;
  /** Payments that were made twice because the machine stood still in the middle of a call. */
  readonly excused: number;
  readonly peer: Peer;
  readonly kills: number;
  /** What was done to the nodes. */
  readonly told: readonly string[];
  /** What `perdure verify` said of the store in the end. */
  readonly verified: string;
  /** Kept if something is wrong. */
  readonly store: string;
}

const program = fileURLToPath(new URL("program/app.ts", import.meta.url));
const perdure = fileURLToPath(new URL("../../bin/perdure.js", import.meta.url));
const accounts = 20;
const centsEach = 50_000;
const defaultCrowd = 32;

const ways: Readonly<Record<Way, number>> = { inside: 4, told: 3, keyed: 3, once: 2, reconciled: 2, fetched: 2 };

/** What clients do, and what came of it. */
class Crowd {
  readonly #fleet: Fleet;
  readonly #options: StormOptions;
  readonly #dice: Dice;
  readonly alive = new Set<string>();
  readonly ended: Ended[] = [];
  readonly failures: string[] = [];
  talks = 0;
  #drawn = 0;
  #isOver = false;
  #at: Promise<unknown> = Promise.resolve();

  constructor(fleet: Fleet, options: StormOptions) {
    this.#fleet = fleet;
    this.#options = options;
    this.#dice = new Dice(options.seed, "transfers");
  }

  begin(): void {
    const keepOn = async (work: () => Promise<void>): Promise<void> => {
      while (!this.#isOver) await work();
    };
    const { crowd = defaultCrowd } = this.#options;
    this.#at = Promise.all([
      ...Array.from({ length: crowd }, () => keepOn(() => this.#transfer())),
      ...Array.from({ length: Math.ceil(crowd / 8) }, () => keepOn(() => this.#talk())),
    ]);
  }

  /** Nothing new is begun; resolves when all has come to its end. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#at;
  }

  async #transfer(): Promise<void> {
    const transfer = drawTransfer(this.#dice, ++this.#drawn, placeOf(this.#options));
    const { id, way } = transfer;
    await this.#living([id], `${id} (${way})`, async () => {
      const outcome = await this.#fleet.ask(async (node) => {
        await node.start(id, "transfer", [transfer]);
        return (await node.result(id)) as Outcome;
      });
      this.ended.push({ transfer, outcome });
    });
  }

  async #talk(): Promise<void> {
    const number = ++this.#drawn;
    const ids = { listener: `l-${number}`, talker: `s-${number}` };
    await this.#living(Object.values(ids), `conversation ${number}`, async () => {
      this.failures.push(...(await talk(this.#fleet, ids, this.#dice.chance(0.5) ? "link" : "monitor")));
      this.talks++;
    });
  }

  async #living(pids: readonly string[], what: string, work: () => Promise<void>): Promise<void> {
    for (const pid of pids) this.alive.add(pid);
    await work().catch((error: unknown) => void this.failures.push(`${what} failed: ${String(error)}`));
    for (const pid of pids) this.alive.delete(pid);
  }
}

export async function storm(options: StormOptions): Promise<StormReport> {
  const { seed, patienceMs = 120_000 } = options;
  const peer = new Peer(new Dice(seed, "peer"));
  const address = await peer.listen();
  const anyone = (dice: Dice): string | undefined => (crowd.alive.size === 0 ? undefined : dice.pick([...crowd.alive]));
  const ports = { program, peer: address };
  const fleet: Fleet =
    options.store === "sqlite"
      ? new Nodes({ ...ports, dice: new Dice(seed, "nodes") })
      : await Cluster.open({ ...ports, seed, nodes: options.nodes, anyone });
  const crowd: Crowd = new Crowd(fleet, options);
  await run(fleet, "prepare", [placeOf(options), accounts, centsEach]);
  crowd.begin();
  await strikeOn(options, fleet, crowd);
  peer.calm = true;
  await fleet.calm();
  const attended = new AbortController();
  const attending = fleet.attend(attended.signal);
  const inTime = await Promise.race([crowd.end().then(() => true), sleep(patienceMs, false, { ref: false })]);
  const tellers = inTime ? ((await run(fleet, "balances", [accounts])) as number[]) : [];
  attended.abort();
  await attending;
  await fleet.close();
  await peer.close();
  const isOverdue = ({ node, beganAtMs, atMs }: Payment): boolean =>
    atMs - beganAtMs > reconciledTimeoutMs || fleet.wasStill(node, atMs);
  const books = await fleet.books();
  const { ended, talks, failures } = crowd;
  const checked = checkBooks({ ended, peer, books, deposited: accounts * centsEach, tellers, isOverdue });
  const problems = [...failures, ...fleet.problems, ...checked.problems];
  const verified = await verify(fleet.store);
  if (!verified.isWhole) problems.push(`perdure verify: ${verified.said}`);
  if (!inTime)
    problems.push(
      `not ended ${patienceMs / 1_000} s after the storm: ${crowd.alive.size} processes, ${[...crowd.alive].join()}`,
    );
  const told = await fleet.told();
  if (problems.length === 0) await fleet.dispose();
  const { kills, store } = fleet;
  return { problems, ended, talks, excused: checked.excused, peer, kills, told, verified: verified.said, store };
}

async function run(fleet: Fleet, entry: string, args: readonly unknown[]): Promise<unknown> {
  return await fleet.ask((node) => node.start(entry, entry, args).then(() => node.result(entry)));
}

async function strikeOn({ forMs, kills, progress }: StormOptions, fleet: Fleet, crowd: Crowd): Promise<void> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < forMs && fleet.kills < kills) {
    await fleet.strike();
    progress(`${fleet.kills} kills, ${crowd.ended.length} transfers, ${crowd.talks} conversations`);
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

const placeOf = ({ store }: StormOptions): Place => (store === "sqlite" ? "file" : "server");

function drawTransfer(dice: Dice, number: number, place: Place): Transfer {
  const from = dice.int(0, accounts - 1);
  const to = (from + dice.int(1, accounts - 1)) % accounts;
  // Now and then more than any account is likely to have.
  const cents = dice.chance(0.05) ? 100 * centsEach : dice.int(1, 400);
  return { id: `t-${number}`, way: dice.weighted(ways), from, to, cents, place };
}
