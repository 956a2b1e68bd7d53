/** One process's rows, held against its journal. All that is looked at is of one moment. */
import { isPerdureError } from "../../base/errors.ts";
import { commandDigest } from "../../journal/digest.ts";
import type { Turn } from "../../journal/types.ts";
import { decodeCheckpoint } from "../../kernel/checkpoint-body.ts";
import { kernelOperations } from "../../kernel/effects.ts";
import { isDamage } from "../../kernel/retention.ts";
import { snapshotFault } from "../../machine/snapshot.ts";
import type { ProcessLoad, ProcessRow, Store, StoreReader } from "../../store/port.ts";
import { JournalAccount } from "./journal.ts";
import type { Report } from "./rules.ts";

/** None of its writes is used. */
export type VerifiedStore = StoreReader & Pick<Store, "load">;

const pageTurns = 500;

export interface Checked {
  readonly turns: number;
  /** Undefined if what belongs to the process cannot be read. */
  readonly load: ProcessLoad | undefined;
  /** The journal is whole, so that it can be replayed. */
  readonly replayable: boolean;
}

export async function checkProcess(store: VerifiedStore, row: ProcessRow, report: Report): Promise<Checked> {
  const load = await readable(report, () => store.load(row.key));
  const lastTurn = load?.lastTurn ?? (await store.lastTurn(row.key));
  const account = new JournalAccount(report);
  const damaged = await readJournal(store, row, lastTurn, account, report);
  await checkOthers(store, row, report);
  if (load === undefined) {
    // One damaged row hides the others of its table only.
    await readable(report, () => store.operations(row.key));
    await readable(report, () => store.inbox(row.key));
    await readable(report, () => store.restores(row.key));
    return { turns: lastTurn, load, replayable: false };
  }
  checkRow(load, report);
  checkEnd(load, account, report);
  if (damaged === 0) {
    checkRestores(load, account, report);
    if (load.process.state !== "exited") checkPending(load, account, report);
  }
  return { turns: lastTurn, load, replayable: damaged === 0 };
}

/** Undefined if it is damaged; that is reported. */
async function readable<T>(report: Report, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    report("row", firstSentence(error.message));
    return undefined;
  }
}

/** The advice that follows is for those who meet it unprepared. */
export function firstSentence(message: string): string {
  return message.replace(/\. (Other processes|Nothing was changed|Check the disk|Restore)[^]*$/, "");
}

/** Feeds all turns to the account. Returns how many cannot be read. */
async function readJournal(
  store: VerifiedStore,
  { key }: ProcessRow,
  lastTurn: number,
  account: JournalAccount,
  report: Report,
): Promise<number> {
  let damaged = 0;
  let pageSize = pageTurns;
  for (let next = 1; next <= lastTurn;) {
    let turns: Turn[];
    try {
      turns = await store.turns(key, next, Math.min(pageSize, lastTurn - next + 1));
    } catch (error) {
      if (!isPerdureError(error)) throw error;
      if (pageSize > 1) {
        // One by one through this page: the others of it are to be looked at.
        pageSize = 1;
        continue;
      }
      report("journal-row", firstSentence(error.message));
      damaged++;
      account.skip(next++);
      continue;
    }
    if (turns.length === 0) {
      report("journal-gap", `turn ${next} of ${lastTurn} is not there`);
      return damaged + 1;
    }
    for (const turn of turns) account.add(turn);
    next = account.lastTurn + 1;
    if (pageSize === 1 && damaged > 0) pageSize = pageTurns;
  }
  return damaged;
}

/** What a load does not show. */
async function checkOthers(store: VerifiedStore, { key }: ProcessRow, report: Report): Promise<void> {
  await readable(report, () => store.deadLetters(key, 0, Number.MAX_SAFE_INTEGER));
  await readable(report, () => store.logs(key, 0, 1));
  await readable(report, async () => {
    for (let after: string | undefined = ""; after !== undefined;) {
      const page = await store.edges(key, after, pageTurns);
      after = page.length < pageTurns ? undefined : page.at(-1)?.key;
    }
  });
}

function checkRow({ process, restores, snapshots, lastTurn }: ProcessLoad, report: Report): void {
  const { state, exit, problem, life } = process;
  const hasEnd = state === "exited" || state === "crashed";
  if (hasEnd !== (exit !== undefined))
    report("state", hasEnd ? `it is ${state}, and does not say how it ended` : `it is ${state}, and says how it ended`);
  if (state === "broken") report("broken", problem === "" ? "it is broken, and does not say why" : problem);
  if (life < 1 + restores.length) report("state", `it is in life ${life}, and was restored ${restores.length} times`);
  for (const { turn, body } of snapshots) {
    const fault = snapshotFault(body);
    if (fault !== undefined) report("snapshot", `the snapshot of turn ${turn} cannot be used: ${fault}`);
    if (turn < 1 || turn > lastTurn)
      report("snapshot", `it has a snapshot of turn ${turn}, and its last is ${lastTurn}`);
  }
}

function checkEnd(
  { process: { state, exit, entry }, lastTurn }: ProcessLoad,
  account: JournalAccount,
  report: Report,
): void {
  if (account.entry !== undefined && account.entry !== entry)
    report("state", `it was started as ${JSON.stringify(account.entry)}, and its row says ${JSON.stringify(entry)}`);
  const said = account.exit;
  if (state !== "exited") {
    if (said !== undefined) report("exit", `turn ${lastTurn} ended it (${said.command.target}), and it is ${state}`);
    return;
  }
  if (said === undefined) return report("exit", "it has exited, and no turn of it says so");
  if (exit === undefined) return;
  const { reason, value, atMs } = exit;
  const { digest } = commandDigest({ kind: "exit", reason, value });
  if (reason !== said.command.target || digest !== said.command.digest)
    report("exit", `it ended with ${reason}, and its last turn with ${said.command.target} or another value`);
  else if (atMs !== said.timeMs) report("exit", `it ended at ${atMs} ms, and its last turn was at ${said.timeMs} ms`);
}

function checkRestores({ process, restores, lastTurn }: ProcessLoad, account: JournalAccount, report: Report): void {
  const rows = new Set(restores.map(({ turn }) => turn));
  for (const turn of account.restored)
    if (!rows.has(turn)) report("restore", `turn ${turn} begins a life, and nothing says from which heap`);
  for (const { turn, from } of restores) {
    if (from < 1 || from >= turn || turn > lastTurn + 1)
      report("restore", `a life that begins with turn ${turn} cannot go on from turn ${from}`);
    // One that was over in its first turn is not in the journal, but for the process's end.
    else if (turn <= lastTurn && !account.restored.includes(turn) && !(turn === lastTurn && process.state === "exited"))
      report("restore", `turn ${turn} is to begin a life, and does not`);
  }
  // Put back, and has not had its first turn since.
  if (restores.some(({ turn }) => turn > lastTurn)) account.restore(undefined);
}

function checkPending(load: ProcessLoad, account: JournalAccount, report: Report): void {
  const waiting = new Set<number>();
  for (const { input } of load.inbox) {
    if (input.kind !== "result") continue;
    waiting.add(input.operation);
    if (!account.begun(input.operation))
      report("inbox", `a result of operation ${input.operation} waits, which was never begun`);
  }
  const rows = new Map(load.operations.map(({ number, name }) => [number, name]));
  for (const [number, name] of rows) {
    const begun = account.operations.get(number);
    if (begun === undefined) report("operation", `operation ${number} (${name}) is pending, and nobody waits for it`);
    else if (begun !== name) report("operation", `operation ${number} is called ${name}, and was begun as ${begun}`);
  }
  for (const [number, name] of account.operations) {
    if (rows.has(number) || waiting.has(number)) continue;
    const whose = kernelOperations.has(name)
      ? "the answer to it is not there"
      : "it is neither pending nor has a result";
    report("operation", `it waits for operation ${number} (${name}), and ${whose}`);
  }
  checkTimers(load, account, report);
  if (load.process.trapsExits !== account.trapsExits)
    report("state", `it traps exits: ${load.process.trapsExits}, and its journal says ${account.trapsExits}`);
  checkCheckpoint(load, account, report);
}

function checkTimers({ timers, inbox }: ProcessLoad, account: JournalAccount, report: Report): void {
  const rows = new Set(timers.map(({ number }) => number));
  const fired = new Set(inbox.flatMap(({ input }) => (input.kind === "timer" ? [input.timer] : [])));
  for (const number of rows)
    if (!account.timers.has(number)) report("timer", `timer ${number} is set, and nobody waits for it`);
  for (const number of account.timers)
    if (!rows.has(number) && !fired.has(number)) report("timer", `it waits for timer ${number}, which is not set`);
}

function checkCheckpoint({ checkpoint }: ProcessLoad, account: JournalAccount, report: Report): void {
  if ((checkpoint?.turn ?? 0) !== account.checkpointTurn)
    report(
      "checkpoint",
      `its checkpoint is of turn ${checkpoint?.turn ?? 0}, and its journal says ${account.checkpointTurn}`,
    );
  if (checkpoint === undefined) return;
  try {
    decodeCheckpoint(checkpoint.body);
  } catch (error) {
    report("checkpoint", firstSentence(error instanceof Error ? error.message : String(error)));
  }
}
