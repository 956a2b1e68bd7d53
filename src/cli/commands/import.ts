/** `perdure import`: puts the process of a file into the store. */
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { syncFolder } from "../../engine/archive/write.ts";
import { Engine } from "../../engine/engine.ts";
import { dropFolder, dropName, reasonName } from "../../engine/files/drop.ts";
import { importProcess } from "../../engine/files/import.ts";
import { fileBytes, readProcessFile } from "../../engine/files/read.ts";
import { Scratch } from "../../engine/files/scratch.ts";
import { defaultMachineLimits } from "../../machine/image.ts";
import { defaultPoolLimits } from "../../machine/pool.ts";
import { engineOptions } from "../config.ts";
import { storeExists } from "../../store/open.ts";
import { inMemory, isPostgresUrl, shownPlace } from "../../store/place.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { goOnCommand, isNodeRunning, withReader } from "../reader.ts";

interface Options {
  readonly paused?: boolean;
  readonly verify: boolean;
}

const lookEveryMs = 50;

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
      if (beside && isPostgresUrl(context.store)) throw besideNode(context);
      const pid = beside ? await importBeside(context, place, options) : await importAlone(context, place, options);
      await report(context, pid, beside);
    });
  });
}

/** The folder beside a store is how others hand a file to its node, and this store has none. */
function besideNode({ store }: Context): PerdureError {
  const place = shownPlace(store);
  return new PerdureError(
    "STORE_IN_USE",
    `A node runs on the store ${place}, and on PostgreSQL only that node can import a process file into it. Stop the nodes and import it then, or let the program that runs the node do it: engine.import(file).`,
    { details: { path: place } },
  );
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

/** The node takes it from the folder beside the store. It has been verified by then: guest code shall not run where the node lives. */
async function importBeside(context: Context, place: string, { verify, paused = false }: Options): Promise<string> {
  const { file, pid } = await look(context, place, verify);
  const folder = dropFolder(context.store);
  const [reason, target] = [path.join(folder, reasonName(file)), path.join(folder, dropName(file, paused))];
  await mkdir(folder, { recursive: true });
  await rm(reason, { force: true });
  await rm(`${target}.refused`, { force: true });
  await pipeline(createReadStream(place), createWriteStream(`${target}.part`));
  const handle = await open(`${target}.part`, "r+");
  await handle.sync();
  await handle.close();
  await rename(`${target}.part`, target);
  await syncFolder(folder);
  return await withReader(context, async (reader) => {
    for (;;) {
      const isRunning = await isNodeRunning(context);
      // The reason is there before the file is put aside.
      const isTaken = !existsSync(target);
      if (existsSync(reason)) {
        const { code, message } = JSON.parse(await readFile(reason, "utf8")) as { code: ErrorCode; message: string };
        await rm(reason, { force: true });
        await rm(`${target}.refused`, { force: true });
        throw new PerdureError(code, message, { details: { file, pid } });
      }
      if (isTaken && (await reader.imported(file)) !== undefined) return pid;
      if (!isRunning) return await waitingFor(context, pid);
      await sleep(lookEveryMs);
    }
  });
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
