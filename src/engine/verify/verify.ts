/** Verification of a store: everything in it held against the rules of `rules.ts`, and its processes against replay. Writes nothing. */
import { setTimeout as delay } from "node:timers/promises";
import { isPerdureError } from "../../base/errors.ts";
import { compileEngine, readEngineBinary } from "../../machine/engine-binary.ts";
import type { MachineLimits } from "../../machine/image.ts";
import type { ProcessFilter, ProcessKey, ProcessRow, ProgramRow, StoreFault } from "../../store/port.ts";
import { programSource } from "../program-source.ts";
import { refusalOf } from "../refusals.ts";
import { eachProcess } from "../tree.ts";
import { checkProcess, firstSentence } from "./process.ts";
import type { VerifiedStore } from "./process.ts";
import { Replay } from "./replay.ts";
import type { Finding, Rule } from "./rules.ts";

export interface VerifyOptions {
  /** Only these processes; the store as a whole is not looked at then. */
  readonly processes?: readonly ProcessRow[];
  readonly filter?: Omit<ProcessFilter, "limit">;
  /** At most so many processes, newest first. Default all. */
  readonly limit?: number;
  /** Default true. */
  readonly replay?: boolean;
  /** The limits that the store's nodes run with: a heap depends on them. Default the machine's. */
  readonly limits?: MachineLimits;
  /** Told of each finding as it is made. */
  readonly found?: (finding: Finding) => void;
  readonly progress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  /** Of the whole: from 0 to 1. */
  readonly share: number;
  readonly doing: "store" | "processes";
  readonly processes: number;
  readonly turns: number;
}

export interface VerifyReport {
  readonly processes: number;
  readonly turns: number;
  readonly replayedProcesses: number;
  readonly replayedTurns: number;
  /** Why, and how many processes. */
  readonly notReplayed: Readonly<Record<string, number>>;
  /** The first `maxFindings`. */
  readonly findings: readonly Finding[];
  readonly findingsCount: number;
}

export const maxFindings = 1_000;
/** A node beside us may have been between two commits: what is there again on a second and a third look is there. */
const looks = 3;
const betweenLooksMs = 100;
/** Of the whole, when processes are looked at too. */
const storeShare = 0.1;

export async function verifyStore(store: VerifiedStore, options: VerifyOptions = {}): Promise<VerifyReport> {
  return await new Verification(store, options).run();
}

class Verification {
  readonly #store: VerifiedStore;
  readonly #options: VerifyOptions;
  readonly #programs = new Map<string, string | undefined>();
  readonly #findings: Finding[] = [];
  readonly #notReplayed: Record<string, number> = {};
  #count = 0;
  #processes = 0;
  #total = 0;
  #turns = 0;
  #replayedProcesses = 0;
  #replayedTurns = 0;

  constructor(store: VerifiedStore, options: VerifyOptions) {
    this.#store = store;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    const { processes, limit = Infinity, replay = true, limits } = this.#options;
    this.#total = Math.min(limit, processes?.length ?? (await this.#countAll()));
    if (processes === undefined && this.#options.filter === undefined) await this.#checkStore();
    const replays = replay
      ? new Replay({
          store: this.#store,
          engine: compileEngine(readEngineBinary()),
          programs: {
            source: (program) => programSource(this.#store, program),
            // Images are built anew: those in the store are a cache that somebody may have damaged.
            loadImage: async () => undefined,
            saveImage: () => undefined,
          },
          limits,
          step: (turns) => {
            this.#replayedTurns += turns;
            this.#progress("processes");
          },
        })
      : undefined;
    try {
      for await (const row of processes ?? this.#rows()) {
        if (this.#processes >= limit) break;
        await this.#process(row, replays);
        this.#processes++;
        this.#progress("processes");
      }
    } finally {
      await replays?.close();
    }
    return {
      processes: this.#processes,
      turns: this.#turns,
      replayedProcesses: this.#replayedProcesses,
      replayedTurns: this.#replayedTurns,
      notReplayed: this.#notReplayed,
      findings: this.#findings,
      findingsCount: this.#count,
    };
  }

  #found(finding: Finding): void {
    this.#count++;
    if (this.#findings.length < maxFindings) this.#findings.push(finding);
    this.#options.found?.(finding);
  }

  #progress(doing: VerifyProgress["doing"], part = 0): void {
    const share =
      doing === "store"
        ? part * storeShare
        : storeShare + (1 - storeShare) * (this.#processes / Math.max(1, this.#total));
    this.#options.progress?.({ share, doing, processes: this.#processes, turns: this.#turns });
  }

  async #countAll(): Promise<number> {
    try {
      return Object.values(await this.#store.countProcesses()).reduce((sum, count) => sum + count, 0);
    } catch (error) {
      if (!isPerdureError(error)) throw error;
      return 0;
    }
  }

  // -- the store as a whole ---------------------------------------------------------------------------------------

  async #checkStore(): Promise<void> {
    const pids = new Map<ProcessKey, string>();
    const faults = await again(
      () => this.#audit(),
      ({ rule, process, detail }) => `${rule} ${process} ${detail}`,
    );
    for (const { rule, process, detail } of faults) {
      if (process !== undefined && !pids.has(process)) pids.set(process, await this.#pidOf(process));
      this.#found({ rule, pid: process === undefined ? "" : (pids.get(process) ?? ""), detail });
    }
    try {
      for (const program of await this.#store.programs()) {
        const problem = await this.#programProblem(program);
        if (problem !== undefined) this.#found({ rule: "program", pid: "", detail: problem });
      }
    } catch (error) {
      this.#unreadable("program", error);
    }
  }

  async #audit(): Promise<StoreFault[]> {
    const faults: StoreFault[] = [];
    await this.#store.audit(
      (fault) => faults.push(fault),
      (done, total) => this.#progress("store", done / total),
    );
    return faults;
  }

  async #pidOf(process: ProcessKey): Promise<string> {
    try {
      return (await this.#store.getProcess(process))?.pid ?? `number ${process}`;
    } catch {
      return `number ${process}`;
    }
  }

  async #programProblem({ hash, bundle, sourceMap, prelude, engine }: ProgramRow): Promise<string | undefined> {
    for (const [name, blob] of Object.entries({ bundle, "source map": sourceMap, prelude, engine }))
      if ((await this.#store.blob(blob)) === undefined) return `program ${hash}: its ${name} (${blob}) is not there`;
    return undefined;
  }

  #unreadable(rule: Rule, error: unknown, pid = ""): void {
    if (!isPerdureError(error)) throw error;
    this.#found({ rule, pid, detail: firstSentence(error.message) });
  }

  // -- processes --------------------------------------------------------------------------------------------------

  /** Newest first. If a page cannot be read, for one row of it, the others are read one by one. */
  async *#rows(): AsyncGenerator<ProcessRow> {
    const { filter = {} } = this.#options;
    let before: ProcessKey | undefined;
    for (;;) {
      try {
        for await (const row of eachProcess(this.#store, { ...filter, ...(before === undefined ? {} : { before }) })) {
          before = row.key;
          yield row;
        }
        return;
      } catch (error) {
        this.#unreadable("row", error);
      }
      // Which keys there are nobody can say then: those of pruned processes are left out.
      before = yield* this.#oneByOne(before ?? 2 * this.#total + 10_000);
      if (before <= 1) return;
    }
  }

  async *#oneByOne(before: ProcessKey): AsyncGenerator<ProcessRow, ProcessKey> {
    const until = Math.max(1, before - 1_000);
    for (let key = before - 1; key >= until; key--) {
      const row = await this.#store.getProcess(key).catch(() => undefined);
      if (row !== undefined) yield row;
    }
    return until;
  }

  async #process(given: ProcessRow, replays: Replay | undefined): Promise<void> {
    const { pid, key } = given;
    let checked: Awaited<ReturnType<typeof checkProcess>> | undefined;
    const look = async (): Promise<Finding[]> => {
      const found: Finding[] = [];
      const row = (await this.#store.getProcess(key)) ?? given;
      checked = await checkProcess(this.#store, row, (rule, detail) => found.push({ rule, pid, detail }));
      return found;
    };
    try {
      for (const finding of await again(look, ({ rule, detail }) => `${rule} ${detail}`)) this.#found(finding);
    } catch (error) {
      this.#unreadable("row", error, pid);
    }
    if (checked === undefined) return;
    this.#turns += checked.turns;
    if (replays === undefined || checked.load === undefined || checked.turns === 0) return;
    const why = checked.replayable ? await this.#whyNot(given.program) : "the journal is damaged";
    if (why !== undefined) {
      this.#notReplayed[why] = (this.#notReplayed[why] ?? 0) + 1;
      return;
    }
    const replayed = await replays.process(checked.load, (rule, detail) => this.#found({ rule, pid, detail }));
    if (replayed === checked.turns) this.#replayedProcesses++;
  }

  /** Why processes of this program cannot be replayed here. */
  async #whyNot(hash: string): Promise<string | undefined> {
    if (this.#programs.has(hash)) return this.#programs.get(hash);
    const row = await this.#store.program(hash);
    const why =
      row === undefined || (await this.#programProblem(row)) !== undefined
        ? "the program is not in the store"
        : await this.#refusal(row);
    this.#programs.set(hash, why);
    return why;
  }

  async #refusal(row: ProgramRow): Promise<string | undefined> {
    const prelude = await this.#store.blob(row.prelude);
    const refusal = refusalOf(row, Buffer.from(prelude ?? []).toString("utf8"));
    return refusal === undefined ? undefined : `they ${refusal}`;
  }
}

/** What is found again and again. */
async function again<T>(look: () => Promise<T[]>, keyOf: (found: T) => string): Promise<T[]> {
  let found = await look();
  for (let number = 1; number < looks && found.length > 0; number++) {
    await delay(betweenLooksMs);
    const keys = new Set((await look()).map(keyOf));
    found = found.filter((each) => keys.has(keyOf(each)));
  }
  return found;
}
