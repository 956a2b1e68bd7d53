/** `perdure import`: puts the process of a file into the store. */
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { PerdureError } from "../../base/errors.ts";
import { Engine } from "../../engine/engine.ts";
import { importProcess } from "../../engine/files/import.ts";
import { fileBytes, readProcessFile } from "../../engine/files/read.ts";
import { Scratch } from "../../engine/files/scratch.ts";
import { defaultMachineLimits } from "../../machine/image.ts";
import { defaultPoolLimits } from "../../machine/pool.ts";
import { engineOptions } from "../config.ts";
import { handoverLost } from "../../store/handovers.ts";
import { storeExists } from "../../store/open.ts";
import { inMemory } from "../../store/place.ts";
import type { StoreReader } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { goOnCommand, isNodeRunning, withReader } from "../reader.ts";

interface Options {
  readonly paused?: boolean;
  readonly verify: boolean;
}

const lookEveryMs = 100;

export function importCommand(): Command {
  const command = defineCommand(
    "import",
    "Puts the process of a file into the store, where it goes on. Prints its pid.",
    [
      "perdure import order-7.perdure --store other.db",
      "ssh shop perdure export order-7 | perdure import -",
      "perdure import order-7.perdure --paused     # until: perdure unpause order-7",
    ],
  )
    .argument("<file>", 'the process file; "-" for standard input')
    .option("--paused", "leave it paused")
    .option("--no-verify", "do not replay it first; its checksums are looked at all the same");
  return act<Options>(command, async (context, [file = ""], options) => {
    if (context.store === inMemory) throw usageError('A store "memory:" dies with the command that made it.');
    await withFile(file, async (place) => {
      const beside = (await storeExists(context.store)) && (await isNodeRunning(context));
      const pid = beside ? await importBeside(context, place, options) : await importAlone(context, place, options);
      await report(context, pid, beside);
    });
  });
}

/** Standard input is read twice, so it becomes a file first. */
async function withFile(file: string, work: (place: string) => Promise<void>): Promise<void> {
  if (file !== "-") return await work(path.resolve(file));
  const folder = await mkdtemp(path.join(tmpdir(), "perdure-import-"));
  try {
    const place = path.join(folder, "stdin.perdure");
    await pipeline(process.stdin, createWriteStream(place));
    await work(place);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function importAlone({ config, store }: Context, place: string, options: Options): Promise<string> {
  const { limits } = engineOptions(config, { limits: defaultMachineLimits, pool: defaultPoolLimits });
  const engine = await Engine.open({ store, still: true, ...(limits === undefined ? {} : { limits }) });
  try {
    const { verify, paused = false } = options;
    return (await engine.import(place, { verify, ...(paused ? { paused } : {}) })).pid;
  } finally {
    await engine.close();
  }
}

/** A node takes it from there. It has been verified by then: guest code shall not run where nodes live. */
async function importBeside(context: Context, place: string, { verify, paused = false }: Options): Promise<string> {
  const { file, pid } = await look(context, place, verify);
  return await withReader(context, async (reader) => {
    const { handovers, sharing } = reader;
    if (handovers === undefined) throw new Error("nobody can be beside this store's node");
    const id = await handovers.handOver({ file, paused, bytes: fileBytes(place), nowMs: Date.now });
    for (;;) {
      const isRunning =
        sharing === undefined ? await isNodeRunning(context) : (await sharing.incarnations()).length > 0;
      const outcome = await handovers.outcome(id);
      if (outcome.state === "refused")
        throw new PerdureError(outcome.code, outcome.message, { details: { file, pid } });
      if (outcome.state === "imported") return pid;
      if (outcome.state === "gone") return await ended(reader, file, pid);
      if (!isRunning) return await waitingFor(context, pid);
      await sleep(lookEveryMs);
    }
  });
}

/** How it ended was forgotten, or somebody has removed it. */
async function ended(reader: StoreReader, file: string, pid: string): Promise<string> {
  if ((await reader.imported(file)) !== undefined) return pid;
  throw handoverLost(file);
}

async function waitingFor({ terminal }: Context, pid: string): Promise<string> {
  terminal.note("The node has stopped. The process is imported by the next one.");
  return pid;
}

/** Which it is, after it has been checked: by replay, or by its checksums alone. */
async function look({ config }: Context, place: string, verify: boolean): Promise<{ file: string; pid: string }> {
  const { limits } = engineOptions(config, { limits: defaultMachineLimits, pool: defaultPoolLimits });
  const scratch = verify ? await Scratch.create(limits?.limits) : undefined;
  try {
    const targets = scratch === undefined ? [] : [scratch];
    return await importProcess(readProcessFile(fileBytes(place)), targets, false);
  } finally {
    await scratch?.remove();
  }
}

async function report(context: Context, pid: string, nodeRunning: boolean): Promise<void> {
  const { json, terminal } = context;
  if (json) return terminal.print(JSON.stringify({ pid, nodeRunning }));
  terminal.print(pid);
  if (nodeRunning) return;
  const goOn = await withReader(context, (reader) => goOnCommand(context, reader));
  terminal.note(`No node is running. It goes on with the next one, such as: ${goOn}`);
}
