/**
 * What is durable of the trees in a cluster, and whether it may be so. Who is tied to whom the rows say, in the order of the commits; what
 * a turn knew of processes on other nodes was true a moment before. So what is checked are pairs: each command of a turn against what its
 * commit leaves behind, each end against those who were tied to it then, and each input against what allows it.
 */
import { decodeValue, encodeValue } from "../../../src/base/value.ts";
import { commandDigest } from "../../../src/journal/digest.ts";
import type { Command, Input, Pid, Turn } from "../../../src/journal/types.ts";
import type { TurnRequest } from "../../../src/machine/port.ts";
import type {
  CommitBatch,
  InboxRow,
  OperationRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
} from "../../../src/store/port.ts";
import type { DiskWatcher, WatchedDisk } from "../watched-disk.ts";
import { textOf } from "../program.ts";
import type { Stamp } from "../trees/acts.ts";
import { TreeProcess } from "../trees/process.ts";
import type { Temper } from "../trees/program.ts";
import { count, describe, subtract } from "../trees/reference.ts";
import { checkCommand } from "./commands.ts";
import { checkNotices } from "./notices.ts";
import type { End, Moment, PairAccount } from "./account.ts";

export interface PairLedgerPorts {
  readonly temper: Temper;
  nowMs(): number;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** Whether an operation gave this result. */
  gave(pid: Pid, operation: number, ok: boolean, text: string): boolean;
  /** When the process's turn ran, at the node that commits it. */
  ranAtMs(pid: Pid, turn: number): number;
}

export class PairLedger implements DiskWatcher {
  readonly ports: PairLedgerPorts;
  readonly disk: WatchedDisk;
  readonly #accounts = new Map<ProcessKey, PairAccount>();
  readonly #byPid = new Map<Pid, PairAccount>();
  /** Inputs are handed around as they are: each may be taken once. */
  readonly #taken = new WeakSet<Input>();
  /** Pairs whose link one of them has cut, in either order. */
  readonly cut = new Set<string>();
  #before: ReadonlyMap<number, InboxRow> = new Map();
  #alive: ReadonlySet<Pid> = new Set();
  /** Ends of the commit at hand. */
  #ends: End[] = [];
  /** Ends that were heard of, and that no commit before this one has brought about. */
  #early: { readonly account: PairAccount; readonly input: Input }[] = [];
  commits = 0;
  turns = 0;

  constructor(disk: WatchedDisk, ports: PairLedgerPorts) {
    this.disk = disk;
    this.ports = ports;
    disk.ledger = this;
  }

  complain(problem: string): void {
    this.ports.complain(problem);
  }

  get accounts(): Iterable<PairAccount> {
    return this.#accounts.values();
  }

  account(pid: Pid): PairAccount | undefined {
    return this.#byPid.get(pid);
  }

  of(key: ProcessKey): PairAccount | undefined {
    return this.#accounts.get(key);
  }

  row({ record }: PairAccount): ProcessRow {
    return record.row;
  }

  inboxOf(key: ProcessKey): InboxRow[] {
    const rows: InboxRow[] = [];
    for (const row of this.disk.inbox.values()) if (row.process === key) rows.push(row);
    return rows;
  }

  operationRow(key: ProcessKey, number: number): OperationRow | undefined {
    return this.disk.processes.get(key)?.operations.get(number);
  }

  holds(pid: Pid, number: number): boolean {
    const account = this.#byPid.get(pid);
    if (account === undefined) return false;
    if (account.record.row.state === "exited" || account.outside.has(number)) return true;
    return this.inboxOf(account.key).some(
      ({ input }) =>
        input.kind === "fatal" || outsideNumber(input) === number || (input.kind === "exit" && input.held === "exit"),
    );
  }

  heap({ process, number, inputs }: TurnRequest, from: number): readonly Turn[] | undefined {
    if (number === 1) return [];
    const account = this.#accounts.get(process);
    if (account === undefined || account.turns !== number - 1) return undefined;
    const heap = inputs[0]?.kind === "restore" ? (account.checkpoint?.heap ?? []) : account.heap;
    const isOfHeap = from === 0 || heap.some((turn) => turn.number === from);
    return isOfHeap ? heap.filter((turn) => turn.number > from) : undefined;
  }

  model(pid: Pid, complain: (problem: string) => void, snapshot?: Uint8Array): TreeProcess {
    return new TreeProcess(pid, this.ports.temper, (problem) => complain(`${pid}: ${problem}`), snapshot);
  }

  claimed(): void {}

  put(): void {}

  refused(error: Error): void {
    this.complain(`the store refused a commit: ${error.stack}`);
  }

  // -- a commit -------------------------------------------------------------------------------------------------

  before(): void {
    this.#before = new Map(this.disk.inbox);
    const alive = [...this.#accounts.values()].filter(({ record }) => record.row.state !== "exited");
    this.#alive = new Set(alive.map(({ pid }) => pid));
    this.#ends = [];
  }

  /** A process is about to end, and these are tied to it. */
  exiting(key: ProcessKey, exit: ProcessExit): void {
    const record = this.disk.record(key);
    const links = [...record.relations.links];
    const watchers = [...record.relations.watchers].map(({ watcher, number }) => ({ watcher, number }));
    this.#ends.push({ key, pid: record.row.pid, exit, links, watchers });
  }

  after(batch: CommitBatch, seqs: readonly number[]): void {
    if (batch.turns === undefined) return;
    this.commits++;
    this.ports.note("commit", batch, seqs);
    for (const row of batch.newProcesses ?? []) this.#open(row);
    for (const { process } of batch.restores ?? []) {
      const account = this.#accounts.get(process);
      if (account !== undefined) account.restored = true;
    }
    for (const { process, input } of batch.deadLetters ?? []) {
      const number = outsideNumber(input);
      if (number !== undefined) this.#accounts.get(process)?.outside.add(number);
    }
    const taken = new Map<ProcessKey, Input[]>();
    const commands = new Map<Pid, Command[]>();
    for (const { process, turn } of batch.turns) {
      const account = this.#accounts.get(process);
      if (account === undefined) continue;
      taken.set(process, [...(taken.get(process) ?? []), ...turn.inputs]);
      const issued = this.#turn(account, turn);
      commands.set(account.pid, [...(commands.get(account.pid) ?? []), ...issued]);
    }
    for (const end of this.#ends) this.#grant(this.#withNewTies(end, commands));
    this.#checkEarly();
    const moment: Moment = { batch, before: this.#before, alive: this.#alive, taken, commands };
    for (const { process, turn } of batch.turns) {
      const account = this.#accounts.get(process);
      if (account === undefined || account.restored) continue;
      const ranAtMs = this.ports.ranAtMs(account.pid, turn.number);
      for (const command of commands.get(account.pid) ?? []) checkCommand(this, moment, account, command, ranAtMs);
    }
    for (const end of this.#ends) checkNotices(this, moment, end);
    this.#checkGone(moment);
    for (const { process, state } of batch.states ?? []) if (state === "crashed") this.#checkHeld(moment, process);
    for (const [name, holder] of this.disk.names)
      if (this.disk.processes.get(holder)?.row.state === "exited")
        this.complain(`the name ${name} is one's that has exited`);
  }

  #open({ key, pid, parent }: ProcessRow): void {
    if (this.#byPid.has(pid)) this.complain(`${pid} was born twice`);
    const account: PairAccount = {
      key,
      pid,
      parent,
      record: this.disk.record(key),
      bornAtMs: this.ports.nowMs(),
      process: this.model(pid, (problem) => this.complain(problem)),
      turns: 0,
      timeMs: 0,
      heap: [],
      checkpoint: undefined,
      outside: new Set(),
      granted: new Map(),
      restored: false,
    };
    this.#accounts.set(key, account);
    this.#byPid.set(pid, account);
  }

  /** A tie that is made and breaks with the same commit has no row. */
  #withNewTies(end: End, commands: ReadonlyMap<Pid, readonly Command[]>): End {
    const links = new Set(end.links);
    const watchers = new Map(end.watchers.map((row) => [String([row.watcher, row.number]), row]));
    for (const [pid, issued] of commands) {
      const by = this.#byPid.get(pid);
      if (by === undefined) continue;
      for (const command of issued) {
        const [other, isLink] =
          command.kind === "link"
            ? [command.to, true]
            : command.kind === "spawn"
              ? [command.pid, command.link]
              : ["", false];
        const peer = this.#byPid.get(other);
        if (isLink && other === end.pid) links.add(by.key);
        if (isLink && pid === end.pid && peer !== undefined) links.add(peer.key);
        const number = command.kind === "monitor" ? command.number : command.kind === "spawn" ? command.monitor : 0;
        const target = command.kind === "monitor" ? command.to : other;
        // A name may have stood for it.
        const isMeant = target === end.pid || this.#byPid.get(target) === undefined;
        if (number > 0 && isMeant) watchers.set(String([by.key, number]), { watcher: by.key, number });
      }
    }
    return { ...end, links: [...links], watchers: [...watchers.values()] };
  }

  #checkEarly(): void {
    for (const { account, input } of this.#early.splice(0)) {
      if (!subtract(account.granted, describe(input)))
        this.complain(`${account.pid} hears of an end (${describe(input)}) of one to which it was not tied, or twice`);
    }
  }

  #grant({ pid, exit, links, watchers }: End): void {
    const { reason } = exit;
    const value = reason === "normal" ? nothing : exit.value;
    for (const key of links) {
      const account = this.#accounts.get(key);
      const input: Input = { kind: "exit", from: pid, reason, value, linked: true, held: "" };
      if (account !== undefined) count(account.granted, describe(input), 1);
    }
    for (const { watcher, number } of watchers) {
      const account = this.#accounts.get(watcher);
      if (account !== undefined)
        count(account.granted, describe({ kind: "down", monitor: number, from: pid, reason, value }), 1);
    }
  }

  /** What a commit takes out of an inbox somebody must have been given. */
  #checkGone({ batch, before, taken, commands }: Moment): void {
    const letters = new Set((batch.deadLetters ?? []).map(({ input }) => input));
    const restored = new Set((batch.restores ?? []).map(({ process }) => process));
    for (const { seq, process, input } of before.values()) {
      if (this.disk.inbox.has(seq)) {
        if (taken.get(process)?.includes(input) === true)
          this.complain(`inbox row ${seq} (${describe(input)}) is consumed and stays`);
        continue;
      }
      const account = this.#accounts.get(process);
      if (account === undefined || account.record.row.state === "exited" || restored.has(process)) continue;
      if (taken.get(process)?.includes(input) === true || letters.has(input)) continue;
      if (this.#mayGo(account, input, commands.get(account.pid) ?? [])) continue;
      this.complain(`inbox row ${seq} (${describe(input)}) of ${account.pid} goes, and nobody was given it`);
    }
  }

  #mayGo(account: PairAccount, input: Input, commands: readonly Command[]): boolean {
    switch (input.kind) {
      case "message":
      case "cancel":
      case "start":
      case "timer":
        return false;
      case "result":
        return (
          account.process.heap.operations[input.operation] === undefined ||
          commands.some((command) => command.kind === "abort" && command.operation === input.operation)
        );
      case "exit":
        // Who traps no exits takes no notice of a normal one, nor of those it would be asked about.
        if (input.reason === "normal" || input.held !== "" || account.restored) return true;
        if (commands.some((command) => command.kind === "unlink" && command.to === input.from)) return true;
        return this.isCut(account.pid, input.from);
      case "down":
        return account.restored || account.process.heap.monitors[input.monitor] === undefined;
      default:
        return true;
    }
  }

  isCut(pid: Pid, other: Pid): boolean {
    return this.cut.has(`${pid} ${other}`);
  }

  #checkHeld({ taken, batch }: Moment, key: ProcessKey): void {
    const account = this.#accounts.get(key);
    const parent = account === undefined ? undefined : this.#byPid.get(account.parent);
    if (account === undefined || account.record.row.state !== "crashed") return;
    if (parent === undefined || parent.record.row.state === "exited" || !parent.record.row.trapsExits) return;
    if (parent.restored || batch.traps?.some(({ process }) => process === parent.key) === true) return;
    const isWord = (input: Input): boolean => input.kind === "exit" && input.from === account.pid && input.held !== "";
    const inputs = [...(taken.get(parent.key) ?? []), ...this.inboxOf(parent.key).map(({ input }) => input)];
    if (!inputs.some(isWord) && !this.isCut(parent.pid, account.pid))
      this.complain(`${account.pid} is held, and its parent ${parent.pid} is not told`);
  }

  // -- a turn ---------------------------------------------------------------------------------------------------

  #turn(account: PairAccount, turn: Turn): readonly Command[] {
    const { pid } = account;
    this.turns++;
    if (turn.number !== account.turns + 1) this.complain(`turn ${turn.number} of ${pid} follows turn ${account.turns}`);
    if (turn.timeMs < account.timeMs) this.complain(`turn ${turn.number} of ${pid} goes back in time`);
    if (account.process.exited) this.complain(`${pid} had turn ${turn.number} after its exit`);
    const first = turn.inputs[0];
    if (first === undefined) this.complain(`turn ${turn.number} of ${pid} has no inputs`);
    account.turns = turn.number;
    account.timeMs = turn.timeMs;
    const ending = first === undefined ? undefined : endOf(account, first);
    if (first?.kind === "restore") {
      if (account.checkpoint === undefined) this.complain(`${pid} was restored, and has no checkpoint`);
      else account.process = this.model(pid, (problem) => this.complain(problem), account.checkpoint.snapshot);
      account.heap = account.checkpoint?.heap ?? [];
    }
    for (const input of turn.inputs) this.#take(account, input);
    account.heap = [...account.heap, turn];
    const commands = ending === undefined ? account.process.turn(turn.timeMs, turn.inputs, turn.number) : [ending];
    if (ending !== undefined) account.process.heap.exited = true;
    const digests = commands.map((command) => commandDigest(command).digest);
    const matches =
      digests.length === turn.commands.length && digests.every((digest, i) => turn.commands[i]?.digest === digest);
    if (!matches)
      this.complain(`turn ${turn.number} of ${pid} has other commands in the journal than its inputs lead to`);
    for (const command of commands) this.#carryOut(account, command);
    return commands;
  }

  #carryOut(account: PairAccount, command: Command): void {
    const { pid } = account;
    if (command.kind === "link") {
      this.cut.delete(`${pid} ${command.to}`);
      this.cut.delete(`${command.to} ${pid}`);
      // It may not be there.
      count(account.granted, describe(noLink(command.to)), 1);
    }
    if (command.kind === "monitor") count(account.granted, noTarget(command.number), 1);
    if (command.kind === "unlink") this.#cutOff(account, command.to, true);
    if (command.kind === "cancel" && command.to === "")
      for (const { pid: child, parent } of this.#accounts.values())
        if (parent === pid) this.#cutOff(account, child, false);
    if (command.kind === "checkpoint" && !account.process.exited)
      account.checkpoint = { snapshot: account.process.snapshot(), heap: account.heap };
  }

  /** From now on nothing may come through the link; a cancel lets what is on its way. */
  #cutOff({ pid, granted }: PairAccount, other: Pid, isAtOnce: boolean): void {
    this.cut.add(`${pid} ${other}`);
    this.cut.add(`${other} ${pid}`);
    if (!isAtOnce) return;
    for (const name of [...granted.keys()]) if (name.startsWith(`linked exit of ${other}:`)) granted.delete(name);
  }

  #take(account: PairAccount, input: Input): void {
    const { pid, outside, granted } = account;
    // A life that begins anew is given again what it had waited for.
    if (this.#taken.has(input) && !account.restored) this.complain(`${pid} was given ${describe(input)} a second time`);
    this.#taken.add(input);
    const number = outsideNumber(input);
    if (number !== undefined && outside.has(number))
      this.complain(`${pid} was given message ${number} from outside twice`);
    if (number !== undefined) outside.add(number);
    if (input.kind === "result") this.#checkResult(account, input);
    const isEnd = input.kind === "down" || (input.kind === "exit" && input.linked && input.held === "");
    if (!isEnd) return;
    const isBlurred = account.restored || this.#byPid.get(input.from)?.restored === true;
    const isOfNobody = input.kind === "down" && input.reason === "noproc" && subtract(granted, noTarget(input.monitor));
    if (isOfNobody || subtract(granted, describe(input)) || isBlurred) return;
    this.#early.push({ account, input });
  }

  #checkResult(
    { pid, process, restored }: PairAccount,
    { operation, ok, value }: Extract<Input, { kind: "result" }>,
  ): void {
    const pending = process.heap.operations[operation];
    if (pending === undefined || pending.site === 0) return;
    // It was given up in a life that is forgotten.
    if (restored && !ok) return;
    if (!this.ports.gave(pid, operation, ok, textOf(decodeValue(value))))
      this.complain(`${pid} consumed a result of operation ${operation} that it never gave: ${value.text}`);
  }
}

const nothing = encodeValue(undefined);

function noLink(from: Pid): Input {
  return { kind: "exit", from, reason: "noproc", value: nothing, linked: true, held: "" };
}

/** Whom a name stood for nobody can tell afterwards. */
function noTarget(monitor: number): string {
  return `down ${monitor}: noproc`;
}

/** The exit that an input leads to by itself, without running the process. */
function endOf({ pid, parent, process: { heap } }: PairAccount, input: Input): Command | undefined {
  if (input.kind === "fatal") return { kind: "exit", reason: input.reason, value: encodeValue(input.detail) };
  if (input.kind !== "exit") return undefined;
  const isOwn = input.held === "exit" && input.from === pid;
  const isRequest = input.linked && input.reason === "cancelled" && input.from === parent;
  if (!isOwn && (heap.traps || input.held !== "" || isRequest)) return undefined;
  return { kind: "exit", reason: input.reason, value: input.value };
}

/** The number of a message from outside. */
function outsideNumber(input: Input): number | undefined {
  if (input.kind !== "message" || input.from !== "") return undefined;
  return (decodeValue(input.body) as Stamp).number;
}
