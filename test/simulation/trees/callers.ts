/** Those who use the engine from outside while trees of processes run. */
import { isPerdureError } from "../../../src/base/errors.ts";
import { encodeValue } from "../../../src/base/value.ts";
import type { Pid } from "../../../src/journal/types.ts";
import type { Kernel } from "../../../src/kernel/kernel.ts";
import type { Store } from "../../../src/store/port.ts";
import type { Dice } from "../dice.ts";
import type { Faults } from "../faults.ts";
import type { SimulatedNode } from "../node.ts";
import type { Timeline } from "../timeline.ts";
import type { Stamp, TreeArgs } from "./acts.ts";

export interface TreeCallersPorts {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly ledger: {
    account(pid: Pid): { readonly pid: Pid; readonly member?: { doomed: boolean } } | undefined;
    /** Whether a message from outside is in the journal or the inbox, or the process is past caring. */
    holds(pid: Pid, number: number): boolean;
  };
  readonly commandLine: Pick<Store, "post">;
  node(): SimulatedNode | undefined;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
}

interface Call {
  readonly node: SimulatedNode;
  readonly what: string;
  /** The node is gone, or refused: what is to be done. */
  again(): void;
}

const nothing = (): void => undefined;

export class TreeCallers {
  readonly #ports: TreeCallersPorts;
  readonly #calls = new Set<Call>();
  readonly #atDoor: ((kernel: Kernel) => void)[] = [];
  /** Roots whose start was not acknowledged. */
  readonly #unstarted = new Set<Pid>();
  #messages = 0;
  #elsewhere = 0;

  constructor(ports: TreeCallersPorts) {
    this.#ports = ports;
  }

  get isIdle(): boolean {
    return this.#unstarted.size + this.#calls.size + this.#atDoor.length + this.#elsewhere === 0;
  }

  start(pid: Pid, fuel: number): void {
    const { ledger, complain, timeline, dice } = this.#ports;
    this.#unstarted.add(pid);
    const args = encodeValue([{ parent: "", fuel, depth: 0 } satisfies TreeArgs]);
    const request = { pid, program: "program", entry: "main", args, argsDigest: "00", env: {} };
    this.#call(
      `start of ${pid}`,
      (kernel) => kernel.outside.start(request),
      () => {
        this.#unstarted.delete(pid);
        if (ledger.account(pid) === undefined) complain(`the start of ${pid} was acknowledged before it was durable`);
      },
      () => void timeline.after(dice.int(1, 100), () => this.start(pid, fuel)),
    );
  }

  send(pid: Pid): void {
    const { ledger, complain } = this.#ports;
    const number = ++this.#messages;
    const body = encodeValue({ by: "outside", number } satisfies Stamp);
    if (this.#ports.dice.chance(0.2)) return this.#post(pid, { kind: "message", from: "", body });
    this.#call(
      `message ${number} to ${pid}`,
      (kernel) => kernel.outside.send(pid, body),
      () => {
        if (!ledger.holds(pid, number)) complain(`message ${number} to ${pid} was acknowledged before it was durable`);
      },
    );
  }

  cancel(pid: Pid): void {
    this.#call(`cancel of ${pid}`, (kernel) => kernel.outside.cancel(pid, "as planned"));
  }

  kill(pid: Pid): void {
    const member = this.#ports.ledger.account(pid)?.member;
    if (this.#ports.dice.chance(0.3)) return this.#post(pid, { kind: "fatal", reason: "killed", detail: "Killed." });
    const acknowledged = (): void => {
      if (member !== undefined) member.doomed = true;
    };
    this.#call(`kill of ${pid}`, (kernel) => kernel.outside.kill(pid), acknowledged);
  }

  control(pid: Pid, kind: "pause" | "resume"): void {
    if (this.#ports.dice.chance(0.2)) return this.#post(pid, { kind });
    this.#call(`${kind} of ${pid}`, (kernel) => kernel.outside.control(pid, kind));
  }

  retry(pid: Pid, number: number): void {
    this.#call(`retry of ${pid}`, (kernel) => kernel.outside.retry(pid, number));
  }

  /** As the command line does, beside the node or without one. */
  #post(pid: Pid, input: Parameters<Store["post"]>[1]): void {
    const { commandLine, timeline, note } = this.#ports;
    note("post", pid, input);
    this.#ports.faults.count("input posted beside the node");
    commandLine.post(pid, input, timeline.wallMs).then(nothing, nothing);
  }

  // -- calls ----------------------------------------------------------------------------------------------------

  #call<T>(
    what: string,
    ask: (kernel: Kernel) => Promise<T>,
    answered: (value: T) => void = nothing,
    again: () => void = nothing,
  ): void {
    this.#whenOpen((kernel) => {
      const call: Call = { node: this.#ports.node() as SimulatedNode, what, again };
      this.#calls.add(call);
      this.#ports.note("call", what);
      ask(kernel).then(
        (value) => {
          if (!this.#calls.delete(call)) return;
          this.#ports.note("answer", what);
          answered(value);
        },
        (error: Error) => {
          if (!this.#calls.delete(call)) return;
          this.#ports.note("refusal", what, error.message);
          if (!isPerdureError(error) && !error.message.startsWith("The machine failed"))
            this.#ports.complain(`${what} was refused with ${error.stack ?? error.message}`);
          if (isPerdureError(error, "PROCESS_ELSEWHERE"))
            this.#askAnother(() => this.#call(what, ask, answered, again));
          else again();
        },
      );
    });
  }

  /** Nothing of it was kept: another node has the process. */
  #askAnother(ask: () => void): void {
    this.#elsewhere++;
    this.#ports.timeline.after(this.#ports.dice.int(1, 60), () => {
      this.#elsewhere--;
      ask();
    });
  }

  #whenOpen(use: (kernel: Kernel) => void): void {
    const kernel = this.#ports.node()?.kernel;
    if (kernel !== undefined) use(kernel);
    else this.#atDoor.push(use);
  }

  nodeOpened(): void {
    const { timeline, dice } = this.#ports;
    for (const use of this.#atDoor.splice(0)) timeline.after(dice.delay(0, 80), () => this.#whenOpen(use));
  }

  nodeDied(node: SimulatedNode): void {
    for (const call of [...this.#calls]) if (call.node === node && this.#calls.delete(call)) call.again();
  }

  checkAnswered(node: SimulatedNode): void {
    for (const call of this.#calls)
      if (call.node === node) this.#ports.complain(`${call.what} is never answered: its node is ${node.state}`);
  }
}
