/**
 * What is durable, and whether it may be so: every commit is checked as it reaches the disk, against processes that run along
 * by the journal alone and against what OTP's rules say of their commands (`reference.ts`).
 */
import { decodeValue, encodeValue } from "../../../src/base/value.ts";
import { commandDigest } from "../../../src/journal/digest.ts";
import type { Command, Input, Pid, Turn } from "../../../src/journal/types.ts";
import type { TurnRequest } from "../../../src/machine/port.ts";
import type { CommitBatch, InboxRow, OperationRow, ProcessKey, ProcessRow } from "../../../src/store/port.ts";
import { crashOf } from "../../../src/kernel/ties.ts";
import type { DiskWatcher, WatchedDisk } from "../watched-disk.ts";
import { textOf } from "../program.ts";
import type { Stamp } from "./acts.ts";
import { answer } from "./answers.ts";
import type { CheckAnswer, Told } from "./answers.ts";
import { compare } from "./compare.ts";
import { TreeProcess } from "./process.ts";
import type { Temper } from "./program.ts";
import { describe, Reference, subtract } from "./reference.ts";
import type { Member } from "./reference.ts";

export interface TreeLedgerPorts {
  readonly temper: Temper;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** Whether an operation gave this result. */
  gave(pid: Pid, operation: number, ok: boolean, text: string): boolean;
}

/** After so many commits everything is compared. */
const fullComparison = 5;

/** A process as the journal has it. */
export interface Account {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly member: Member;
  /** Before its first turn, and again after a restore, it is another one. */
  process: TreeProcess;
  turns: number;
  timeMs: number;
  /** The turns that lead to its heap. */
  heap: readonly Turn[];
  checkpoint: { readonly snapshot: Uint8Array; readonly heap: readonly Turn[] } | undefined;
  readonly answers: Map<number, CheckAnswer>;
  /** It has exited, and left nothing behind. */
  isClosed: boolean;
  /** Messages from outside that it was given. */
  readonly outside: Set<number>;
  /** Turns since it was paused or held, but for the one that was running. */
  turnsStopped: number;
}

export class TreeLedger implements DiskWatcher {
  readonly #ports: TreeLedgerPorts;
  readonly #disk: WatchedDisk;
  readonly reference = new Reference();
  readonly #accounts = new Map<ProcessKey, Account>();
  readonly #byPid = new Map<Pid, Account>();
  /** Processes that the commit at hand stops, or lets go on. */
  #changed: ReadonlySet<ProcessKey> = new Set();
  /** Results that were in the inbox before the commit at hand. */
  #arrived: ReadonlySet<string> = new Set();
  commits = 0;
  turns = 0;

  constructor(disk: WatchedDisk, ports: TreeLedgerPorts) {
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

  account(pid: Pid): Account | undefined {
    return this.#byPid.get(pid);
  }

  row(account: Account): ProcessRow {
    return this.#disk.record(account.key).row;
  }

  inboxOf(key: ProcessKey): InboxRow[] {
    const rows: InboxRow[] = [];
    for (const row of this.#disk.inbox.values()) if (row.process === key) rows.push(row);
    return rows;
  }

  operationRow(key: ProcessKey, number: number): OperationRow | undefined {
    return this.#disk.processes.get(key)?.operations.get(number);
  }

  get downtimeMs(): number {
    return this.#disk.lease?.downtimeMs ?? 0;
  }

  /** Whether a message from outside is in the journal or the inbox, or the process is past caring. */
  holds(pid: Pid, number: number): boolean {
    const account = this.#byPid.get(pid);
    if (account === undefined) return false;
    const { member, outside } = account;
    if (!member.alive || member.doomed || member.released || outside.has(number)) return true;
    return this.inboxOf(account.key).some(({ input }) => input.kind === "fatal" || outsideNumber(input) === number);
  }

  heap({ process, number, inputs }: TurnRequest, from: number): readonly Turn[] | undefined {
    if (number === 1) return [];
    const account = this.#accounts.get(process);
    if (account === undefined || account.turns !== number - 1) return undefined;
    const heap = inputs[0]?.kind === "restore" ? (account.checkpoint?.heap ?? []) : account.heap;
    const isOfHeap = from === 0 || heap.some((turn) => turn.number === from);
    return isOfHeap ? heap.filter((turn) => turn.number > from) : undefined;
  }

  model(pid: Pid, snapshot?: Uint8Array): TreeProcess {
    return new TreeProcess(pid, this.#ports.temper, (problem) => this.complain(`${pid}: ${problem}`), snapshot);
  }

  claimed(): void {}

  put(): void {}

  refused(error: Error): void {
    this.complain(`the store refused a commit: ${error.message}`);
  }

  // -- a commit -------------------------------------------------------------------------------------------------

  /** What a commit takes out of the inbox must be in it. Whether it may go is found by comparing what is owed with what is left. */
  before(batch: CommitBatch): void {
    const turned = new Set<Input>();
    this.#arrived = new Set(
      [...this.#disk.inbox.values()].flatMap(({ process, input }) =>
        input.kind === "result" ? [`${process}/${input.operation}`] : [],
      ),
    );
    for (const { turn } of batch.turns ?? []) for (const input of turn.inputs) turned.add(input);
    const gone = new Set(batch.inboxGone);
    const exits = new Set((batch.exits ?? []).map(({ process }) => process));
    for (const seq of gone)
      if (!this.#disk.inbox.has(seq)) this.complain(`a commit deletes inbox row ${seq}, which is not there`);
    for (const { seq, input, process } of this.#disk.inbox.values()) {
      if (turned.has(input) && !gone.has(seq) && !exits.has(process))
        this.complain(`inbox row ${seq} (${describe(input)}) is consumed and stays`);
      const isGone = gone.has(seq) && !turned.has(input) && !exits.has(process);
      if (outsideNumber(input) !== undefined && isGone) this.#checkLost(batch, seq, input);
    }
  }

  #checkLost(batch: CommitBatch, seq: number, input: Input): void {
    if (batch.deadLetters?.some((letter) => letter.input === input) !== true)
      this.complain(`inbox row ${seq} (${describe(input)}) goes, and nobody was given it`);
  }

  after(batch: CommitBatch, seqs: readonly number[]): void {
    this.commits++;
    this.#ports.note("commit", batch, seqs);
    for (const { key, pid, parent } of batch.newProcesses ?? []) this.#open(key, pid, parent);
    this.#states(batch);
    const told = this.#told(batch);
    for (const { process, turn } of batch.turns ?? []) {
      const account = this.#accounts.get(process);
      if (account !== undefined) this.#turn(account, turn, told);
    }
    for (const { process, input } of batch.deadLetters ?? []) this.#deadLetter(process, input);
    for (const { process, exit } of batch.exits ?? []) {
      const member = this.#accounts.get(process)?.member;
      if (member?.alive !== false) this.complain(`${member?.pid} exits (${exit.reason}) without having said so`);
    }
    for (const account of this.#accounts.values()) this.#focus(account);
    this.#compare(batch);
  }

  /** What its parent did about a failure of the same commit shows in the rows. */
  #focus(account: Account): void {
    const { member, key, pid } = account;
    if (!member.isBlurred) return;
    member.isBlurred = false;
    member.crashes = this.row(account).state === "crashed" ? member.crashes.slice(-1) : [];
    member.knownCrashes = member.crashes.length;
    member.released = this.inboxOf(key).some(
      ({ input }) => input.kind === "exit" && input.held === "exit" && input.from === pid,
    );
  }

  /** Every process that the commit names, and all of them every so often: that takes most of the time. */
  #compare({ turns = [], inbox = [], states = [] }: CommitBatch): void {
    const named = new Set([...turns, ...inbox, ...states].map(({ process }) => process));
    const isFull = this.commits % fullComparison === 0;
    for (const account of this.#accounts.values()) {
      const { member, key } = account;
      if (account.isClosed || !(isFull || named.has(key))) continue;
      compare(this, this.#disk, account);
      account.isClosed = !member.alive;
      member.wasHeedless = !member.traps;
    }
  }

  #open(key: ProcessKey, pid: Pid, parent: Pid): void {
    const account: Account = {
      key,
      pid,
      member: this.reference.add(key, pid, parent),
      process: this.model(pid),
      turns: 0,
      timeMs: 0,
      heap: [],
      checkpoint: undefined,
      answers: new Map(),
      isClosed: false,
      outside: new Set(),
      turnsStopped: 0,
    };
    this.#accounts.set(key, account);
    this.#byPid.set(pid, account);
  }

  #states(batch: CommitBatch): void {
    this.#changed = new Set((batch.states ?? []).map(({ process }) => process));
    for (const { process, state, problem, exit } of batch.states ?? []) {
      const account = this.#accounts.get(process);
      if (account === undefined) continue;
      account.turnsStopped = state === "crashed" ? 1 : 0;
      if (state !== "crashed") continue;
      if (exit === undefined) this.complain(`${account.pid} has failed, and its row does not say of what`);
      else {
        const { culprit, aside } = crashOf({ problem });
        this.#complainOf(this.reference.crashed(account.member, { ...exit, culprit, aside }));
      }
    }
  }

  /** Inputs that the commit tells of, wherever they are. */
  #told(batch: CommitBatch): (member: Member) => Told {
    const results = new Map<string, unknown>();
    const see = (process: ProcessKey, input: Input): void => {
      if (input.kind === "result") results.set(`${process}/${input.operation}`, decodeValue(input.value));
    };
    for (const { process, input } of batch.inbox ?? []) see(process, input);
    for (const { process, turn } of batch.turns ?? []) for (const input of turn.inputs) see(process, input);
    const restores = [...(batch.restores ?? [])];
    const born = new Set((batch.newProcesses ?? []).map(({ pid }) => pid));
    return ({ key }) => ({
      answer: (number) => results.get(`${key}/${number}`),
      restored: (pid) => {
        const found = restores.findIndex(({ process }) => process === this.#byPid.get(pid)?.key);
        return found !== -1 && restores.splice(found, 1).length > 0;
      },
      isNew: (pid) => born.delete(pid),
      complain: (problem) => this.complain(problem),
    });
  }

  #complainOf(problem: string | undefined): void {
    if (problem !== undefined) this.complain(problem);
  }

  /** A message that was set aside is not owed any more. */
  #deadLetter(process: ProcessKey, input: Input): void {
    const account = this.#accounts.get(process);
    const number = outsideNumber(input);
    const journal = this.#disk.record(process).turns;
    // It was given, and lay in the mailbox.
    if (journal.some((turn) => turn?.inputs.includes(input))) return;
    if (number !== undefined) account?.outside.add(number);
    else if (account?.member.alive === true && !subtract(account.member.due, describe(input)))
      this.complain(`${describe(input)} to ${account.pid} was set aside, and was not owed to it`);
  }

  // -- a turn ---------------------------------------------------------------------------------------------------

  #turn(account: Account, turn: Turn, told: (member: Member) => Told): void {
    const { member, pid } = account;
    this.turns++;
    if (!member.alive) this.complain(`${pid} had turn ${turn.number} after its exit`);
    if (turn.number !== account.turns + 1) this.complain(`turn ${turn.number} of ${pid} follows turn ${account.turns}`);
    if (turn.timeMs < account.timeMs) this.complain(`turn ${turn.number} of ${pid} goes back in time`);
    const first = turn.inputs[0];
    if (first === undefined) return this.complain(`turn ${turn.number} of ${pid} has no inputs`);
    account.turns = turn.number;
    account.timeMs = turn.timeMs;
    const ending = endOf(member, first);
    this.#checkMayRun(account, turn, ending !== undefined);
    if (first.kind === "restore") this.#restore(account);
    for (const input of turn.inputs) this.#take(account, input);
    account.heap = [...account.heap, turn];
    const commands = ending === undefined ? account.process.turn(turn.timeMs, turn.inputs, turn.number) : [ending];
    if (ending !== undefined) account.process.heap.exited = true;
    this.#checkCommands(account, turn, commands);
    this.#checkDropped(account, turn, commands);
    this.#carryOut(account, commands, told(member));
  }

  #checkMayRun(account: Account, turn: Turn, isEnd: boolean): void {
    const { member, pid } = account;
    const { number, inputs } = turn;
    if (isEnd && inputs.length > 1) this.complain(`the end of ${pid} shares turn ${number} with other inputs`);
    const [first] = inputs;
    if (isEnd && first?.kind === "exit" && first.reason === "normal" && first.held === "" && first.from !== pid)
      this.complain(`${pid} was ended in turn ${number} by the normal exit of ${first.from}`);
    if (isEnd) return;
    if (member.released) this.complain(`${pid} had turn ${number} after its parent had let it go`);
    // A commit that lets it go on says so.
    const { state } = this.row(account);
    const isStopped = (state === "paused" || state === "crashed") && !this.#changed.has(account.key);
    if (isStopped && account.turnsStopped++ > 0) this.complain(`${pid} had turn ${number} while it was ${state}`);
  }

  #restore(account: Account): void {
    const { checkpoint, pid } = account;
    if (checkpoint === undefined) return this.complain(`${pid} was restored, and has no checkpoint`);
    account.process = this.model(pid, checkpoint.snapshot);
    account.heap = checkpoint.heap;
  }

  #take(account: Account, input: Input): void {
    const { member, answers, pid, outside } = account;
    const isHost = input.kind === "result" && member.operations.has(input.operation);
    this.#complainOf(this.reference.take(member, input));
    const number = outsideNumber(input);
    if (number !== undefined && outside.has(number))
      this.complain(`${pid} was given message ${number} from outside twice`);
    if (number !== undefined) outside.add(number);
    if (input.kind !== "result") return;
    const { operation, ok, value } = input;
    this.#complainOf(answers.get(operation)?.(input));
    if (isHost && !this.#ports.gave(pid, operation, ok, textOf(decodeValue(value))))
      this.complain(`${pid} consumed a result of operation ${operation} that it never gave: ${value.text}`);
  }

  #checkCommands({ pid }: Account, turn: Turn, commands: readonly Command[]): void {
    const digests = commands.map((command) => commandDigest(command).digest);
    const matches =
      digests.length === turn.commands.length && digests.every((digest, i) => turn.commands[i]?.digest === digest);
    if (!matches)
      this.complain(
        `turn ${turn.number} of ${pid} is in the journal with ${turn.commands.map(({ kind }) => kind).join()}, and its inputs lead to ${commands.map(({ kind }) => kind).join()}`,
      );
  }

  /** What it takes back, and what it leaves behind when it exits, is in the journal, unless its result was in the inbox. */
  #checkDropped({ member, pid, key }: Account, turn: Turn, commands: readonly Command[]): void {
    const aborted = new Set(commands.flatMap((command) => (command.kind === "abort" ? [command.operation] : [])));
    const issued = commands.flatMap((command) =>
      command.kind === "operation" && !command.name.startsWith("perdure:") ? [command.number] : [],
    );
    const exits = commands.some(({ kind }) => kind === "exit");
    const expected = [...member.operations].filter((number) => exits || aborted.has(number));
    if (exits) expected.push(...issued.filter((number) => !aborted.has(number)));
    const found = new Set((turn.dropped ?? []).map(({ number }) => number));
    const isTold = expected.every((number) => found.delete(number) || this.#arrived.has(`${key}/${number}`));
    if (!isTold || found.size > 0)
      this.complain(
        `turn ${turn.number} of ${pid} dropped operations ${expected.join()}, and says ${JSON.stringify(turn.dropped)}`,
      );
  }

  #carryOut(account: Account, commands: readonly Command[], told: Told): void {
    const { member } = account;
    for (const command of commands) {
      if (command.kind === "exit") {
        this.reference.end(member, command);
        continue;
      }
      if (command.kind !== "operation" || !command.name.startsWith("perdure:")) {
        this.reference.command(member, command);
        continue;
      }
      account.answers.set(command.number, answer(this.reference, command, told));
      this.reference.answered(member, command.number);
    }
    if (!member.alive || !commands.some(({ kind }) => kind === "checkpoint")) return;
    this.reference.takeCheckpoint(member);
    account.checkpoint = { snapshot: account.process.snapshot(), heap: account.heap };
  }
}

/** The exit that an input leads to by itself, without running the process. */
function endOf(member: Member, input: Input): Command | undefined {
  if (input.kind === "fatal") return { kind: "exit", reason: input.reason, value: encodeValue(input.detail) };
  if (input.kind !== "exit") return undefined;
  const isOwn = input.held === "exit" && input.from === member.pid;
  const isRequest = input.linked && input.reason === "cancelled" && input.from === member.parent;
  if (!isOwn && (member.traps || input.held !== "" || isRequest)) return undefined;
  return { kind: "exit", reason: input.reason, value: input.value };
}

/** The number of a message from outside. */
function outsideNumber(input: Input): number | undefined {
  if (input.kind !== "message" || input.from !== "") return undefined;
  return (decodeValue(input.body) as Stamp).number;
}
