/** What a store should hold, in the plainest way one can write it: lists, filtered when they are asked. */
import type { Pid, Turn } from "../../journal/types.ts";
import type {
  CheckpointRow,
  CommitBatch,
  Asked,
  DeadLetterRow,
  EdgeRow,
  InboxRow,
  Link,
  LogRow,
  MonitorRow,
  NameRow,
  OperationRow,
  ProcessExit,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  RestoreRow,
  SnapshotRow,
  Store,
  TimerRow,
} from "../port.ts";

type Numbered = { readonly process: ProcessKey; readonly number: number };

const byNumber = (a: Numbered, b: Numbered): number => a.process - b.process || a.number - b.number;
const byName = (a: NameRow, b: NameRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.process - b.process);
const byWatcher = (a: MonitorRow, b: MonitorRow): number => a.watcher - b.watcher || a.number - b.number;
const isLink = (a: Link) => (b: Link) => (a.a === b.a && a.b === b.b) || (a.a === b.b && a.b === b.a);
const isMonitor = (a: Omit<MonitorRow, "target">) => (b: MonitorRow) =>
  a.watcher === b.watcher && a.number === b.number;
const isMember = (a: Named) => (b: Named) => a.name === b.name && a.process === b.process;
const isSame = (a: Numbered) => (b: Numbered) => a.process === b.process && a.number === b.number;

const isLost = ({ state }: EdgeRow): boolean => state === "set-aside" || state === "forgotten";
const isSameEdge = (a: Pick<EdgeRow, "process" | "key" | "digest">) => (b: EdgeRow) =>
  a.process === b.process && a.key === b.key && a.digest === b.digest;

type Named = Omit<NameRow, "pid">;

/** What a store gave numbers to, in the order of the batch. */
export interface GivenSeqs {
  readonly inbox: readonly number[];
  readonly deadLetters: readonly number[];
}

/** Thrown for what a store must refuse. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** `posted`: the inbox row it came with. */
type ModelEdge = EdgeRow & { readonly posted: number | undefined };

interface Content {
  processes: ProcessRow[];
  turns: { process: ProcessKey; turn: Turn }[];
  operations: OperationRow[];
  timers: TimerRow[];
  inbox: InboxRow[];
  logs: Omit<LogRow, "seq">[];
  snapshots: ({ process: ProcessKey } & SnapshotRow)[];
  links: Link[];
  monitors: MonitorRow[];
  names: Named[];
  groups: Named[];
  checkpoints: ({ process: ProcessKey } & CheckpointRow)[];
  restores: ({ process: ProcessKey } & RestoreRow)[];
  deadLetters: DeadLetterRow[];
  edges: ModelEdge[];
}

function nothing(): Content {
  return {
    processes: [],
    turns: [],
    operations: [],
    timers: [],
    inbox: [],
    logs: [],
    snapshots: [],
    links: [],
    monitors: [],
    names: [],
    groups: [],
    checkpoints: [],
    restores: [],
    deadLetters: [],
    edges: [],
  };
}

export class Model {
  #content: Content = nothing();

  get processes(): readonly ProcessRow[] {
    return this.#content.processes;
  }

  get inbox(): readonly InboxRow[] {
    return this.#content.inbox;
  }

  get deadLetters(): readonly DeadLetterRow[] {
    return this.#content.deadLetters;
  }

  lastTurn(process: ProcessKey): Turn | undefined {
    return this.#content.turns.findLast((row) => row.process === process)?.turn;
  }

  /** Throws Refused and then is as before. `seqs` are those the store gave; before it was asked, any will do. */
  commit(batch: CommitBatch, seqs: GivenSeqs = { inbox: [], deadLetters: [] }): void {
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

  post(process: ProcessKey, row: Omit<InboxRow, "process">, asked: Asked | undefined): void {
    this.#content.inbox.push({ ...row, process });
    if (asked === undefined) return;
    const { key, digest, about, state } = asked;
    const edge = { process, key, digest, about, state, atMs: row.atMs, answer: undefined, posted: row.seq };
    this.#content.edges.push(edge);
  }

  edge(process: ProcessKey, key: string): EdgeRow | undefined {
    return this.#content.edges.find((row) => row.process === process && row.key === key);
  }

  /** Inbox rows whose place the batch takes; what it consumes itself is gone by then. */
  supersededBy({ edges = [], inboxGone = [] }: CommitBatch): number[] {
    const { inbox } = this.#content;
    const posted = edges.flatMap((edge) => this.#content.edges.find((row) => isSameEdge(edge)(row))?.posted ?? []);
    return posted.filter((seq) => inbox.some((row) => row.seq === seq) && !inboxGone.includes(seq));
  }

  load(process: ProcessKey): ProcessLoad {
    const { processes, operations, timers, inbox, snapshots, monitors, checkpoints } = this.#content;
    const checkpoint = checkpoints.find((row) => row.process === process);
    const row = processes.find(({ key }) => key === process);
    if (row === undefined) throw new Refused("PROCESS_NOT_FOUND");
    const last = this.lastTurn(process);
    return {
      process: row,
      operations: operations.filter((row) => row.process === process).toSorted(byNumber),
      timers: timers.filter((row) => row.process === process).toSorted(byNumber),
      inbox: inbox.filter((row) => row.process === process),
      snapshots: snapshots.filter((row) => row.process === process).map(({ turn, body }) => ({ turn, body })),
      links: this.#linksOf(process),
      monitors: monitors.filter(({ watcher }) => watcher === process).toSorted(byWatcher),
      watchers: monitors.filter(({ target }) => target === process).toSorted(byWatcher),
      checkpoint: checkpoint === undefined ? undefined : { turn: checkpoint.turn, body: checkpoint.body },
      restores: this.#restoresOf(process),
      lastTurn: last?.number ?? 0,
      lastTimeMs: last?.timeMs ?? 0,
    };
  }

  /** Everything, in the shape of `observe`. */
  observe(): unknown {
    const { processes, turns, operations, timers, inbox, logs, names, groups, monitors, deadLetters } = this.#content;
    const keys = processes.map((row) => row.key).toSorted((a, b) => b - a);
    const counts = { running: 0, paused: 0, crashed: 0, broken: 0, moving: 0, exited: 0 };
    for (const { state } of processes) counts[state]++;
    const due = (clock: string): TimerRow[] =>
      timers.filter((row) => row.clock === clock).toSorted((a, b) => a.dueMs - b.dueMs || byNumber(a, b));
    const pidOf = (process: ProcessKey): Pid => processes.find(({ key }) => key === process)?.pid ?? "";
    const list = (rows: readonly Named[]): NameRow[] =>
      rows.map((row) => ({ ...row, pid: pidOf(row.process) })).toSorted(byName);
    return {
      keys,
      counts,
      loads: keys.map((key) => this.load(key)),
      names: list(names),
      groups: list(groups),
      relations: keys.map((key) => ({
        links: this.#linksOf(key).map(pidOf),
        monitors: monitors
          .filter(({ watcher }) => watcher === key)
          .toSorted(byWatcher)
          .map(({ target }) => pidOf(target)),
      })),
      restores: keys.map((key) => this.#restoresOf(key)),
      deadLetters,
      edges: keys.map((key) => this.#edgesOf(key)),
      deadLettersOf: keys.map((key) => deadLetters.filter((row) => row.process === key)),
      turns: keys.map((key) => turns.filter((row) => row.process === key).map((row) => row.turn)),
      operations: operations.toSorted(byNumber),
      withInbox: [...new Set(inbox.map((row) => row.process))].toSorted((a, b) => a - b),
      due: [due("wall"), due("service")],
      inbox,
      logs,
    };
  }

  #linksOf(process: ProcessKey): ProcessKey[] {
    return this.#content.links
      .filter(({ a, b }) => a === process || b === process)
      .map(({ a, b }) => (a === process ? b : a))
      .toSorted((a, b) => a - b);
  }

  #edgesOf(process: ProcessKey): EdgeRow[] {
    return this.#content.edges
      .filter((row) => row.process === process)
      .map(({ key, digest, about, atMs, state, answer }) => ({ process, key, digest, about, atMs, state, answer }))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }

  #restoresOf(process: ProcessKey): RestoreRow[] {
    return this.#content.restores
      .filter((row) => row.process === process)
      .map(({ turn, from }) => ({ turn, from }))
      .toSorted((a, b) => a.turn - b.turn);
  }

  #apply(batch: CommitBatch, seqs: GivenSeqs): void {
    this.#addRows(batch, seqs.inbox);
    for (const { process, state, problem, exit } of batch.states ?? []) {
      this.#change(process, { state, problem }, state === "crashed" ? exit : undefined);
    }
    for (const { process, on } of batch.traps ?? []) this.#change(process, { trapsExits: on });
    this.#relate(batch);
    this.#setBack(batch, seqs.deadLetters);
    for (const { process, exit } of batch.exits ?? []) this.#exit(process, exit);
    const content = this.#content;
    for (const row of batch.snapshots ?? []) {
      const others = content.snapshots.filter((other) => other.process !== row.process);
      const own = content.snapshots.filter((other) => other.process === row.process && other.turn !== row.turn);
      const all = [...own, row].toSorted((a, b) => b.turn - a.turn);
      const checkpoint = content.checkpoints.find(({ process }) => process === row.process);
      const restorable = all.findIndex(({ turn }) => checkpoint !== undefined && turn <= checkpoint.turn);
      content.snapshots = [...others, ...all.filter((_, index) => index < 2 || index === restorable)];
    }
  }

  #addRows(batch: CommitBatch, inboxSeqs: readonly number[]): void {
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
    for (const [i, row] of (batch.inbox ?? []).entries()) content.inbox.push({ seq: inboxSeqs[i] ?? 0, ...row });
    this.#ask(batch);
    content.logs.push(...(batch.logs ?? []));
  }

  #ask(batch: CommitBatch): void {
    const content = this.#content;
    const superseded = this.supersededBy(batch);
    content.inbox = content.inbox.filter(({ seq }) => !superseded.includes(seq));
    for (const edge of batch.edges ?? []) {
      if (this.edge(edge.process, edge.key) === undefined) {
        content.edges.push({ ...edge, answer: undefined, posted: undefined });
      }
    }
    for (const end of batch.edgeEnds ?? []) {
      content.edges = content.edges.map((row) => {
        const mayEnd = row.state === "open" || (end.state === "answered" && isLost(row));
        return isSameEdge(end)(row) && mayEnd ? { ...row, state: end.state, answer: end.answer } : row;
      });
    }
  }

  #relate(batch: CommitBatch): void {
    const content = this.#content;
    for (const row of batch.links ?? []) if (!content.links.some(isLink(row))) content.links.push(row);
    for (const row of batch.linksGone ?? []) content.links = content.links.filter((other) => !isLink(row)(other));
    for (const row of batch.monitors ?? []) if (!content.monitors.some(isMonitor(row))) content.monitors.push(row);
    for (const row of batch.monitorsGone ?? []) {
      content.monitors = content.monitors.filter((other) => !isMonitor(row)(other));
    }
    content.names = content.names.filter(({ name }) => batch.namesGone?.includes(name) !== true);
    for (const row of batch.names ?? []) {
      const holder = content.names.find(({ name }) => name === row.name)?.process;
      if (holder !== undefined && holder !== row.process) throw new Refused("STORE_FENCED");
      if (holder === undefined) content.names.push(row);
    }
    for (const row of batch.groupsGone ?? []) content.groups = content.groups.filter((other) => !isMember(row)(other));
    for (const row of batch.groups ?? []) if (!content.groups.some(isMember(row))) content.groups.push(row);
  }

  #setBack(batch: CommitBatch, deadLetterSeqs: readonly number[]): void {
    const content = this.#content;
    for (const row of batch.checkpoints ?? []) {
      content.checkpoints = [...content.checkpoints.filter(({ process }) => process !== row.process), row];
    }
    for (const { process, life, turn, from } of batch.restores ?? []) {
      this.#change(process, { life });
      const others = content.restores.filter((row) => row.process !== process || row.turn !== turn);
      content.restores = [...others, { process, turn, from }];
      content.snapshots = content.snapshots.filter(
        (row) => row.process !== process || row.turn <= from || row.turn >= turn,
      );
    }
    for (const [i, row] of (batch.deadLetters ?? []).entries()) {
      content.deadLetters.push({ seq: deadLetterSeqs[i] ?? 0, ...row });
    }
    content.deadLetters = content.deadLetters.filter(({ seq }) => batch.deadLettersGone?.includes(seq) !== true);
  }

  #exit(process: ProcessKey, exit: ProcessExit): void {
    this.#change(process, { state: "exited" }, exit);
    const content = this.#content;
    const others = (row: { readonly process: ProcessKey }): boolean => row.process !== process;
    content.operations = content.operations.filter(others);
    content.timers = content.timers.filter(others);
    content.inbox = content.inbox.filter(others);
    content.snapshots = content.snapshots.filter(others);
    content.checkpoints = content.checkpoints.filter(others);
    content.names = content.names.filter(others);
    content.groups = content.groups.filter(others);
    content.links = content.links.filter(({ a, b }) => a !== process && b !== process);
    content.monitors = content.monitors.filter(({ watcher, target }) => watcher !== process && target !== process);
  }

  /** `exit` takes the place of the one before, which is kept only by changes that say nothing of the state. */
  #change(process: ProcessKey, change: Partial<ProcessRow>, exit?: ProcessExit): void {
    const { processes } = this.#content;
    const index = processes.findIndex(({ key }) => key === process);
    const row = processes[index];
    if (row === undefined) throw new Refused("PROCESS_NOT_FOUND");
    if (row.state === "exited") throw new Refused("PROCESS_EXITED");
    const { exit: before, ...rest } = row;
    const shown = change.state === undefined ? before : exit;
    processes[index] = { ...rest, ...change, ...(shown === undefined ? {} : { exit: shown }) };
  }
}

/** Everything a store shows, by way of all its reads. */
export async function observe(store: Store): Promise<unknown> {
  const processes = await store.listProcesses({ limit: 1000 });
  const keys = processes.map((row) => row.key);
  const loads: ProcessLoad[] = [];
  const turns: Turn[][] = [];
  const relations: unknown[] = [];
  const restores: RestoreRow[][] = [];
  const deadLettersOf: DeadLetterRow[][] = [];
  const edges: EdgeRow[][] = [];
  for (const key of keys) {
    relations.push(await store.relations(key));
    restores.push(await store.restores(key));
    edges.push(await store.edges(key, "", 1000));
    deadLettersOf.push(await store.deadLetters(key, 0, 1000));
    loads.push(await store.load(key));
    turns.push(await store.turns(key, 1, 1000));
  }
  const { operations, withInbox } = await store.recover();
  return {
    keys,
    counts: await store.countProcesses(),
    loads,
    names: await store.names(),
    groups: await store.groups(),
    relations,
    restores,
    deadLetters: await store.deadLetters(undefined, 0, 1000),
    edges,
    deadLettersOf,
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
