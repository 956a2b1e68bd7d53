/** What a `perdure resume` waits for, and what it prints meanwhile. */
import { processDetails } from "../engine/views.ts";
import type { LogEntry } from "../engine/options.ts";
import type { Pid } from "../journal/types.ts";
import type { StoreReader } from "../store/port.ts";
import type { Context } from "./context.ts";
import { exitCodes, failureOf, printFailure } from "./failure.ts";
import { printLog } from "./node.ts";
import { formatBriefly, outcomeDocument, printOutcome } from "./outcome.ts";
import { countGoing } from "./reader.ts";
import { readOutcome } from "./read-outcome.ts";
import { cut, oneLine } from "./text.ts";
import { formatDuration } from "./time.ts";
import { describeWaiting } from "./waiting.ts";

/** Exits are heard of; this is for the processes that break or pause, and for those that are started meanwhile. */
const lookEveryMs = 1000;
const maxValueWidth = 100;

export class ResumeWork {
  readonly #context: Context;
  readonly #reader: StoreReader;
  /** Empty: everything that runs. */
  readonly #pids: ReadonlySet<Pid>;
  readonly #sinceMs = performance.now();
  readonly #finished = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  /** Ends are printed one after the other, in the order they came. */
  #printing: Promise<void> = Promise.resolve();
  #checking = false;
  #stopped = false;
  #failed = false;

  constructor(context: Context, reader: StoreReader, pids: readonly Pid[]) {
    this.#context = context;
    this.#reader = reader;
    this.#pids = new Set(pids);
  }

  get exitCode(): number {
    return this.#failed ? exitCodes.failed : exitCodes.ok;
  }

  /** Prints the ends there are of what was asked for by pid, and answers how many processes are left to wait for. */
  async begin(): Promise<number> {
    for (const pid of this.#pids) {
      const row = await this.#reader.findProcess(pid);
      if (row?.state === "exited") await this.#printEnd(pid);
      if (row?.state === "broken") this.#failed = true;
    }
    return await this.#left();
  }

  /** Resolves when nothing is left to wait for and every end is printed. Rejects if the store cannot be read. */
  done(): Promise<void> {
    this.#timer = setInterval(() => this.#check(), lookEveryMs);
    this.#check();
    return this.#finished.promise;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  ended(pid: Pid): void {
    this.#printing = this.#printing
      .then(() => this.#printEnd(pid))
      .catch((error: unknown) => this.#finished.reject(error));
    this.#check();
  }

  printLog(log: LogEntry): void {
    const { json, terminal } = this.#context;
    if (json) terminal.print(JSON.stringify({ kind: "log", ...log }));
    else printLog(log, terminal.out.dim(`${log.pid} | `));
  }

  /** For the status line. */
  async describe(): Promise<string> {
    const left = await this.#left();
    const [newest] =
      this.#pids.size > 0
        ? this.#pids
        : (await this.#reader.listProcesses({ states: ["running"], limit: 1 })).map(({ pid }) => pid);
    const elapsed = formatDuration(performance.now() - this.#sinceMs);
    if (newest === undefined) return `${left} unfinished  ${elapsed}`;
    const waiting = describeWaiting(await processDetails(this.#reader, newest), { nowMs: Date.now(), nodeRuns: true });
    return `${left} unfinished  ${elapsed}  ${newest} ${waiting === "" ? "is in a turn" : `waits for ${waiting}`}`;
  }

  async #left(): Promise<number> {
    if (this.#pids.size === 0) return await countGoing(this.#reader);
    const rows = await Promise.all([...this.#pids].map((pid) => this.#reader.findProcess(pid)));
    return rows.filter((row) => row?.state === "running" || row?.state === "crashed").length;
  }

  #check(): void {
    if (this.#checking || this.#stopped) return;
    this.#checking = true;
    // A burst of ends is one look at the store.
    setTimeout(() => {
      this.#checking = false;
      this.#left()
        .then(async (left) => {
          if (left > 0 || this.#stopped) return;
          await this.#printing;
          this.#finished.resolve();
        })
        .catch((error: unknown) => this.#finished.reject(error));
    }, 20);
  }

  async #printEnd(pid: Pid): Promise<void> {
    const { json, terminal } = this.#context;
    const isAwaited = this.#pids.size === 0 || this.#pids.has(pid);
    const outcome = await readOutcome(this.#reader, pid);
    if (outcome === undefined) return;
    if ("error" in outcome && isAwaited) this.#failed = true;
    if (json) terminal.print(JSON.stringify({ kind: "exit", ...outcomeDocument(outcome) }));
    else if (this.#pids.has(pid)) printOutcome(this.#context, outcome);
    else if ("error" in outcome) printFailure(failureOf(outcome.error), terminal);
    else {
      const value = outcome.value === undefined ? "" : `: ${cut(oneLine(formatBriefly(outcome.value)), maxValueWidth)}`;
      terminal.note(`perdure: process ${pid} ended normally${value}`);
    }
  }
}
