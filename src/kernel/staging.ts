/** Puts what happened on the stage for the next commit, and keeps the processes in memory in step with it. */
import type { Passage, Stage } from "./batch.ts";
import { droppedBy } from "./dropped.ts";
import type { TurnEffects } from "./effects.ts";
import { arrived, tellDurable } from "./live.ts";
import type { Live, PendingOperation, QueuedInput } from "./live.ts";

/** What has to be done about operations once a turn is committed. */
export interface StagedOperations {
  readonly begun: readonly PendingOperation[];
  readonly aborted: readonly PendingOperation[];
}

/** Everything a turn did, in one commit. Nothing of it may be seen before `stage.effects` run. */
export function stageTurn(
  stage: Stage,
  live: Live,
  effects: TurnEffects,
  inputs: readonly QueuedInput[],
): StagedOperations {
  const process = live.row.key;
  for (const queued of inputs) {
    queued.consumed = true;
    stage.consumed.push(queued);
    stageEdge(stage, queued);
  }
  stageRow(stage, live);
  const dropped = droppedBy(live, effects);
  stage.turns.push({ process, turn: dropped.length === 0 ? effects.turn : { ...effects.turn, dropped } });
  stage.operations.push(...effects.operations);
  stage.timers.push(...effects.timers);
  stage.logs.push(...effects.logs);
  for (const number of effects.operationsGone) stage.operationsGone.push({ process, number });
  for (const number of effects.timersGone) stage.timersGone.push({ process, number });
  if (effects.exit !== undefined) {
    live.exiting = true;
    stage.exits.push({ process, exit: effects.exit });
  }
  live.uncommitted++;
  return keepInStep(live, effects);
}

function keepInStep(live: Live, effects: TurnEffects): StagedOperations {
  const begun = effects.operations.map((row): PendingOperation => ({
    row,
    inherited: false,
    token: undefined,
    settled: false,
  }));
  for (const operation of begun) live.operations.set(operation.row.number, operation);
  const aborted = effects.operationsAborted.flatMap((number) => live.operations.get(number) ?? []);
  for (const number of effects.operationsGone) live.operations.delete(number);
  for (const row of effects.timers) live.timers.set(row.number, { row, fired: false });
  for (const number of effects.timersGone) live.timers.delete(number);
  return { begun, aborted };
}

/**
 * The process row goes with the first commit that has anything of the process. If its start is not part of that commit it
 * gets a row of its own there: a process without one could never run.
 */
export function stageRow(stage: Stage, live: Live): void {
  if (live.rowStaged) return;
  live.rowStaged = true;
  stage.newProcesses.push(live.row);
  if (live.start !== undefined && !live.start.consumed && !live.start.spilled) stageSpill(stage, live, live.start);
}

/** The key it is asked under goes with the commit that makes it durable. */
export function stageEdge(stage: Stage, queued: QueuedInput): void {
  if (queued.edge !== undefined) stage.edges.push(queued.edge);
  queued.edge = undefined;
}

/**
 * An input that a turn brings about is part of that turn's commit: as a row of the inbox, unless the receiver has taken it by
 * then.
 */
export function stageMessage(stage: Stage, receiver: Live, queued: QueuedInput, passage?: Passage): void {
  queued.spilled = true;
  stageRow(stage, receiver);
  stage.inbox.push({ process: receiver.row.key, queued, ...(receiver.away ? { away: true } : {}), ...passage });
}

/** An operator stopped the process's turns, or lets them go on. */
export function stageControl(stage: Stage, live: Live): void {
  const { key: process, state, problem, exit } = live.row;
  if (state === "exited") return;
  stageRow(stage, live);
  stage.states.push({ process, state, problem, ...(exit === undefined ? {} : { exit }) });
  pin(stage, live);
}

/** Keeps a process in memory until what is being staged is committed. */
export function pin(stage: Stage, live: Live): void {
  live.pins++;
  stage.effects.push(() => {
    live.pins--;
  });
}

/** The input goes, and no turn takes it. The process stays until that is durable: brought back before, it would come with it again. */
export function stageConsumed(stage: Stage, live: Live, queued: QueuedInput): void {
  queued.consumed = true;
  stage.consumed.push(queued);
  pin(stage, live);
}

/** An input that waited too long for its turn gets a row of its own. */
export function stageSpill(stage: Stage, live: Live, queued: QueuedInput): void {
  const process = live.row.key;
  stageRow(stage, live);
  // It was the start, and went with the row.
  if (queued.spilled) return;
  queued.spilled = true;
  stage.inbox.push({ process, queued });
  stageEdge(stage, queued);
  const input = arrived(queued);
  if (input.kind === "result") stage.operationsGone.push({ process, number: input.operation });
  stage.effects.push(() => {
    live.start = undefined;
    tellDurable(queued);
  });
}

/** The process takes no turns any more, until a person has looked at it. `told` is called after the commit. */
export function stageBroken(stage: Stage, live: Live, problem: string, told: () => void): void {
  live.row = { ...live.row, state: "broken", problem };
  stageRow(stage, live);
  stage.states.push({ process: live.row.key, state: "broken", problem });
  live.uncommitted++;
  stage.effects.push(() => {
    live.uncommitted--;
    told();
  });
}
