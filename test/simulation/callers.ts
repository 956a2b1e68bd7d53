/**
 * Those who use the engine from outside: they start processes, send to them, cancel and kill them, wait for their end; and
 * they hold the engine to what it answers.
 */
import { encodeValue } from "../../src/base/value.ts";
import type { Payload } from "../../src/base/value.ts";
import { askedUnder } from "../../src/engine/asked.ts";
import { isPerdureError } from "../../src/base/errors.ts";
import type { Input, Pid } from "../../src/journal/types.ts";
import type { Kernel } from "../../src/kernel/kernel.ts";
import type { StartRequest } from "../../src/kernel/ports.ts";
import type { Asked, ProcessExit, Store } from "../../src/store/port.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import { commandLineStream, keyedStream } from "./generate.ts";
import type { Plan } from "./guest/program.ts";
import type { Ledger } from "./ledger.ts";
import type { SimulatedNode } from "./node.ts";
import type { Message } from "./process.ts";
import type { Program } from "./program.ts";
import type { Timeline } from "./timeline.ts";

export interface CallersPorts {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly ledger: Ledger;
  /** Hash of the program that processes are started with. */
  readonly program: string;
  /** A handle beside the node's, as the command line has it. */
  readonly commandLine: Pick<Store, "post">;
  /** The node that is open now. */
  node(): SimulatedNode | undefined;
  /** It does not know yet what others have taken over: what it says of processes may be old. Default: never. */
  isBehind?(node: SimulatedNode | undefined): boolean;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** The label that a process's node must have. Default: none. */
  needs?(pid: Pid): string;
}

interface Call {
  readonly node: SimulatedNode;
  readonly what: string;
  readonly pid: Pid;
  readonly atMs: number;
  /** It waits for the process's end, which may be far. */
  readonly isPatient: boolean;
  /** The node is gone: the caller will never know. */
  void(): void;
}

/** What a sender knows of each message it sent, by number from 1. */
type Fate = "open" | "durable" | "unknown";

interface Letter {
  readonly number: number;
  readonly body: Payload;
  /** Its key, if it has one. */
  readonly asked: Asked | undefined;
}

/** To ask again would not help. */
const hopeless: ReadonlySet<string> = new Set(["PROCESS_NOT_FOUND", "PROCESS_EXITED", "PROCESS_BROKEN"]);

interface Sender {
  readonly pid: Pid;
  readonly stream: string;
  readonly fates: Fate[];
  left: number;
  isSending: boolean;
}

export interface Wishes {
  cancelled: boolean;
  killed: boolean;
}

export class Callers {
  readonly #ports: CallersPorts;
  readonly #calls = new Set<Call>();
  readonly #senders = new Map<string, Sender>();
  readonly #created = new Set<Pid>();
  readonly #wishes = new Map<Pid, Wishes>();
  /** Processes whose start has not been acknowledged. */
  readonly #unstarted = new Set<Pid>();
  /** Those who wait for a node to open. */
  readonly #atDoor: ((kernel: Kernel) => void)[] = [];
  #reasons = 0;
  #queries = 0;

  constructor(ports: CallersPorts) {
    this.#ports = ports;
  }

  wishes(pid: Pid): Wishes {
    return this.#wishes.get(pid) ?? { cancelled: false, killed: false };
  }

  mayBeMissing(pid: Pid, stream: string, number: number): boolean {
    return this.#senders.get(`${pid} ${stream}`)?.fates[number - 1] === "unknown";
  }

  /** Calls that should have been answered by now. */
  get overdue(): readonly string[] {
    const { ledger } = this.#ports;
    return [...this.#calls]
      .filter(({ isPatient, pid }) => !isPatient || ledger.exited(pid))
      .map(({ what, pid, atMs }) => `${what} of ${pid} at ${atMs}`);
  }

  get isIdle(): boolean {
    if (this.#unstarted.size > 0) return false;
    for (const { left, isSending } of this.#senders.values()) if (left > 0 || isSending) return false;
    for (const { isPatient } of this.#calls) if (!isPatient) return false;
    return true;
  }

  // -- what becomes of calls ------------------------------------------------------------------------------------

  #call<T>(
    call: Omit<Call, "node" | "atMs" | "isPatient"> & { readonly isPatient?: boolean },
    ask: () => Promise<T>,
    answer: (value: T) => void,
    refused: (error: Error) => void,
  ): void {
    const { timeline, note } = this.#ports;
    const node = this.#ports.node() as SimulatedNode;
    const entry: Call = { isPatient: false, ...call, node, atMs: timeline.nowMs };
    const { what, pid } = call;
    const existed = this.#ports.ledger.account(pid) !== undefined;
    this.#calls.add(entry);
    note("call", what, pid);
    ask().then(
      (value) => {
        if (!this.#calls.delete(entry)) return;
        note("answer", what, pid);
        answer(value);
      },
      (error: Error) => {
        if (!this.#calls.delete(entry)) return;
        note("refusal", what, pid, error.message);
        this.#checkRefusal(what, pid, existed, error);
        refused(error);
      },
    );
  }

  /** Nobody may be told of what is not durable. */
  #checkRefusal(what: string, pid: Pid, existed: boolean, error: Error): void {
    const { ledger, complain } = this.#ports;
    if (isPerdureError(error, "PROCESS_EXITED") && !ledger.exited(pid))
      complain(`${what} heard of the exit of ${pid}, which is not durable`);
    const before = ledger.account(pid);
    const isPruned = before !== undefined && ledger.isPruned(before);
    if (isPerdureError(error, "PROCESS_NOT_FOUND") && existed && !isPruned)
      complain(`${what} heard that there is no ${pid}, which was there`);
    if (isPerdureError(error, "KEY_CONFLICT")) complain(`${what} of ${pid} heard that its key is another's`);
    if (isPerdureError(error, "PROCESS_ID_CONFLICT") && ledger.account(pid) === undefined)
      complain(`${what} heard of ${pid}, whose start is not durable`);
    const account = ledger.account(pid);
    const isBroken = isPerdureError(error, "PROCESS_BROKEN");
    // A query that cannot load its process says so, and leaves the rest to the process's next turn.
    if (isBroken && what !== "query" && (account === undefined || ledger.record(account).row.state !== "broken"))
      complain(`${what} heard that ${pid} is broken, which is not durable`);
    if (!(isPerdureError(error) || error.message.startsWith("The machine failed")))
      complain(`${what} of ${pid} was refused with ${error.stack ?? error.message}`);
  }

  /** The node is gone between two instructions: its callers never hear from it. */
  nodeDied(node: SimulatedNode): void {
    for (const call of [...this.#calls]) {
      if (call.node !== node) continue;
      this.#calls.delete(call);
      call.void();
    }
  }

  /** The node failed or was closed a moment ago: everyone who asked it must have been answered. */
  checkAnswered(node: SimulatedNode): void {
    for (const { node: asked, what, pid } of this.#calls) {
      if (asked === node)
        this.#ports.complain(
          `${what} of ${pid} is never answered: its node ${node.state === "closed" ? "was closed" : "failed"}`,
        );
    }
  }

  /** Calls `use` when a node is open, which may be now. */
  #whenOpen(use: (kernel: Kernel) => void): void {
    const kernel = this.#ports.node()?.kernel;
    if (kernel !== undefined) use(kernel);
    else this.#atDoor.push(use);
  }

  /** A node is open. */
  nodeOpened(): void {
    const { timeline, dice } = this.#ports;
    for (const use of this.#atDoor.splice(0)) timeline.after(dice.delay(0, 80), () => this.#whenOpen(use));
  }

  #later(fn: () => void): void {
    this.#ports.timeline.after(this.#ports.dice.int(1, 100), fn);
  }

  // -- starts ---------------------------------------------------------------------------------------------------

  /** Asks until it is answered. */
  start(program: Program): void {
    const { pid } = program;
    this.#unstarted.add(pid);
    const again = (): void => this.#later(() => this.start(program));
    this.#whenOpen((kernel) =>
      this.#call(
        { what: "start", pid, void: again },
        () => kernel.outside.start({ pid, ...this.#startOf(program), argsDigest: "00" }),
        ({ created }) => this.#started(pid, created),
        again,
      ),
    );
  }

  #startOf({ pid, blocks, main, cleanup }: Program): Omit<StartRequest, "pid" | "argsDigest"> {
    const args = encodeValue([{ pid, blocks, main, cleanup } satisfies Plan]);
    return { program: this.#ports.program, entry: "main", args, env: {}, needs: this.#ports.needs?.(pid) ?? "" };
  }

  #started(pid: Pid, created: boolean): void {
    const { ledger, complain } = this.#ports;
    this.#unstarted.delete(pid);
    const account = ledger.account(pid);
    if (account === undefined) return complain(`the start of ${pid} was acknowledged before it was durable`);
    if (!created) return;
    if (this.#created.has(pid)) complain(`${pid} was created twice`);
    this.#created.add(pid);
  }

  /** The same id with other arguments. */
  startOther(program: Program): void {
    const { pid } = program;
    const nothing = (): void => undefined;
    this.#whenOpen((kernel) => {
      const existed = this.#ports.ledger.account(pid) !== undefined;
      if (!existed) return;
      this.#call(
        { what: "start of another", pid, void: nothing },
        () => kernel.outside.start({ pid, ...this.#startOf(program), argsDigest: "01" }),
        () => this.#ports.complain(`${pid} was started again with other arguments`),
        nothing,
      );
    });
  }

  // -- messages -------------------------------------------------------------------------------------------------

  /** Sends so many messages more, one after the other. */
  send(pid: Pid, stream: string, count: number): void {
    const key = `${pid} ${stream}`;
    const sender = this.#senders.get(key) ?? { pid, stream, fates: [], left: 0, isSending: false };
    this.#senders.set(key, sender);
    sender.left += count;
    this.#next(sender);
  }

  #next(sender: Sender): void {
    const { ledger } = this.#ports;
    const { pid, stream } = sender;
    if (sender.isSending || sender.left === 0) return;
    if (ledger.exited(pid)) {
      sender.left = 0;
      return;
    }
    // What is asked of a node overtakes what was posted beside it.
    if (stream === keyedStream && ledger.isWaiting(pid, stream, sender.fates.length))
      return this.#later(() => this.#next(sender));
    sender.isSending = true;
    // One in a while does not care whether there is anybody yet.
    const isThere = ledger.account(pid) !== undefined || this.#ports.dice.chance(0.05);
    if (isThere) return this.#dispatch(sender, this.#message(sender));
    this.#ports.timeline.after(50, () => {
      sender.isSending = false;
      this.#next(sender);
    });
  }

  #message(sender: Sender): Letter {
    const { stream } = sender;
    const number = sender.fates.push("open");
    sender.left--;
    const body = encodeValue({ stream, number } satisfies Message);
    const asked = stream === keyedStream ? askedUnder(`${number}`, "sent", { body, about: stream }) : undefined;
    return { number, body, asked };
  }

  #dispatch(sender: Sender, letter: Letter): void {
    const { stream } = sender;
    if (stream === commandLineStream || (stream === keyedStream && this.#ports.dice.chance(0.3)))
      return this.#postMessage(sender, letter);
    this.#whenOpen((kernel) => this.#send(sender, letter, kernel));
  }

  #send(sender: Sender, letter: Letter, kernel: Kernel): void {
    const { pid, stream } = sender;
    const { number, body, asked } = letter;
    const lost = (error?: unknown): void => this.#lost(sender, letter, error);
    this.#call(
      { what: `"${stream}" ${number}`, pid, void: lost },
      () => kernel.outside.send(pid, body, asked),
      () => this.#sent(sender, number, "durable"),
      lost,
    );
  }

  #postMessage(sender: Sender, letter: Letter): void {
    const { number, body, asked } = letter;
    const posted = (fate: Fate, error?: unknown): void => {
      if (fate === "durable") this.#sent(sender, number, fate);
      else this.#lost(sender, letter, error);
    };
    this.#post(sender.pid, { kind: "message", from: "", body }, posted, asked);
  }

  /** Nobody knows what became of it. Whoever has a key for it may ask again. */
  #lost(sender: Sender, letter: Letter, error: unknown): void {
    // Nothing of it was kept: another node has the process.
    if (isPerdureError(error, "PROCESS_ELSEWHERE")) return this.#later(() => this.#dispatch(sender, letter));
    if (letter.asked === undefined || (isPerdureError(error) && hopeless.has(error.code)))
      return this.#sent(sender, letter.number, "unknown");
    this.#ports.faults.count("message sent again with its key");
    this.#later(() => this.#dispatch(sender, letter));
  }

  /** As the command line does, beside the node or without one. */
  #post(pid: Pid, input: Input, ended: (fate: Fate, error?: unknown) => void = () => undefined, asked?: Asked): void {
    const { commandLine, timeline, note } = this.#ports;
    note("post", pid, input);
    this.#ports.faults.count("input posted beside the node");
    commandLine.post(pid, input, timeline.wallMs, asked).then(
      () => ended("durable"),
      (error: unknown) => ended("unknown", error),
    );
  }

  #sent(sender: Sender, number: number, fate: Fate): void {
    const { ledger, complain } = this.#ports;
    const { pid, stream } = sender;
    sender.fates[number - 1] = fate;
    sender.isSending = false;
    if (fate === "durable" && !ledger.holds(pid, stream, number)) {
      complain(`"${stream}" ${number} to ${pid} was acknowledged before it was durable`);
    }
    this.#later(() => this.#next(sender));
  }

  // -- queries --------------------------------------------------------------------------------------------------

  /** Looks at the process's heap: it has to be one that is durable, and that is what it was then or later. */
  query(pid: Pid, method: string): void {
    const { ledger, complain } = this.#ports;
    const node = this.#ports.node();
    const kernel = node?.kernel;
    const before = ledger.journal(pid).length;
    if (kernel === undefined || ledger.account(pid) === undefined) return;
    const nothing = (): void => undefined;
    // It may come to a message after all.
    const body = encodeValue({ stream: `query ${++this.#queries}`, number: 1 } satisfies Message);
    this.#call(
      { what: "query", pid, isPatient: true, void: nothing },
      () => kernel.outside.query(pid, { method, body, replyTo: "@caller" }),
      (answer) => {
        if (answer.kind !== "answered") return;
        const turn = Number(answer.body.text);
        const durable = ledger.journal(pid).length;
        if (this.#ports.isBehind?.(node) === true) return;
        if (turn > durable) complain(`a query saw turn ${turn} of ${pid}, and ${durable} are durable`);
        if (turn < before) complain(`a query saw turn ${turn} of ${pid}, which was at ${before} already`);
      },
      nothing,
    );
  }

  // -- the end of processes -------------------------------------------------------------------------------------

  #wish(pid: Pid): Wishes {
    const wishes = this.wishes(pid);
    this.#wishes.set(pid, wishes);
    return wishes;
  }

  cancel(pid: Pid): void {
    const reason = `reason ${++this.#reasons}`;
    const nothing = (): void => undefined;
    if (this.#ports.dice.chance(0.3)) {
      this.#wish(pid).cancelled = true;
      return this.#post(pid, { kind: "cancel", reason });
    }
    this.#whenOpen((kernel) => {
      this.#wish(pid).cancelled = true;
      this.#call(
        { what: "cancel", pid, void: nothing },
        () => kernel.outside.cancel(pid, reason),
        () => this.#checkCancelled(pid, reason),
        nothing,
      );
    });
  }

  #checkCancelled(pid: Pid, reason: string): void {
    const { ledger, complain } = this.#ports;
    const account = ledger.account(pid);
    if (account === undefined) return complain(`a cancel of ${pid} was acknowledged, and it is not there`);
    const inputs = [
      ...ledger.inboxOf(account.key).map(({ input }) => input),
      ...ledger.journal(pid).flatMap((turn) => turn?.inputs ?? []),
    ];
    const isDurable = inputs.some((input) => input.kind === "cancel" && input.reason === reason);
    if (!isDurable && !ledger.exited(pid)) complain(`a cancel of ${pid} was acknowledged before it was durable`);
  }

  kill(pid: Pid): void {
    const { ledger, complain, dice } = this.#ports;
    const nothing = (): void => undefined;
    if (dice.chance(0.3)) {
      this.#wish(pid).killed = true;
      return this.#post(pid, { kind: "fatal", reason: "killed", detail: "Killed." });
    }
    this.#whenOpen((kernel) => {
      this.#wish(pid).killed = true;
      const check = (): void => {
        const account = ledger.account(pid);
        const waits = account !== undefined && ledger.inboxOf(account.key).some(({ input }) => input.kind === "fatal");
        if (!waits && !ledger.exited(pid)) complain(`a kill of ${pid} was acknowledged before it was durable`);
      };
      this.#call({ what: "kill", pid, void: nothing }, () => kernel.outside.kill(pid), check, nothing);
    });
  }

  /** Waits for the process's end, through as many nodes as it takes. */
  awaitExit(pid: Pid): void {
    const again = (): void => this.#later(() => this.awaitExit(pid));
    this.#whenOpen((kernel) => {
      const refused = (error: Error): void => {
        // Nobody mends it in this run.
        if (!isPerdureError(error, "PROCESS_BROKEN")) again();
      };
      this.#call(
        { what: "exit", pid, isPatient: true, void: again },
        () => kernel.outside.exit(pid),
        (exit) => this.#ended(pid, exit),
        refused,
      );
    });
  }

  #ended(pid: Pid, exit: ProcessExit): void {
    const { ledger, complain } = this.#ports;
    const account = ledger.account(pid);
    const durable = account === undefined ? undefined : ledger.record(account).row.exit;
    if (durable === undefined) complain(`the exit of ${pid} was told before it was durable`);
    else if (durable.reason !== exit.reason || durable.value.text !== exit.value.text)
      complain(`another exit of ${pid} was told than is durable`);
  }

  /** A person lets a quarantined operation go on. */
  retry(pid: Pid, number: number): void {
    const { ledger, complain } = this.#ports;
    const kernel = this.#ports.node()?.kernel;
    const nothing = (): void => undefined;
    if (kernel === undefined) return;
    const check = (released: boolean): void => {
      const account = ledger.account(pid);
      const row = account === undefined ? undefined : ledger.operationRow(account.key, number);
      if (released && row?.state === "quarantined")
        complain(`operation ${number} of ${pid} was said to go on, and is quarantined`);
    };
    this.#call({ what: "retry", pid, void: nothing }, () => kernel.outside.retry(pid, number), check, nothing);
  }
}
