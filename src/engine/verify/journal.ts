/** What a process's journal says of it: the turns are read once, in order, and what must follow from them is kept. */
import type { CommandDigest, Input, Turn } from "../../journal/types.ts";
import type { Report } from "./rules.ts";

/** Operations count from here in each life but the first; see the input `restore`. */
const numbersPerLife = 1e9;

interface Pending {
  /** Name by number. */
  readonly operations: Map<number, string>;
  readonly timers: Set<number>;
  readonly trapsExits: boolean;
}

export class JournalAccount {
  operations: Map<number, string> = new Map();
  timers: Set<number> = new Set();
  trapsExits = false;
  lastTurn = 0;
  lastTimeMs = 0;
  /** The last turn with a checkpoint. */
  checkpointTurn = 0;
  /** What ended the process. */
  exit: { readonly command: CommandDigest; readonly timeMs: number } | undefined;
  entry: string | undefined;
  /** Turns that begin with a restore. */
  readonly restored: number[] = [];
  readonly #report: Report;
  /** The last operation's number, of each life. */
  readonly #issued = new Map<number, number>([[0, 0]]);
  #life = 0;
  readonly #set = new Set<number>();
  #atCheckpoint: Pending | undefined;
  #isWhole = true;

  constructor(report: Report) {
    this.#report = report;
  }

  add(turn: Turn): void {
    const { number, timeMs, inputs, commands } = turn;
    if (number !== this.lastTurn + 1) this.#report("journal-gap", `turn ${number} follows turn ${this.lastTurn}`);
    if (timeMs < this.lastTimeMs)
      this.#report("journal-time", `turn ${number} was at ${timeMs} ms, and the one before at ${this.lastTimeMs} ms`);
    if (this.exit !== undefined) this.#report("journal-end", `turn ${number} comes after the process's end`);
    for (const [index, input] of inputs.entries()) this.#input(input, number, index);
    for (const command of commands) this.#command(command, turn);
    if (this.checkpointTurn === number) this.#keepCheckpoint();
    this.lastTurn = number;
    this.lastTimeMs = timeMs;
  }

  /** A turn that cannot be read: what follows from it is not known. */
  skip(number: number): void {
    this.lastTurn = number;
    this.#isWhole = false;
  }

  /** The process was put back to its checkpoint. */
  restore(life: number | undefined): void {
    const { operations, timers, trapsExits } = this.#atCheckpoint ?? { operations: [], timers: [], trapsExits: false };
    this.operations = new Map(operations);
    this.timers = new Set(timers);
    this.trapsExits = trapsExits;
    if (life !== undefined) this.#life = life;
  }

  /** Whether an operation of this number was ever begun. */
  begun(number: number): boolean {
    const life = Math.floor(number / numbersPerLife);
    return number > life * numbersPerLife && number <= (this.#issued.get(life) ?? 0);
  }

  #input(input: Input, turn: number, index: number): void {
    const isFirst = turn === 1 && index === 0;
    switch (input.kind) {
      case "start":
        if (!isFirst) this.#report("journal-start", `turn ${turn} starts it again`);
        this.entry = input.entry;
        return;
      case "restore":
        if (this.#isWhole && this.#atCheckpoint === undefined)
          this.#report("restore", `turn ${turn} restores a checkpoint it never took`);
        this.restored.push(turn);
        return this.restore(input.life);
      case "result":
        this.operations.delete(input.operation);
        if (this.#isWhole && !this.begun(input.operation))
          this.#report(
            "journal-result",
            `turn ${turn} takes a result of operation ${input.operation}, which was never begun`,
          );
        return;
      case "timer":
        if (this.#isWhole && !this.#set.has(input.timer))
          this.#report("journal-result", `turn ${turn} takes timer ${input.timer}, which was never set`);
        this.timers.delete(input.timer);
        return;
      default:
        if (isFirst && input.kind !== "fatal" && input.kind !== "exit")
          this.#report("journal-start", `its first input is no start, but ${input.kind}`);
    }
  }

  #command(command: CommandDigest, { number, timeMs }: Turn): void {
    const { kind, target } = command;
    switch (kind) {
      case "operation": {
        const first = this.#life === 0 ? 0 : this.#life * numbersPerLife;
        const operation = (this.#issued.get(this.#life) ?? first) + 1;
        this.#issued.set(this.#life, operation);
        this.operations.set(operation, target);
        return;
      }
      case "abort":
        this.operations.delete(Number(target));
        return;
      case "timer":
        this.#set.add(Number(target));
        this.timers.add(Number(target));
        return;
      case "clear-timer":
        this.timers.delete(Number(target));
        return;
      case "trap-exit":
        this.trapsExits = target === "on";
        return;
      case "checkpoint":
        this.checkpointTurn = number;
        return;
      case "exit":
        this.exit = { command, timeMs };
        return;
      default:
        return;
    }
  }

  /** The heap is that of the turn's end. */
  #keepCheckpoint(): void {
    const { operations, timers, trapsExits } = this;
    this.#atCheckpoint = { operations: new Map(operations), timers: new Set(timers), trapsExits };
  }
}
