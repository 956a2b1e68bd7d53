/**
 * What is durable, and whether it may be so: every commit is checked as it reaches the disk, against processes that the
 * ledger runs along by the journal alone.
 */
import { decodeValue } from "../../src/base/value.ts";
import type { Command, Input, Pid, Turn } from "../../src/journal/types.ts";
import type { ProcessRecord } from "../../src/store/memory/disk.ts";
import { supersededBy } from "../../src/store/memory/edges.ts";
import type { CommitBatch, InboxRow, OperationRow, ProcessKey, TimerRow } from "../../src/store/port.ts";
import { describeInput, messageKey, resultKey } from "./inputs.ts";
import { SimulatedProcess } from "./process.ts";
import type { Message } from "./process.ts";
import { textOf } from "./program.ts";
import type { Program } from "./program.ts";
import type { Timeline } from "./timeline.ts";
import type { DiskWatcher, WatchedDisk } from "./watched-disk.ts";

/** What the ledger asks of the rest of the run. */
export interface LedgerPorts {
  readonly timeline: Timeline;
  readonly programs: ReadonlyMap<Pid, Program>;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** Whether a message from outside may never arrive: its sender was told so, or nothing. */
  mayBeMissing(pid: Pid, stream: string, number: number): boolean;
  /** Whether an operation gave this result. */
  gave(pid: Pid, operation: number, ok: boolean, text: string): boolean;
  /** When the process's turn ran, by the time that passes. */
  ranAtMs(pid: Pid, turn: number): number;
  /** What the clock of the node shows whose commit it is. Default: the right time. */
  wallMs?(): number;
}

/** A node that holds the lease says so at least this often, unless its disk is slow. */
const longestSilenceMs = 5_100 + 3 * 3_000;

/** A process as the journal has it. */
export interface Account {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly process: SimulatedProcess;
  /** Its rows; when it is pruned, as they were at its end. */
  readonly record: ProcessRecord;
  /** When its row became durable, by the time that passes. */
  readonly durableAtMs: number;
  turns: number;
  timeMs: number;
  /** The highest number by stream that has reached the inbox or the journal. */
  readonly arrived: Map<string, number>;
  /** Messages in the inbox, as `stream number`. */
  readonly waiting: Map<string, number>;
  /** Messages that were posted, and of which the commit at hand has another copy in their place. */
  readonly superseded: Set<string>;
  /** The timers' due times by number, as the store has them. */
  readonly stored: Map<number, TimerRow>;
}

export class Ledger implements DiskWatcher {
  readonly #ports: LedgerPorts;
  readonly #disk: WatchedDisk;
  readonly #accounts = new Map<ProcessKey, Account>();
  readonly #byPid = new Map<Pid, Account>();
  /** Messages that became durable with the commit at hand. */
  readonly #arrivals = new Set<string>();
  /** Results that fell with their processes: of a transaction that ran beside the commit, its kernel hears only then. */
  readonly #fallen = new Set<number>();
  commits = 0;
  turns = 0;

  constructor(disk: WatchedDisk, ports: LedgerPorts) {
    this.#disk = disk;
    this.#ports = ports;
    disk.ledger = this;
  }

  complain(problem: string): void {
    this.#ports.complain(problem);
  }

  get accounts(): Iterable<Account> {
    return this.#accounts.values();
  }

  /** What a process is rebuilt from, if its journal is as long as the turn asks for. */
  heap(pid: Pid, number: number, from: number): readonly (Turn | undefined)[] | undefined {
    const journal = this.journal(pid);
    return journal.length === number - 1 ? journal.slice(from) : undefined;
  }

  account(pid: Pid): Account | undefined {
    return this.#byPid.get(pid);
  }

  record({ record }: Account): ProcessRecord {
    return record;
  }

  isPruned({ key }: Account): boolean {
    return !this.#disk.processes.has(key);
  }

  exited(pid: Pid): boolean {
    const account = this.#byPid.get(pid);
    return account !== undefined && this.record(account).row.state === "exited";
  }

  /** Whether the message is in the journal or the inbox, or the process is past caring. */
  holds(pid: Pid, stream: string, number: number): boolean {
    const account = this.#byPid.get(pid);
    if (account === undefined) return false;
    return (account.arrived.get(stream) ?? 0) >= number || this.exited(pid) || this.isDoomed(account);
  }

  /** Whether the message lies in the inbox of a process that may yet take it. */
  isWaiting(pid: Pid, stream: string, number: number): boolean {
    const account = this.#byPid.get(pid);
    if (account === undefined || this.record(account).row.state !== "running") return false;
    return account.waiting.has(`${stream} ${number}`);
  }

  /** An input of it passed a limit: in the inbox stands the end it leads to, and nothing after it matters. */
  isDoomed({ key }: Account): boolean {
    return this.inboxOf(key).some(({ input }) => input.kind === "fatal");
  }

  journal(pid: Pid): readonly (Turn | undefined)[] {
    const account = this.#byPid.get(pid);
    return account === undefined ? [] : this.record(account).turns;
  }

  inboxOf(key: ProcessKey): InboxRow[] {
    const rows: InboxRow[] = [];
    for (const row of this.#disk.inbox.values()) if (row.process === key) rows.push(row);
    return rows;
  }

  operationRow(key: ProcessKey, number: number): OperationRow | undefined {
    return this.#disk.processes.get(key)?.operations.get(number);
  }

  /** What the store takes off wall time to get service time. */
  get downtimeMs(): number {
    return this.#disk.lease?.downtimeMs ?? 0;
  }

  /** Nobody owned the store for a while: that is no time in which a partner could be diligent. */
  claimed(countedMs: number, nowMs: number): void {
    const { timeline, complain } = this.#ports;
    if (timeline.jumped || this.#disk.endedAtMs === undefined || this.#disk.owners !== undefined) return;
    const awayMs = nowMs - this.#disk.endedAtMs;
    if (countedMs < awayMs) complain(`the store had no owner for ${awayMs} ms, and ${countedMs} are counted`);
    if (countedMs > awayMs + longestSilenceMs)
      complain(`the store had no owner for ${awayMs} ms, and as many as ${countedMs} are counted`);
  }

  // -- a commit -------------------------------------------------------------------------------------------------

  refused(error: Error): void {
    this.#ports.complain(`the store refused a commit: ${error.message}`);
  }

  /** What a commit takes out of the inbox must be in it, and in one of its turns. */
  before(batch: CommitBatch): void {
    for (const seq of supersededBy(this.#disk, batch)) this.#supersede(seq);
    const gone = batch.inboxGone ?? [];
    for (const { process: ending } of batch.exits ?? []) {
      for (const { seq, process, input } of this.#disk.inbox.values())
        if (process === ending && input.kind === "result") this.#fallen.add(seq);
    }
    if (gone.length === 0) return;
    const inputs = new Set<Input | string>();
    for (const { process, turn } of batch.turns ?? [])
      for (const input of turn.inputs) {
        inputs.add(input);
        if (input.kind === "result") inputs.add(resultKey(process, input));
      }
    const exits = new Set((batch.exits ?? []).map(({ process }) => process));
    for (const seq of gone) {
      const row = this.#disk.inbox.get(seq);
      if (row === undefined && this.#fallen.has(seq)) continue;
      if (row === undefined) this.#ports.complain(`a commit deletes inbox row ${seq}, which is not there`);
      else if (
        !inputs.has(row.input) &&
        !(row.input.kind === "result" && inputs.has(resultKey(row.process, row.input))) &&
        !exits.has(row.process) &&
        // It is the kernel's, and reaches no turn.
        !["move", "verdict"].includes(row.input.kind) &&
        !this.#isGivenUp(row, batch)
      ) {
        this.#ports.complain(
          `a commit deletes inbox row ${seq} (${describeInput(row.input)}), and no turn consumes it`,
        );
      }
      if (row !== undefined) this.#accounts.get(row.process)?.waiting.delete(messageKey(row.input));
    }
  }

  /** Whether it is the result of a transaction that its process no longer waits for: it was given up while that ran. */
  #isGivenUp({ process, input }: InboxRow, { turns = [] }: CommitBatch): boolean {
    if (input.kind !== "result") return false;
    const gives = (turn: Turn | undefined): boolean =>
      turn?.commands.some(({ kind, target }) => kind === "abort" && target === String(input.operation)) === true;
    const now = turns.some((each) => each.process === process && gives(each.turn));
    return now || this.#disk.record(process).turns.some(gives);
  }

  /** What was posted under a key comes with this commit instead. */
  #supersede(seq: number): void {
    const row = this.#disk.inbox.get(seq);
    const account = row === undefined ? undefined : this.#accounts.get(row.process);
    if (row === undefined || account === undefined) return;
    const name = messageKey(row.input);
    account.waiting.delete(name);
    account.superseded.add(name);
  }

  after(batch: CommitBatch, seqs: readonly number[]): void {
    this.commits++;
    this.#ports.note("commit", batch, seqs);
    const touched = new Set<ProcessKey>();
    const sent: { account: Account; turn: number; command: Extract<Command, { kind: "send" }> }[] = [];
    this.#arrivals.clear();
    for (const { key, pid } of batch.newProcesses ?? []) {
      touched.add(key);
      this.#open(key, pid);
    }
    for (const { process, turn } of batch.turns ?? []) {
      touched.add(process);
      const account = this.#accounts.get(process);
      if (account === undefined) continue;
      for (const command of this.#turn(account, turn))
        if (command.kind === "send") sent.push({ account, turn: turn.number, command });
    }
    for (const [index, { process, input }] of (batch.inbox ?? []).entries()) this.put(process, input, seqs[index] ?? 0);
    for (const row of batch.timers ?? []) this.#timerStored(row);
    for (const { process, exit } of batch.exits ?? []) {
      touched.add(process);
      const account = this.#accounts.get(process);
      if (account?.process.exited !== true)
        this.#ports.complain(`${account?.pid} exits (${exit.reason}) without having said so`);
    }
    for (const part of [
      batch.operations,
      batch.operationsGone,
      batch.timers,
      batch.timersGone,
      batch.inbox,
      batch.snapshots,
    ]) {
      for (const { process } of part ?? []) touched.add(process);
    }
    for (const { account, turn, command } of sent) this.#checkSent(account, turn, command);
    for (const key of touched) this.#checkRows(key);
  }

  #open(key: ProcessKey, pid: Pid): void {
    const program = this.#ports.programs.get(pid);
    if (program === undefined) return this.#ports.complain(`${pid} is no process of this run`);
    const account: Account = {
      key,
      pid,
      record: this.#disk.record(key),
      process: new SimulatedProcess(program, (problem) => this.#ports.complain(`${pid}: ${problem}`)),
      durableAtMs: this.#ports.timeline.nowMs,
      turns: 0,
      timeMs: 0,
      arrived: new Map(),
      waiting: new Map(),
      superseded: new Set(),
      stored: new Map(),
    };
    this.#accounts.set(key, account);
    this.#byPid.set(pid, account);
  }

  #turn(account: Account, turn: Turn): Command[] {
    const { process, pid } = account;
    const { complain } = this.#ports;
    this.turns++;
    if (process.exited) complain(`${pid} had turn ${turn.number} after its exit`);
    if (turn.number !== account.turns + 1) complain(`turn ${turn.number} of ${pid} follows turn ${account.turns}`);
    // When a damaged turn was nobody can tell: its process can only come to its end.
    const isDamaged = turn.number > 1 && this.record(account).turns[turn.number - 2] === undefined;
    if (turn.timeMs < account.timeMs && !isDamaged)
      complain(`turn ${turn.number} of ${pid} goes back in time, from ${account.timeMs} to ${turn.timeMs}`);
    if (turn.inputs.length === 0) complain(`turn ${turn.number} of ${pid} has no inputs`);
    account.turns = turn.number;
    account.timeMs = turn.timeMs;
    for (const input of turn.inputs) this.#consumed(account, input);
    const commands = process.turn(turn.timeMs, turn.inputs);
    const matches =
      commands.length === turn.commands.length &&
      commands.every(({ kind }, index) => turn.commands[index]?.kind === kind);
    if (!matches) complain(`turn ${turn.number} of ${pid} is in the journal with commands its inputs do not lead to`);
    return commands;
  }

  #consumed(account: Account, input: Input): void {
    switch (input.kind) {
      case "message": {
        const { stream, number } = decodeValue(input.body) as Message;
        // Its inbox row must have gone with this commit.
        if (account.waiting.has(messageKey(input)))
          this.#ports.complain(`${account.pid} consumed "${stream}" ${number}, and its inbox row is still there`);
        else if ((account.arrived.get(stream) ?? 0) < number) this.#arrived(account, stream, number);
        return;
      }
      case "result": {
        const text = textOf(decodeValue(input.value));
        if (!this.#ports.gave(account.pid, input.operation, input.ok, text)) {
          this.#ports.complain(
            `${account.pid} consumed a result of operation ${input.operation} that it never gave: ${text}`,
          );
        }
        return;
      }
      case "timer":
        return this.#checkNotEarly(account, input.timer);
      default:
        return;
    }
  }

  #checkNotEarly(account: Account, number: number): void {
    const { timeline, complain } = this.#ports;
    const wallMs = this.#ports.wallMs?.() ?? timeline.wallMs;
    const row = account.stored.get(number);
    account.stored.delete(number);
    // A clock that was set back may show less than it did when the timer fired.
    if (row === undefined || timeline.jumpedBack) return;
    const nowMs = row.clock === "wall" ? wallMs : wallMs - this.downtimeMs;
    if (nowMs < row.dueMs)
      complain(`timer ${number} of ${account.pid} (${row.clock}) fired ${row.dueMs - nowMs} ms early`);
  }

  #timerStored(row: TimerRow): void {
    const account = this.#accounts.get(row.process);
    if (account === undefined) return;
    account.stored.set(row.number, row);
    const dueMs = account.process.timer(row.number)?.dueMs;
    if (dueMs === undefined) return;
    const offMs = row.clock === "service" ? this.downtimeMs : 0;
    if (row.dueMs !== dueMs - offMs)
      this.#ports.complain(`timer ${row.number} of ${row.process} is stored for ${row.dueMs}, not ${dueMs - offMs}`);
  }

  // -- messages -------------------------------------------------------------------------------------------------

  put(key: ProcessKey, input: Input, seq: number): void {
    const account = this.#accounts.get(key);
    if (account === undefined || input.kind !== "message") return;
    const { stream, number } = decodeValue(input.body) as Message;
    const name = messageKey(input);
    if (account.waiting.has(name))
      this.#ports.complain(`"${stream}" ${number} is in the inbox of ${account.pid} twice`);
    account.waiting.set(name, seq);
    if (!account.superseded.delete(name)) this.#arrived(account, stream, number);
  }

  /** A message is durable for the first time: no earlier one of its stream may come after it. */
  #arrived(account: Account, stream: string, number: number): void {
    const { complain, mayBeMissing } = this.#ports;
    const last = account.arrived.get(stream) ?? 0;
    if (number <= last) complain(`"${stream}" ${number} reached ${account.pid} after ${last}`);
    this.#arrivals.add(`${account.pid} ${stream} ${number}`);
    // What processes send is checked with the sender's turn.
    for (let missed = last + 1; missed < number && !stream.startsWith("from "); missed++) {
      if (!mayBeMissing(account.pid, stream, missed) && !this.isDoomed(account))
        complain(`"${stream}" ${missed} to ${account.pid} was lost, and ${number} arrived`);
    }
    account.arrived.set(stream, number);
  }

  /** A message is as durable as the turn that sent it, unless there is nobody to receive it. */
  #checkSent(sender: Account, turn: number, { to, body }: Extract<Command, { kind: "send" }>): void {
    const { stream, number } = decodeValue(body) as Message;
    const receiver = this.#byPid.get(to);
    if (receiver === undefined || this.#arrivals.has(`${to} ${stream} ${number}`) || this.exited(to)) return;
    if (receiver.durableAtMs >= this.#ports.ranAtMs(sender.pid, turn)) return;
    this.#ports.complain(`"${stream}" ${number} to ${to} is lost: turn ${turn} of ${sender.pid} is durable without it`);
  }

  // -- rows -----------------------------------------------------------------------------------------------------

  #checkRows(key: ProcessKey): void {
    const account = this.#accounts.get(key);
    if (account === undefined) return;
    const { complain } = this.#ports;
    const { pid, process } = account;
    const { row, operations, timers, snapshots } = this.record(account);
    const inbox = this.inboxOf(key);
    if (process.exited !== (row.state === "exited"))
      complain(`${pid} is ${row.state}, but its journal ${process.exited ? "ends" : "does not end"} with its exit`);
    if (row.state === "exited") {
      const left = operations.size + timers.size + inbox.length + snapshots.length;
      if (left > 0)
        complain(
          `${pid} has exited and left ${operations.size} operations, ${timers.size} timers, ${inbox.length} inbox rows, ${snapshots.length} snapshots`,
        );
      return;
    }
    const started = process.started || inbox.some(({ input }) => input.kind === "start") || this.isDoomed(account);
    if (!started) complain(`${pid} has a row, but no start in its journal or inbox`);
    const results = new Set(inbox.flatMap(({ input }) => (input.kind === "result" ? [input.operation] : [])));
    for (const number of results)
      if (operations.has(number)) complain(`operation ${number} of ${pid} has a row, and its result is in the inbox`);
    const pending = process.operations.filter((number) => !results.has(number));
    if (!same(pending, operations))
      complain(`${pid} waits for operations ${pending.join()}, and has rows of ${[...operations.keys()].join()}`);
    if (!same(process.timers, timers))
      complain(`${pid} waits for timers ${process.timers.join()}, and has rows of ${[...timers.keys()].join()}`);
    for (const { turn } of snapshots)
      if (turn > account.turns) complain(`${pid} has a snapshot of turn ${turn} and a journal up to ${account.turns}`);
  }
}

function same(numbers: readonly number[], rows: ReadonlyMap<number, unknown>): boolean {
  return numbers.length === rows.size && numbers.every((number) => rows.has(number));
}
