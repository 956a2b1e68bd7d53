/**
 * The kernel with everything below it, as one object: what the kernel thread runs. It knows nothing of threads itself,
 * so that tests can run it in theirs.
 */
import { noConnection } from "../store/exports.ts";
import type { Clock, Random } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { Pid } from "../journal/types.ts";
import type { ArrivingRows, LastRows } from "../kernel/arrivals.ts";
import type { KeepPolicy } from "../kernel/keep.ts";
import { Kernel } from "../kernel/kernel.ts";
import type { KernelEvents, KernelNotice, OperationReport, OperationRunner } from "../kernel/ports.ts";
import type { Archive } from "../kernel/retention.ts";
import { readEngineBinary } from "../machine/engine-binary.ts";
import type { MachineEvents } from "../machine/port.ts";
import { createGuestThreads } from "../machine/threads.ts";
import type { GuestThreadOptions } from "../machine/thread-messages.ts";
import type { Asked, NodeInfo, ProcessExit, ProcessFilter, ProcessKey, ProgramRow, Store } from "../store/port.ts";
import { openStore } from "../store/open.ts";
import { keyedPid, newPid } from "../base/ids.ts";
import { isPerdureError } from "../base/errors.ts";
import { Beside, standsBy } from "./beside.ts";
import type { Reach } from "./beside.ts";
import { Calls } from "./calls.ts";
import type { CallOutcome, CallRequest } from "./calls.ts";
import { findDeadLetter, noLetter, readDeadLetters } from "./dead-letters.ts";
import type { DeadLetterFilter, StoredLetter } from "./dead-letters.ts";
import { ArchiveFolder } from "./archive/folder.ts";
import { Everywhere } from "./everywhere.ts";
import { programRow } from "./deployment.ts";
import type { Deployment } from "./deployment.ts";
import type { ArrivingProgram, ArrivingRow } from "./files/import.ts";
import { Moving } from "./files/moving.ts";
import type { ExportRequest } from "./files/moving.ts";
import type { FilePart } from "./files/write.ts";
import { findEver, isUnfinished, newestGeneration } from "./generations.ts";
import type { Ever } from "./generations.ts";
import { moveBeside } from "./moving.ts";
import type { Moved } from "./moving.ts";
import type { NodeView } from "./node-view.ts";
import { Offers } from "./offers.ts";
import type { OffersQuestion } from "./offers.ts";
import { programSources } from "./program-source.ts";
import { Refusals } from "./refusals.ts";
import { StandingBy } from "./standing-by.ts";
import { argsDigest, environment } from "./start.ts";
import { processTree } from "./tree.ts";
import type { ProcessTree } from "./tree.ts";
import { Versions } from "./versions.ts";
import { history, listProcesses, processDetails } from "./views.ts";
import type { HistoryOptions, ProcessDetails, ProcessView, TurnView } from "./views.ts";

export interface ServiceOptions {
  /** A file's path, "memory:", or a `postgres://` URL. */
  readonly store: string;
  /** Who this is, as others see it. */
  readonly node: Omit<NodeInfo, "id">;
  /** Default 1. */
  readonly guestThreads?: number;
  readonly machine?: GuestThreadOptions;
  /** Names of environment variables that programs may see. */
  readonly env?: readonly string[];
  readonly keep?: KeepPolicy;
  /** A folder's path. */
  readonly archive?: string;
  /** Waits for the store if another node owns it, in place of STORE_IN_USE. */
  readonly standby?: boolean;
  /** Nothing runs. Default false. */
  readonly still?: boolean;
}

export interface StartCall {
  readonly pid: Pid;
  /** Drawn by chance for this very call. */
  readonly isNew?: boolean;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  readonly env: Readonly<Record<string, string>>;
  readonly role?: string;
  readonly label?: string;
  readonly needs?: string;
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
  readonly events: Omit<KernelEvents, "answered" | "departed"> & {
    /** It stands by, or has become the store's owner after that. */
    node(view: Omit<NodeView, "sinceMs">): void;
  };
  /** `offered` answers it. */
  offers(question: OffersQuestion): void;
  /** Operations on their way to the host. */
  readonly runner: OperationRunner;
}

export class EngineService {
  readonly #store: Store;
  readonly #beside: Beside;
  readonly #versions = new Versions();
  readonly #resending = new Set<number>();
  readonly #ports: ServicePorts;
  readonly #node: NodeInfo;
  readonly #offers: Offers;
  /** Undefined while it stands by. */
  #kernel: Kernel | undefined;
  #calls!: Calls;
  /** What it was given while it stood by. */
  readonly #undeployed: Deployment[] = [];
  #standingBy: StandingBy | undefined;
  #moving: Moving | undefined;
  #closeArchive: () => Promise<void> = () => Promise.resolve();
  #report: (reports: readonly OperationReport[]) => void = () => undefined;

  static async open(options: ServiceOptions, ports: ServicePorts): Promise<EngineService> {
    const store = await openStore(options.store);
    try {
      const service = new EngineService(store, options, ports);
      await service.#open(options);
      return service;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(store: Store, { node }: ServiceOptions, ports: ServicePorts) {
    this.#store = store;
    this.#node = { ...node, id: newPid(ports.random) };
    this.#ports = ports;
    this.#offers = new Offers((question) => ports.offers(question));
    this.#beside = new Beside(store, ports.clock);
    this.#calls = new Calls({
      clock: ports.clock,
      locate: (to) => this.#active.outside.whereis(to) ?? to,
      send: (pid, body) => this.#active.outside.send(pid, body),
      query: (pid, call) => this.#active.outside.query(pid, call),
      keyed: (pid, request, timeoutMs) => this.#reach.call(pid, request, timeoutMs),
    });
  }

  async #open(options: ServiceOptions): Promise<void> {
    try {
      await this.#take(options);
    } catch (error) {
      if (options.standby !== true || !isPerdureError(error, "STORE_IN_USE")) throw error;
      const { clock, events } = this.#ports;
      this.#standingBy = new StandingBy({
        clock,
        store: this.#store,
        node: this.#node,
        waits: (view) => events.node(view),
        failed: (failure) => events.failed(failure),
        take: async () => {
          await this.#take(options);
          events.node({ state: "active", incarnation: this.#active.incarnation, message: "" });
        },
      });
      await this.#standingBy.begin(error);
    }
  }

  /** Becomes the store's owner. Throws STORE_IN_USE. */
  async #take(options: ServiceOptions): Promise<void> {
    const { clock, random, defer, events, runner } = this.#ports;
    const engine = readEngineBinary();
    const lease = await this.#store.claim(Math.trunc(clock.nowMs()), this.#node);
    const refusals = new Refusals(this.#store);
    for (const program of (await this.#store.programs()).reverse()) {
      if (await refusals.admits(program)) this.#versions.add(program);
    }
    // What is restarted while it recovers begins with the newest version.
    await this.#deployWaiting();
    this.#kernel = await Kernel.open({
      store: this.#store,
      lease,
      clock,
      random,
      defer,
      events: this.#overhear(events),
      env: () => environment(options.env ?? []),
      newest: (program) => this.#versions.newest(program),
      deployed: () => this.#versions.deployed,
      refusal: (program) => refusals.why(program),
      traits: this.#node,
      offers: (program) => this.#offers.offers(program),
      ...(options.keep === undefined ? {} : { keep: options.keep }),
      ...(options.still === undefined ? {} : { still: options.still }),
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
    this.#moving = this.#newMoving(options);
    // What came meanwhile.
    await this.#deployWaiting();
  }

  async #deployWaiting(): Promise<void> {
    for (const deployment of this.#undeployed.splice(0)) await this.#install(deployment);
  }

  #newMoving({ still = false }: ServiceOptions): Moving {
    const imported = (program: ProgramRow): void => this.#versions.addOther(program);
    const { clock, events } = this.#ports;
    const notice = (notice: KernelNotice): void => events.notice(notice);
    return new Moving({ store: this.#store, kernel: this.#active, clock, imported, notice, still });
  }

  #archiving(folder: string | undefined): { readonly archive?: Archive } {
    if (folder === undefined) return {};
    const archive = new ArchiveFolder(folder, this.#store, this.#ports.clock);
    this.#closeArchive = () => archive.close();
    return { archive: (rows) => archive.add(rows) };
  }

  /** Calls that wait for an answer hear of answers and ends first. */
  #overhear(events: ServicePorts["events"]): KernelEvents {
    const leftAlone = new Set<Pid>();
    return {
      ...events,
      answered: (answer) => this.#calls.answered(answer),
      left: (pid) => this.#calls.left(pid),
      exited: (exits) => {
        for (const { pid, exit } of exits) this.#calls.exited(pid, exit);
        events.exited(exits);
      },
      departed: (pid) => this.#calls.exited(pid, { atMs: this.#ports.clock.nowMs(), ...noConnection }),
      notice: (notice) => {
        if (notice.kind === "left-alone" && leftAlone.has(notice.pid)) return;
        if (notice.kind === "left-alone") leftAlone.add(notice.pid);
        if (notice.kind === "broken") this.#calls.broke(notice.pid, notice.message);
        events.notice(notice);
      },
    };
  }

  reports(reports: readonly OperationReport[]): void {
    this.#report(reports);
  }

  /** What the main thread found of a program's host operations. */
  offered(program: string, isOffered: boolean): void {
    this.#offers.answered(program, isOffered);
  }

  /**
   * Keeps a program, its source map, its prelude and the engine binary: a process needs nothing else to go on. A node that stands by
   * does it when it takes over.
   */
  async deploy(deployment: Deployment): Promise<void> {
    if (this.#kernel === undefined) this.#undeployed.push(deployment);
    else await this.#install(deployment);
  }

  async #install(deployment: Deployment): Promise<void> {
    this.#versions.add(deployment);
    // Deployed again from elsewhere, it is written again: then it is the newest, and its file the one people know.
    if ((await this.#store.program(deployment.hash))?.file === deployment.file) return;
    const { row, blobs } = programRow(deployment, this.#ports.clock.nowMs());
    await this.#back();
    await this.#store.putProgram(row, blobs);
  }

  /** While the kernel is being opened it may run programs already. */
  async #back(): Promise<void> {
    await this.#kernel?.back();
  }

  /** Throws NODE_STANDING_BY. */
  get #active(): Kernel {
    if (this.#kernel !== undefined) return this.#kernel;
    throw standsBy();
  }

  /** What can be asked of any node. */
  get #reach(): Reach {
    const kernel = this.#kernel;
    if (kernel === undefined) return this.#beside;
    if (this.#store.sharing === undefined) return kernel.outside;
    return new Everywhere(kernel.outside, this.#beside, () => kernel.caughtUp());
  }

  get incarnation(): number | undefined {
    return this.#kernel?.incarnation;
  }

  async start(call: StartCall): Promise<{ readonly pid: Pid; readonly created: boolean }> {
    return await this.#active.outside.start({ ...call, argsDigest: argsDigest(call.entry, call.args) });
  }

  /** Gets or starts the server of a key: the process that guests find by the same entry and key. */
  async keyed({ key, asked, ...call }: KeyedCall): Promise<Pid> {
    const find = (number: number): Promise<Ever | undefined> =>
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
    return this.#reach.send(pid, body, asked);
  }

  cancel(pid: Pid, reason: string): Promise<void> {
    return this.#reach.cancel(pid, reason);
  }

  shutdown(pid: Pid): Promise<void> {
    const value = encodeValue(undefined);
    return this.#reach.deliver(pid, {
      kind: "exit",
      from: "",
      reason: "shutdown",
      value,
      linked: false,
      held: "",
    });
  }

  kill(pid: Pid): Promise<void> {
    return this.#reach.kill(pid);
  }

  control(pid: Pid, kind: "pause" | "resume"): Promise<boolean> {
    return this.#reach.control(pid, kind);
  }

  async move(pid: Pid, node: string): Promise<Moved> {
    return await moveBeside(this.#store, (await this.whereis(pid)) ?? pid, node, this.#ports.clock);
  }

  async whereis(name: string): Promise<Pid | undefined> {
    return await this.#reach.whereis(name);
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
      await this.#active.outside.resend(seq, to ?? pid, { kind: "message", from, body });
    } finally {
      this.#resending.delete(seq);
    }
  }

  async dropDeadLetter(seq: number): Promise<void> {
    await findDeadLetter(this.#store, seq);
    await this.#active.outside.dropDeadLetter(seq);
  }

  tree(): Promise<ProcessTree[]> {
    return processTree(this.#store);
  }

  async retry(pid: Pid, operation: number): Promise<boolean> {
    return await this.#active.outside.retry(pid, operation);
  }

  exit(pid: Pid): Promise<ProcessExit> {
    return this.#reach.exit(pid);
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

  /** Throws NODE_STANDING_BY. */
  get #movements(): Moving {
    if (this.#moving !== undefined) return this.#moving;
    throw standsBy();
  }

  exportBegin(pid: Pid, request: ExportRequest): void {
    this.#movements.begin(this.#active.outside.whereis(pid) ?? pid, request);
  }

  exportNext(file: string): Promise<FilePart | undefined> {
    return this.#movements.next(file);
  }

  exportEnd(file: string): Promise<void> {
    return this.#movements.end(file);
  }

  exportSeal(pid: Pid): Promise<Uint8Array> {
    return this.#movements.seal(pid);
  }

  importBegin(file: string, row: ArrivingRow, program: ArrivingProgram): Promise<ProcessKey> {
    return this.#movements.importBegin(file, row, program);
  }

  importRows(rows: ArrivingRows): Promise<void> {
    return this.#movements.importRows(rows);
  }

  importFinish(file: string, rows: LastRows, serviceMs: number): Promise<void> {
    return this.#movements.importFinish(file, rows, serviceMs);
  }

  importCancel(file: string, key: ProcessKey): Promise<void> {
    return this.#movements.importCancel(file, key);
  }

  /** That it answers is all there is to it. */
  ping(): void {}

  async drain(): Promise<void> {
    await this.#standingBy?.stop();
    this.#kernel?.drain();
  }

  async close(graceMs: number): Promise<void> {
    await this.#moving?.stop();
    await this.#kernel?.close(graceMs);
    await this.#closeArchive();
    await this.#store.close();
  }
}
