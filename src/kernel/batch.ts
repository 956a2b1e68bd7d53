/**
 * The group commit. Whatever happens while a commit is under way is staged for the next one, so commits grow with the
 * load and a lone turn is committed at once. Effects become visible (operations start, logs print, callers hear) only
 * after the commit that holds them: the output commit rule.
 */
import type {
  Arrival,
  CheckpointRow,
  CommitBatch,
  DeadLetterRow,
  Departure,
  EdgeEnd,
  LogRow,
  MonitorRow,
  NewEdge,
  NewInboxRow,
  OperationRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  RestoreRow,
  SnapshotRow,
  Store,
  TimerRow,
} from "../store/port.ts";
import type { Turn } from "../journal/types.ts";
import { AwayStage } from "./away-stage.ts";
import { arrived } from "./live.ts";
import type { QueuedInput } from "./live.ts";

type Mutable<T> = { -readonly [K in keyof T]-?: NonNullable<T[K]> extends readonly (infer R)[] ? R[] : T[K] };

/** What goes with an input to another node. */
export type Passage = Pick<NewInboxRow, "tie" | "orElse" | "away">;

/** What is staged for one commit. */
export class Stage {
  readonly newProcesses: ProcessRow[] = [];
  readonly turns: { process: ProcessKey; turn: Turn }[] = [];
  readonly operations: OperationRow[] = [];
  readonly operationsGone: { process: ProcessKey; number: number }[] = [];
  readonly timers: TimerRow[] = [];
  readonly timersGone: { process: ProcessKey; number: number }[] = [];
  readonly logs: Omit<LogRow, "seq">[] = [];
  readonly states: Mutable<CommitBatch>["states"] = [];
  readonly traps: { process: ProcessKey; on: boolean }[] = [];
  /** Of links, names and members the last word counts: one commit may hold several turns that change the same. */
  readonly links: Map<string, { a: ProcessKey; b: ProcessKey; there: boolean }> = new Map();
  readonly names: Map<string, ProcessKey | undefined> = new Map();
  readonly members: Map<string, { name: string; process: ProcessKey; there: boolean }> = new Map();
  readonly monitors: MonitorRow[] = [];
  readonly monitorsGone: { watcher: ProcessKey; number: number }[] = [];
  readonly checkpoints: ({ process: ProcessKey; ties: readonly ProcessKey[] } & CheckpointRow)[] = [];
  readonly restores: ({ process: ProcessKey; life: number } & RestoreRow)[] = [];
  readonly deadLetters: Omit<DeadLetterRow, "seq">[] = [];
  readonly deadLettersGone: number[] = [];
  readonly edges: NewEdge[] = [];
  readonly edgeEnds: EdgeEnd[] = [];
  readonly exits: { process: ProcessKey; exit: ProcessExit }[] = [];
  readonly snapshots: ({ process: ProcessKey } & SnapshotRow)[] = [];
  readonly departures: Departure[] = [];
  readonly arrivals: Arrival[] = [];
  /** Messages to other processes, and inputs too long on their way: rows of the inbox. */
  readonly inbox: ({ process: ProcessKey; queued: QueuedInput } & Passage)[] = [];
  /** What concerns processes of other nodes. Of links and monitors the last word counts. */
  readonly away: AwayStage = new AwayStage();
  /** Inputs that the staged turns consume; their inbox rows go, if they have any by then. */
  readonly consumed: QueuedInput[] = [];
  /** Inbox rows that no turn will ever take. */
  readonly inboxGone: number[] = [];
  /** Run after the commit, in order. */
  readonly effects: (() => void)[] = [];

  get empty(): boolean {
    return (
      this.newProcesses.length +
        this.turns.length +
        this.operations.length +
        this.operationsGone.length +
        this.timers.length +
        this.timersGone.length +
        this.logs.length +
        this.states.length +
        this.restores.length +
        this.deadLettersGone.length +
        this.exits.length +
        this.snapshots.length +
        this.inbox.length +
        this.consumed.length +
        this.inboxGone.length +
        this.effects.length ===
        0 && this.away.empty
    );
  }

  /** An input whose turn is in the same commit needs no row; one that got its row in an earlier commit loses it now. */
  toBatch(atMs: number): { batch: CommitBatch; inboxInputs: WrittenInput[] } {
    const exiting = new Set(this.exits.map(({ process }) => process));
    const written = this.inbox.filter(({ process, queued }) => !queued.consumed && !exiting.has(process));
    const inbox = written.map(({ queued, ...row }): NewInboxRow => ({ ...row, input: arrived(queued), atMs }));
    const inboxGone = this.consumed.flatMap(({ seq }) => (seq === undefined ? [] : [seq])).concat(this.inboxGone);
    const { newProcesses, turns, operations, operationsGone, timers, timersGone, logs, states, exits, snapshots } =
      this;
    return {
      batch: {
        atMs,
        newProcesses,
        turns,
        operations,
        operationsGone,
        timers,
        timersGone,
        inboxGone,
        inbox,
        logs,
        states,
        exits,
        // An exit takes its process's snapshots with it; those of the same commit are too late.
        snapshots: exiting.size === 0 ? snapshots : snapshots.filter(({ process }) => !exiting.has(process)),
        departures: this.departures,
        arrivals: this.arrivals,
        ...this.#ties(exiting),
        ...(this.away.empty ? {} : { away: this.away.toBatch(atMs) }),
      },
      inboxInputs: written.map(({ queued, away = false }) => ({ queued, away })),
    };
  }

  /** Most commits change no tie: then there is nothing to look through. What an exit removes need not be put before. */
  #ties(exiting: ReadonlySet<ProcessKey>): Partial<CommitBatch> {
    const { traps, monitors, monitorsGone, checkpoints, restores, deadLetters, deadLettersGone, edges, edgeEnds } =
      this;
    const links = [...this.links.values()];
    const members = [...this.members.values()];
    const names = [...this.names];
    const isTied = ({ a, b }: { a: ProcessKey; b: ProcessKey }): boolean => !exiting.has(a) && !exiting.has(b);
    return {
      traps,
      monitors: monitors.filter(({ watcher, target }) => isTied({ a: watcher, b: target })),
      monitorsGone,
      checkpoints: checkpoints.filter(({ process }) => !exiting.has(process)),
      restores,
      deadLetters,
      deadLettersGone,
      edges,
      edgeEnds,
      links: links.filter((link) => link.there && isTied(link)),
      linksGone: links.filter(({ there }) => !there),
      namesGone: names.map(([name]) => name),
      names: names.flatMap(([name, process]) => (process === undefined ? [] : [{ name, process }])),
      groups: members.filter(({ there, process }) => there && !exiting.has(process)),
      groupsGone: members.filter(({ there }) => !there),
    };
  }
}

interface WrittenInput {
  readonly queued: QueuedInput;
  /** Nobody here has a copy. */
  readonly away: boolean;
}

export interface CommitterPorts {
  readonly store: Pick<Store, "commit">;
  nowMs(): number;
  /** Runs `fn` after the events that are already waiting: what they stage goes into the same commit. */
  defer(fn: () => void): void;
  after(delayMs: number, fn: () => void): () => void;
  /** More turns are about to end: a commit that waits for them will be worth more. */
  busy(): boolean;
  /** An input has got an inbox row. */
  stored(seq: number): void;
  failed(error: Error): void;
}

/** How long a commit may wait for more to come, and how many turns make waiting for more pointless. */
const longestHoldMs = 2;
const fullTurns = 16;

export class Committer {
  readonly #ports: CommitterPorts;
  #stage = new Stage();
  /** A commit, or a loan of the store. */
  #underway: Promise<void> | undefined;
  #borrower: (() => Promise<void>) | undefined;
  #lent: "now" | "last" | undefined;
  #scheduled = false;
  #dead = false;
  #stopHolding: (() => void) | undefined;

  constructor(ports: CommitterPorts) {
    this.#ports = ports;
  }

  /** What goes with the next commit. Staging schedules it. */
  get stage(): Stage {
    if (!this.#scheduled && this.#underway === undefined && !this.#dead) {
      this.#scheduled = true;
      this.#ports.defer(() => {
        this.#scheduled = false;
        if (this.#stage.turns.length < fullTurns && this.#ports.busy()) this.#hold();
        else this.#flush();
      });
    }
    return this.#stage;
  }

  #hold(): void {
    this.#stopHolding ??= this.#ports.after(longestHoldMs, () => this.#flush());
  }

  /** Nothing is staged or under way. */
  get idle(): boolean {
    return this.#underway === undefined && this.#stage.empty;
  }

  /**
   * Lends the store to somebody else's transaction: calls `use` when no commit is under way, and begins none before its promise
   * is fulfilled. Commits and loans take turns, so that neither starves. A second call before the loan begins replaces the first.
   */
  lend(use: () => Promise<void>): void {
    this.#borrower = use;
    // Not from within the call: whoever asks may have more to say first.
    queueMicrotask(() => {
      if (this.#mayLend) this.#begin();
    });
  }

  /** What is written beside the commits waits for this, lest it wait for another's lock in the middle of the thread. */
  async back(): Promise<void> {
    while (this.#lent === "now") await this.#underway;
  }

  get isLent(): boolean {
    return this.#lent === "now";
  }

  /** Resolves when the commit or loan that is under way, if there is one, has come to its end. */
  async current(): Promise<void> {
    await this.#underway;
  }

  /** Resolves when nothing is staged or under way. */
  async settled(): Promise<void> {
    while (!this.#dead && (this.#underway !== undefined || !this.#stage.empty)) {
      if (this.#underway === undefined) this.#flush();
      await this.#underway;
    }
  }

  /** Discards what is staged; nothing is committed any more. */
  kill(): void {
    this.#dead = true;
    this.#stage = new Stage();
  }

  #flush(): void {
    this.#stopHolding?.();
    this.#stopHolding = undefined;
    if (this.#dead || this.#underway !== undefined || this.#stage.empty) return;
    this.#lent = undefined;
    this.#underway = this.#commit(this.#stage).then(
      () => this.#ended(),
      (error: unknown) => this.#failed(error),
    );
  }

  /** Whoever had the store last lets the other go first. */
  get #mayLend(): boolean {
    if (this.#dead || this.#borrower === undefined || this.#underway !== undefined) return false;
    return this.#lent !== "last" || this.#stage.empty;
  }

  #begin(): void {
    const use = this.#borrower;
    this.#borrower = undefined;
    if (use === undefined) return;
    this.#lent = "now";
    this.#underway = use().then(
      () => {
        this.#lent = "last";
        this.#ended();
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #ended(): void {
    this.#underway = undefined;
    if (this.#mayLend) this.#begin();
    else if (!this.#stage.empty) void this.stage;
  }

  #failed(error: unknown): void {
    this.#underway = undefined;
    this.kill();
    this.#ports.failed(error instanceof Error ? error : new Error(String(error)));
  }

  async #commit(stage: Stage): Promise<void> {
    this.#stage = new Stage();
    const { batch, inboxInputs } = stage.toBatch(this.#ports.nowMs());
    const { inboxSeqs, superseded } = await this.#ports.store.commit(batch);
    if (this.#dead) return;
    for (const [index, { queued, away }] of inboxInputs.entries()) {
      queued.seq = inboxSeqs[index];
      // Others' are handed out to whoever owns the process, which may be this node by now.
      if (queued.seq !== undefined && !away) this.#ports.stored(queued.seq);
    }
    // Whoever reads them yet, from before, shall pass over them.
    for (const seq of superseded) this.#ports.stored(seq);
    for (const effect of stage.effects) effect();
  }
}
