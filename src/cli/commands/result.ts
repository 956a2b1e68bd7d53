/** `perdure result`: how a process ended. */
import type { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { PerdureError } from "../../base/errors.ts";
import { findEver, isUnfinished } from "../../engine/generations.ts";
import type { Ever } from "../../engine/generations.ts";
import { findProcess } from "../../engine/views.ts";
import type { Pid } from "../../journal/types.ts";
import type { ProcessRow, StoreReader } from "../../store/port.ts";
import { commandLine } from "../arguments.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { exitCodes } from "../failure.ts";
import { printOutcome } from "../outcome.ts";
import { isNodeRunning, resumeCommand, withReader } from "../reader.ts";
import { readOutcome } from "../read-outcome.ts";

interface ResultOptions {
  readonly wait?: boolean;
}

const lookEveryMs = 100;
/** A node that is being restarted may be away for so long. */
const nodeAwayMs = 5000;

export function resultCommand(): Command {
  const command = defineCommand(
    "result",
    "Prints the result of a process, as run does. Exit code 3 if it has not ended.",
    [
      "perdure result order-7",
      "perdure result order-7 --wait             # beside a running node",
      "perdure result order-7 --json | jq .value",
    ],
  )
    .argument("<pid>", "the process")
    .option("--wait", "wait for its end, as long as a node is running");
  return act<ResultOptions>(command, async (context, [pid = ""], options) => {
    return await withReader(context, async (reader) => {
      if (options.wait === true && mayEnd(await findEver(reader, pid))) await waitForEnd(context, reader, pid);
      const outcome = await readOutcome(reader, pid);
      return outcome === undefined ? notEnded(context, await findProcess(reader, pid)) : printOutcome(context, outcome);
    });
  });
}

/** A broken process waits for a person, and nothing else comes of it. */
function mayEnd(row: Ever | undefined): boolean {
  return isUnfinished(row) && row.state !== "broken";
}

/** Returns at the end, or when nothing more can be expected because no node is running. */
async function waitForEnd(context: Context, reader: StoreReader, pid: Pid): Promise<void> {
  let seenMs = (await isNodeRunning(context)) ? performance.now() : -Infinity;
  while (performance.now() - seenMs < nodeAwayMs) {
    await sleep(lookEveryMs);
    if (!mayEnd(await findEver(reader, pid))) return;
    if (await isNodeRunning(context)) seenMs = performance.now();
  }
}

async function notEnded(context: Context, { pid, state, problem }: ProcessRow): Promise<number> {
  const { json, terminal } = context;
  if (state === "broken") {
    const code = problem.startsWith("diverged") ? "PROCESS_DIVERGED" : "PROCESS_BROKEN";
    throw new PerdureError(code, `Process ${pid} cannot go on: ${problem}`, { details: { pid } });
  }
  if (json) terminal.print(JSON.stringify({ pid, state }));
  const advice = (await isNodeRunning(context))
    ? state === "paused"
      ? `It is paused. Let it go on with: ${commandLine(["perdure", "unpause", pid, ...context.storeWords])}`
      : "Wait for it with --wait."
    : `No node is running. Go on with: ${resumeCommand(context, "--pid", pid)}`;
  terminal.note(`Process ${pid} has not ended. ${advice}`);
  return exitCodes.unfinished;
}
