/** Many scenarios, run one after the other on one machine. */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Crashes } from "./crashes.ts";
import { parseCase } from "./format.ts";
import type { Case } from "./format.ts";
import { Machines } from "./machines.ts";
import { patient } from "./patient.ts";
import { randomCase } from "./random.ts";
import { describeFailure } from "./report.ts";
import { runCase } from "./run.ts";

/** The repository's own cases. */
export const ownCases: string = fileURLToPath(new URL("cases", import.meta.url));

export interface Entry {
  readonly name: string;
  /** Throws if it is no case of the format. */
  load(): Promise<Case>;
}

/** The case files of a folder. Throws if it holds none. */
export async function casesIn(folder: string): Promise<Entry[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted();
  if (files.length === 0) throw new Error(`${folder} holds no case file (*.json).`);
  return files.map((file) => ({
    name: path.basename(file, ".json"),
    load: async () => parseCase(await readFile(path.join(folder, file), "utf8")),
  }));
}

/** Scenarios of so many seeds, with what the model expects of them. */
export function randomCases(firstSeed: number, count: number): Entry[] {
  return Array.from({ length: count }, (_, index) => {
    const scenario = randomCase(firstSeed + index);
    return { name: scenario.name, load: async () => scenario };
  });
}

export interface SuiteOptions {
  /** With it the node dies again and again, as the seed says. */
  readonly crashSeed?: number | undefined;
  /** So many nodes own the store together, and processes live on any of them. Default 1. */
  readonly nodes?: number;
  /** Told of every case that fails, in words. */
  readonly failed: (description: string) => void;
}

export interface SuiteResult {
  readonly passed: number;
  readonly failed: number;
  /** How often the node died or was closed. */
  readonly deaths: number;
}

export async function runSuite(entries: readonly Entry[], options: SuiteOptions): Promise<SuiteResult> {
  const { crashSeed, nodes = 1, failed } = options;
  const machines = await Machines.open(fileURLToPath(new URL("program.ts", import.meta.url)));
  const counts = { passed: 0, failed: 0, deaths: 0 };
  for (const entry of entries) {
    const { name } = entry;
    // What is said to several at once reaches them in one order on one node only.
    if (nodes > 1 && (await hasBursts(entry))) continue;
    // Each case has a seed of its own, which does not depend on what else is run.
    const crashes = crashSeed === undefined ? undefined : new Crashes(crashSeed, name);
    const description = await run(entry, machines, crashes, nodes);
    counts[description === undefined ? "passed" : "failed"]++;
    counts.deaths += crashes?.count ?? 0;
    if (description !== undefined) failed(description);
  }
  return counts;
}

async function hasBursts({ load }: Entry): Promise<boolean> {
  return (await load()).steps.some(({ action }) => action.do === "burst");
}

/** What went wrong, if anything did. */
async function run(
  { name, load }: Entry,
  machines: Machines,
  crashes: Crashes | undefined,
  nodes: number,
): Promise<string | undefined> {
  try {
    const scenario = await load();
    const isBeside = nodes > 1 && crashes !== undefined;
    const failure = await runCase(isBeside ? patient(scenario) : scenario, machines, crashes, nodes);
    return failure === undefined ? undefined : describeFailure(name, failure);
  } catch (error) {
    return `${name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
