/**
 * The kernel with everything below it, as one object: what the kernel thread runs. It knows nothing of threads itself,
 * so that tests can run it in theirs.
 */
import { createHash } from "node:crypto";
import type { Clock, Random } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { Pid } from "../journal/types.ts";
import type { KeepPolicy } from "../kernel/keep.ts";
import { Kernel } from "../kernel/kernel.ts";
import type { KernelEvents, OperationReport, OperationRunner } from "../kernel/ports.ts";
import type { Archive } from "../kernel/retention.ts";
import { engineHash, readEngineBinary } from "../machine/engine-binary.ts";
import type { MachineEvents, ProgramSources } from "../machine/port.ts";
import { createGuestThreads } from "../machine/threads.ts";
import type { GuestThreadOptions } from "../machine/thread-messages.ts";
import type { Asked, ProcessExit, ProcessFilter, ProcessRow, Store, Tombstone } from "../store/port.ts";
import { openStore } from "../store/open.ts";
import { keyedPid } from "../base/ids.ts";
import { Calls } from "./calls.ts";
import type { CallOutcome, CallRequest } from "./calls.ts";
import { findDeadLetter, noLetter, readDeadLetters } from "./dead-letters.ts";
import type { DeadLetterFilter, StoredLetter } from "./dead-letters.ts";
import { ArchiveFolder } from "./archive/folder.ts";
import { findEver, isUnfinished, newestGeneration } from "./generations.ts";
import { processTree } from "./tree.ts";
import type { ProcessTree } from "./tree.ts";
import { Versions } from "./versions.ts";
import { history, listProcesses, processDetails } from "./views.ts";
import type { HistoryOptions, ProcessDetails, ProcessView, TurnView } from "./views.ts";

export interface ServiceOptions {
  /** A file's path, "memory:", or a `postgres://` URL. */
  readonly store: string;
  /** Default 1. */
  readonly guestThreads?: number;
  readonly machine?: GuestThreadOptions;
  /** Names of environment variables that programs may see. */
  readonly env?: readonly string[];
  readonly keep?: KeepPolicy;
  /** A folder's path. */
  readonly archive?: string;
}

/** A program on its way into the store. */
export interface Deployment {
  readonly hash: string;
  readonly file: string;
  readonly bundle: string;
  readonly sourceMap: string;
  readonly prelude: string;
}

export interface StartCall {
  readonly pid: Pid;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  readonly env: Readonly<Record<string, string>>;
  readonly role?: string;
  readonly label?: string;
}

/** The server of a class for a key. */
export interface KeyedCall extends Pick<StartCall, "program" | "entry" | "args" | "env"> {
  readonly key: string;
  /** The key of a call or cast that is for it: whichever process had that key is asked again. */
  readonly asked?: string;
}

export interface ServicePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly defer: (fn: () => void) => void;
  /** Answers from guests are for calls that wait in here. */
  readonly events: Omit<KernelEvents, "answered">;
  /** Operations on their way to the host. */
  readonly runner: OperationRunner;
}

export class EngineService {
  readonly #store: Store;
  readonly #versions = new Versions();
  readonly #resending = new Set<number>();
  readonly #ports: ServicePorts;
  #kernel!: Kernel;
  #calls!: Calls;
  #closeArchive: () => Promise<void> = () => Promise.resolve();
  #report: (reports: readonly OperationReport[]) => void = () => undefined;

  static async open(options: ServiceOptions, ports: ServicePorts): Promise<EngineService> {
    const store = await openStore(options.store);
    try {
      const service = new EngineService(store, ports);
      await service.#open(options);
      return service;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(store: Store, ports: ServicePorts) {
    this.#store = store;
    this.#ports = ports;
  }

  async #open(options: ServiceOptions): Promise<void> {
    const { clock, random, defer, events, runner } = this.#ports;
    const engine = readEngineBinary();
    for (const program of (await this.#store.programs()).reverse()) this.#versions.add(program);
    this.#calls = new Calls({
      clock,
      locate: (to) => this.#kernel.outside.whereis(to) ?? to,
      send: (pid, body) => this.#kernel.outside.send(pid, body),
      query: (pid, call) => this.#kernel.outside.query(pid, call),
      keyed: (pid, request, timeoutMs) => this.#kernel.outside.call(pid, request, timeoutMs),
    });
    this.#kernel = await Kernel.open({
      store: this.#store,
      clock,
      random,
      defer,
      events: this.#overhear(events),
      env: () => environment(options.env ?? []),
      newest: (program) => this.#versions.newest(program),
      deployed: () => this.#versions.deployed,
      ...(options.keep === undefined ? {} : { keep: options.keep }),
      ...this.#archiving(options.archive),
      machine: (machineEvents: MachineEvents) =>
        createGuestThreads({
          engine,
          clock,
          programs: programSources(this.#store, () => this.#back()),
          events: machineEvents,
          threads: options.guestThreads ?? 1,
          ...options.machine,
        }),
      runner: (report) => {
        this.#report = report;
        return runner;
      },
    });
  }

  #archiving(folder: string | undefined): { readonly archive?: Archive } {
    if (folder === undefined) return {};
    const archive = new ArchiveFolder(folder, this.#store, this.#ports.clock);
    this.#closeArchive = () => archive.close();
    return { archive: (rows) => archive.add(rows) };
  }

  /** Calls that wait for an answer hear of answers and ends first. */
  #overhear(events: ServicePorts["events"]): KernelEvents {
    return {
      ...events,
      answered: (answer) => this.#calls.answered(answer),
      exited: (exits) => {
        for (const { pid, exit } of exits) this.#calls.exited(pid, exit);
        events.exited(exits);
      },
      notice: (notice) => {
        if (notice.kind === "broken") this.#calls.broke(notice.pid, notice.message);
        events.notice(notice);
      },
    };
  }

  reports(reports: readonly OperationReport[]): void {
    this.#report(reports);
  }

  /** Keeps a program, its source map, its prelude and the engine binary: a process needs nothing else to go on. */
  async deploy(deployment: Deployment): Promise<void> {
    this.#versions.add(deployment);
    // Deployed again from elsewhere, it is written again: then it is the newest, and its file the one people know.
    if ((await this.#store.program(deployment.hash))?.file === deployment.file) return;
    const blob = (bytes: Uint8Array) => ({ hash: createHash("sha256").update(bytes).digest("hex"), bytes });
    const bundle = blob(Buffer.from(deployment.bundle));
    const sourceMap = blob(Buffer.from(deployment.sourceMap));
    const prelude = blob(Buffer.from(deployment.prelude));
    const engine = { hash: engineHash, bytes: readEngineBinary() };
    const { hash, file } = deployment;
    const row = {
      hash,
      file,
      createdAtMs: this.#ports.clock.nowMs(),
      bundle: bundle.hash,
      sourceMap: sourceMap.hash,
      prelude: prelude.hash,
      engine: engine.hash,
    };
    await this.#back();
    await this.#store.putProgram(row, [bundle, sourceMap, prelude, engine]);
  }

  /** While the kernel is being opened it may run programs already. */
  async #back(): Promise<void> {
    await (this.#kernel as Kernel | undefined)?.back();
  }

  async start(call: StartCall): Promise<{ readonly pid: Pid; readonly created: boolean }> {
    return await this.#kernel.outside.start({ ...call, argsDigest: argsDigest(call.entry, call.args) });
  }

  /** Gets or starts the server of a key: the process that guests find by the same entry and key. */
  async keyed({ key, asked, ...call }: KeyedCall): Promise<Pid> {
    const find = (number: number): Promise<ProcessRow | Tombstone | undefined> =>
      findEver(this.#store, keyedPid(call.entry, key, number));
    const newest = await newestGeneration(find);
    for (let generation = newest?.number ?? 1; ; generation++) {
      if (asked !== undefined && newest !== undefined) {
        // All but the newest have ended, so that nothing new can be asked of them.
        for (let number = generation; number > 0; number--) {
          const row = await find(number);
          if (row !== undefined && "key" in row && (await this.#store.edge(row.key, asked)) !== undefined)
            return row.pid;
        }
      }
      const pid = keyedPid(call.entry, key, generation);
      const { created } = await this.start({ ...call, pid, label: key, role: "server" });
      if (created || !(await this.#hasEnded(pid))) return pid;
    }
  }

  /** A start on its way to the store has not. */
  async #hasEnded(pid: Pid): Promise<boolean> {
    const row = await findEver(this.#store, pid);
    return row !== undefined && !isUnfinished(row);
  }

  call(request: CallRequest): Promise<CallOutcome> {
    return this.#calls.call(request);
  }

  send(pid: Pid, body: Payload, asked?: Asked): Promise<void> {
    return this.#kernel.outside.send(pid, body, asked);
  }

  cancel(pid: Pid, reason: string): Promise<void> {
    return this.#kernel.outside.cancel(pid, reason);
  }

  shutdown(pid: Pid): Promise<void> {
    const value = encodeValue(undefined);
    return this.#kernel.outside.deliver(pid, {
      kind: "exit",
      from: "",
      reason: "shutdown",
      value,
      linked: false,
      held: "",
    });
  }

  kill(pid: Pid): Promise<void> {
    return this.#kernel.outside.kill(pid);
  }

  control(pid: Pid, kind: "pause" | "resume"): Promise<boolean> {
    return this.#kernel.outside.control(pid, kind);
  }

  whereis(name: string): Pid | undefined {
    return this.#kernel.outside.whereis(name);
  }

  deadLetters(filter: DeadLetterFilter): Promise<StoredLetter[]> {
    return readDeadLetters(this.#store, filter);
  }

  /** `to`: whom it goes to, if not to the process that failed. Throws DEAD_LETTER_NOT_FOUND. */
  async resend(seq: number, to: Pid | undefined): Promise<void> {
    const { pid, from, body } = await findDeadLetter(this.#store, seq);
    // Whoever asked at the same moment is sending it.
    if (this.#resending.has(seq)) throw noLetter(seq);
    this.#resending.add(seq);
    try {
      await this.#kernel.outside.resend(seq, to ?? pid, { kind: "message", from, body });
    } finally {
      this.#resending.delete(seq);
    }
  }

  async dropDeadLetter(seq: number): Promise<void> {
    await findDeadLetter(this.#store, seq);
    await this.#kernel.outside.dropDeadLetter(seq);
  }

  tree(): Promise<ProcessTree[]> {
    return processTree(this.#store);
  }

  retry(pid: Pid, operation: number): Promise<boolean> {
    return this.#kernel.outside.retry(pid, operation);
  }

  exit(pid: Pid): Promise<ProcessExit> {
    return this.#kernel.outside.exit(pid);
  }

  details(pid: Pid): Promise<ProcessDetails> {
    return processDetails(this.#store, pid);
  }

  list(filter: ProcessFilter): Promise<ProcessView[]> {
    return listProcesses(this.#store, filter);
  }

  history(pid: Pid, options: HistoryOptions): Promise<TurnView[]> {
    return history(this.#store, pid, options);
  }

  /** The source map of a program, for its stacks. */
  async sourceMap(program: string): Promise<string | undefined> {
    const row = await this.#store.program(program);
    const bytes = row === undefined ? undefined : await this.#store.blob(row.sourceMap);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  }

  async programOf(pid: Pid): Promise<string | undefined> {
    return (await findEver(this.#store, pid))?.program;
  }

  /** Path of the entry file the program was deployed from. */
  async programFile(program: string): Promise<string | undefined> {
    return (await this.#store.program(program))?.file;
  }

  drain(): void {
    this.#kernel.drain();
  }

  async close(graceMs: number): Promise<void> {
    await this.#kernel.close(graceMs);
    await this.#closeArchive();
    await this.#store.close();
  }
}

export function argsDigest(entry: string, args: Payload): string {
  const hash = createHash("sha256").update(entry).update("\0").update(args.text);
  for (const chunk of args.chunks ?? []) hash.update(`\0${chunk.length}\0`).update(chunk);
  return hash.digest("hex");
}

/** What the deployment lists, as it is now: read once, when a process starts. */
export function environment(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** Programs out of the store. A process runs with what it was started with, whatever has been installed since. */
function programSources(store: Store, back: () => Promise<void>): ProgramSources {
  const text = async (hash: string): Promise<string> => {
    const bytes = await store.blob(hash);
    if (bytes === undefined) throw new Error(`The store has no blob ${hash}.`);
    return Buffer.from(bytes).toString("utf8");
  };
  return {
    async source(program) {
      const row = await store.program(program);
      if (row === undefined) throw new Error(`The store has no program ${program}.`);
      if (row.engine !== engineHash) {
        throw new Error(
          `Its engine binary is ${row.engine}, and this release of Perdure runs ${engineHash}. Use a release that runs both.`,
        );
      }
      return { bundle: await text(row.bundle), prelude: await text(row.prelude) };
    },
    loadImage: (key) => store.blob(`image:${key}`),
    // A cache: if it cannot be written, the image is built again next time.
    saveImage: (key, encoded) =>
      void back()
        .then(() => store.putBlob(`image:${key}`, encoded))
        .catch(() => undefined),
  };
}
