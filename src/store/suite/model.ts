/** What a store should hold, in the plainest way one can write it: lists, filtered when they are asked. */
import type { Input, Turn } from "../../journal/types.ts";
import type {
  CommitBatch,
  InboxRow,
  LogRow,
  OperationRow,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  SnapshotRow,
  Store,
  TimerRow,
} from "../port.ts";

type Numbered = { readonly process: ProcessKey; readonly number: number };

const byNumber = (a: Numbered, b: Numbered): number => a.process - b.process || a.number - b.number;
const isSame = (a: Numbered) => (b: Numbered) => a.process === b.process && a.number === b.number;

/** Thrown for what a store must refuse. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

interface Content {
  processes: ProcessRow[];
  turns: { process: ProcessKey; turn: Turn }[];
  operations: OperationRow[];
  timers: TimerRow[];
  inbox: InboxRow[];
  logs: Omit<LogRow, "seq">[];
  snapshots: ({ process: ProcessKey } & SnapshotRow)[];
}

export class Model {
  #content: Content = { processes: [], turns: [], operations: [], timers: [], inbox: [], logs: [], snapshots: [] };

  get processes(): readonly ProcessRow[] {
    return this.#content.processes;
  }

  get inbox(): readonly InboxRow[] {
    return this.#content.inbox;
  }

  lastTurn(process: ProcessKey): Turn | undefined {
    return this.#content.turns.findLast((row) => row.process === process)?.turn;
  }

  /** Throws Refused and then is as before. `seqs` are those the store gave; before it was asked, any will do. */
  commit(batch: CommitBatch, seqs: readonly number[] = []): void {
    const before = this.#content;
    // Rows never change, so copies of the lists are enough.
    this.#content = Object.fromEntries(
      Object.entries(before).map(([name, rows]) => [name, [...rows]]),
    ) as unknown as Content;
    try {
      this.#apply(batch, seqs);
    } catch (error) {
      this.#content = before;
      throw error;
    }
  }

  /** Whether the store must refuse the batch, and how. */
  refusal(batch: CommitBatch): string | undefined {
    const before = this.#content;
    try {
      this.commit(batch);
      return undefined;
    } catch (error) {
      if (error instanceof Refused) return error.code;
      throw error;
    } finally {
      this.#content = before;
    }
  }

  post(process: ProcessKey, input: Input, atMs: number, seq: number): void {
    this.#content.inbox.push({ seq, process, input, atMs });
  }

  load(process: ProcessKey): ProcessLoad {
    const { processes, operations, timers, inbox, snapshots } = this.#content;
    const row = processes.find(({ key }) => key === process);
    if (row === undefined) throw new Refused("PROCESS_NOT_FOUND");
    const last = this.lastTurn(process);
    return {
      process: row,
      operations: operations.filter((row) => row.process === process).toSorted(byNumber),
      timers: timers.filter((row) => row.process === process).toSorted(byNumber),
      inbox: inbox.filter((row) => row.process === process),
      snapshots: snapshots
        .filter((row) => row.process === process)
        .toSorted((a, b) => b.turn - a.turn)
        .slice(0, 2)
        .map(({ turn, body }) => ({ turn, body })),
      lastTurn: last?.number ?? 0,
      lastTimeMs: last?.timeMs ?? 0,
    };
  }

  /** Everything, in the shape of `observe`. */
  observe(): unknown {
    const { processes, turns, operations, timers, inbox, logs } = this.#content;
    const keys = processes.map((row) => row.key).toSorted((a, b) => b - a);
    const counts = { running: 0, paused: 0, broken: 0, exited: 0 };
    for (const { state } of processes) counts[state]++;
    const due = (clock: string): TimerRow[] =>
      timers.filter((row) => row.clock === clock).toSorted((a, b) => a.dueMs - b.dueMs || byNumber(a, b));
    return {
      keys,
      counts,
      loads: keys.map((key) => this.load(key)),
      turns: keys.map((key) => turns.filter((row) => row.process === key).map((row) => row.turn)),
      operations: operations.toSorted(byNumber),
      withInbox: [...new Set(inbox.map((row) => row.process))].toSorted((a, b) => a - b),
      due: [due("wall"), due("service")],
      inbox,
      logs,
    };
  }

  #apply(batch: CommitBatch, seqs: readonly number[]): void {
    const content = this.#content;
    for (const row of batch.newProcesses ?? []) {
      if (content.processes.some(({ key }) => key === row.key)) throw new Refused("STORE_FENCED");
      if (content.processes.some(({ pid }) => pid === row.pid)) throw new Refused("PROCESS_ID_CONFLICT");
      content.processes.push(row);
    }
    for (const { process, turn } of batch.turns ?? []) {
      const last = this.lastTurn(process)?.number ?? 0;
      if (turn.number !== last + 1) throw new Refused(turn.number <= last ? "STORE_FENCED" : "STORE_FAILED");
      content.turns.push({ process, turn });
    }
    for (const row of batch.operations ?? []) {
      content.operations = [...content.operations.filter((other) => !isSame(row)(other)), row];
    }
    for (const row of batch.operationsGone ?? []) {
      content.operations = content.operations.filter((other) => !isSame(row)(other));
    }
    for (const row of batch.timers ?? []) {
      content.timers = [...content.timers.filter((other) => !isSame(row)(other)), row];
    }
    for (const row of batch.timersGone ?? []) content.timers = content.timers.filter((other) => !isSame(row)(other));
    content.inbox = content.inbox.filter((row) => batch.inboxGone?.includes(row.seq) !== true);
    for (const [i, row] of (batch.inbox ?? []).entries()) content.inbox.push({ seq: seqs[i] ?? 0, ...row });
    content.logs.push(...(batch.logs ?? []));
    for (const { process, state, problem } of batch.states ?? []) this.#change(process, { state, problem });
    for (const { process, exit } of batch.exits ?? []) {
      this.#change(process, { state: "exited", exit });
      content.operations = content.operations.filter((row) => row.process !== process);
      content.timers = content.timers.filter((row) => row.process !== process);
      content.inbox = content.inbox.filter((row) => row.process !== process);
      content.snapshots = content.snapshots.filter((row) => row.process !== process);
    }
    for (const row of batch.snapshots ?? []) {
      const others = content.snapshots.filter((other) => other.process !== row.process || other.turn !== row.turn);
      content.snapshots = [...others, row];
    }
  }

  #change(process: ProcessKey, change: Partial<ProcessRow>): void {
    const { processes } = this.#content;
    const index = processes.findIndex(({ key }) => key === process);
    const row = processes[index];
    if (row === undefined) throw new Refused("PROCESS_NOT_FOUND");
    if (row.state === "exited") throw new Refused("PROCESS_EXITED");
    processes[index] = { ...row, ...change };
  }
}

/** Everything a store shows, by way of all its reads. */
export async function observe(store: Store): Promise<unknown> {
  const processes = await store.listProcesses({ limit: 1000 });
  const keys = processes.map((row) => row.key);
  const loads: ProcessLoad[] = [];
  const turns: Turn[][] = [];
  for (const key of keys) {
    loads.push(await store.load(key));
    turns.push(await store.turns(key, 1, 1000));
  }
  const { operations, withInbox } = await store.recover();
  return {
    keys,
    counts: await store.countProcesses(),
    loads,
    turns,
    operations,
    withInbox,
    due: [
      await store.dueTimers("wall", -Infinity, Infinity, 1000),
      await store.dueTimers("service", -Infinity, Infinity, 1000),
    ],
    inbox: await store.inboxAfter(0, 1000),
    logs: (await store.logs(undefined, 0, 1000)).map(withoutSeq),
  };
}

function withoutSeq({ process, turn, atMs, level, text }: LogRow): Omit<LogRow, "seq"> {
  return { process, turn, atMs, level, text };
}
