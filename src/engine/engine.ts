import { hostname } from "node:os";
import { resolve as resolvePath } from "node:path";
import { fileURLToPath } from "node:url";
import { PerdureError } from "../base/errors.ts";
import { newPid, validatePid } from "../base/ids.ts";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Pid } from "../journal/types.ts";
import { engineHash } from "../machine/engine-binary.ts";
import { createRunner } from "../operations/runner.ts";
import type { Runner } from "../operations/runner.ts";
import { buildProgram, checkEntry, loadPrelude, operationNames } from "../program/index.ts";
import type { Program } from "../program/index.ts";
import type { NodeInfo, ProcessFilter } from "../store/port.ts";
import { openTransactions } from "../store/open.ts";
import { resolvePlace } from "../store/place.ts";
import { aboutMessage, askedUnder } from "./asked.ts";
import { Caller, timeoutMsOf } from "./caller.ts";
import type { DeadLetter, DeadLetterFilter } from "./dead-letters.ts";
import { defaultCloseTimeoutMs, nodeName, printLog, printNode, printNotice } from "./defaults.ts";
import type { ProcessHandle } from "./handle.ts";
import { HealthCheck } from "./health.ts";
import type { Health } from "./health.ts";
import { HostFunctions } from "./host-functions.ts";
import { keepPolicy } from "./keep.ts";
import { KernelClient } from "./kernel-client.ts";
import type { KernelEvent } from "./kernel-client.ts";
import type { EngineOptions, StartOptions } from "./options.ts";
import { checkLabel, nodeLabels } from "./labels.ts";
import { outcomeOf } from "./outcome.ts";
import { release } from "./release.ts";
import { serverHandle, supervisorHandle } from "./servers.ts";
import type { KeyedServerHandle, ServerHandle, SupervisorHandle } from "./servers.ts";
import { environment } from "./start.ts";
import { StackMapper } from "./stacks.ts";
import { systemClock, systemRandom } from "./system.ts";
import type { NodeView } from "./node-view.ts";
import { Tenure } from "./tenure.ts";
import { exportFrom, importInto } from "./transfer.ts";
import type { ExportOptions, FileSource, ImportOptions } from "./transfer.ts";
import type { ProcessTree } from "./tree.ts";
import type { EntryArgs, EntryName, EntryResult, KeyedName, ServerName, ServerOf } from "./types.ts";
import type { ProcessView } from "./views.ts";

/**
 * A node: it owns a store and runs the processes in it.
 *
 * ```ts
 * await using engine = await Engine.open<typeof import("./app.ts")>({ store: "orders.db", program: "./app.ts" });
 * const order = await engine.start("default", ["order-7", 4200], { id: "order-7" });
 * console.log(await order.result());
 * ```
 */
export class Engine<P = unknown> implements AsyncDisposable {
  readonly #options: EngineOptions;
  /** A file's path, "memory:", or a `postgres://` URL. */
  readonly #store: string;
  readonly #program: Program | undefined;
  readonly #tenure: Tenure;
  readonly #functions: HostFunctions;
  readonly #stacks: StackMapper;
  readonly #caller: Caller;
  /** As others see it. */
  readonly #node: Omit<NodeInfo, "id">;
  readonly #health: HealthCheck;
  #closing: Promise<void> | undefined;

  /**
   * Opens the store (creating it if need be), installs the program, and takes up every process the last node left.
   *
   * Throws the PROGRAM_… errors of a program that does not build; STORE_IN_USE if another engine owns the store;
   * STORE_UNREADABLE, STORE_CORRUPT, STORE_NEWER, STORE_READ_ONLY, STORE_FULL, STORE_UNREACHABLE.
   */
  static async open<P = unknown>(options: EngineOptions = {}): Promise<Engine<P>> {
    const prelude = await loadPrelude();
    const file = options.program instanceof URL ? fileURLToPath(options.program) : options.program;
    const program =
      file === undefined ? undefined : await buildProgram(file, { preludeHash: prelude.hash, engineHash });
    const engine = new Engine<P>(options, program, prelude);
    await engine.#tenure.begin();
    return engine;
  }

  private constructor(
    options: EngineOptions,
    program: Program | undefined,
    prelude: { readonly text: string; readonly sourceMap: string },
  ) {
    this.#options = options;
    this.#node = {
      name: nodeName(options.nodeName),
      host: hostname(),
      pid: process.pid,
      release,
      labels: nodeLabels(options.labels),
      file: program?.file ?? "",
      operations: (program?.hostModules ?? []).flatMap(operationNames),
    };
    const { store = "perdure.db" } = options;
    this.#store = resolvePlace(store, process.cwd());
    this.#program = program;
    this.#tenure = new Tenure({
      clock: systemClock,
      standby: options.standby ?? false,
      newRunner: () => this.#newRunner(),
      newKernel: (onEvent, onFailed) => this.#newKernel(onEvent, onFailed),
      prepare: async (kernel) => {
        if (program === undefined) return;
        const { hash, file, operations, bundle, sourceMap } = program;
        await kernel.call("deploy", { hash, file, operations, bundle, sourceMap, prelude: prelude.text });
      },
      heard: (event) => this.#heard(event),
      became: (node) => (options.onNode ?? printNode)(node),
      failed: (error) => this.#failed(error),
    });
    this.#functions = new HostFunctions(program, (hash) => this.#kernel.call("programFile", hash));
    this.#stacks = new StackMapper(prelude.sourceMap, (hash) => this.#kernel.call("sourceMap", hash));
    this.#caller = new Caller({
      call: (request) => this.#kernel.call("call", request),
      send: (to, body, asked) => this.#kernel.call("send", to, body, asked),
      mapError: (pid, error) => this.#mapError(pid, error),
    });
    this.#health = new HealthCheck({
      clock: systemClock,
      name: this.#node.name,
      node: () => this.#tenure.node,
      failure: () => this.#tenure.failure,
      isOpen: () => this.#tenure.isOpen,
      ping: () => this.#kernel.call("ping"),
    });
  }

  get #kernel(): KernelClient {
    return this.#tenure.kernel;
  }

  get #runner(): Runner {
    return this.#tenure.runner;
  }

  #newRunner(): Runner {
    const { operationConcurrency: concurrency, fetchPolicy } = this.#options;
    return createRunner({
      resolve: (name, hash) => this.#functions.resolve(name, hash),
      clock: systemClock,
      random: systemRandom,
      report: (reports) => this.#kernel.reports(reports),
      transactions: () => openTransactions(this.#store),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(fetchPolicy === undefined ? {} : { fetchPolicy }),
    });
  }

  #newKernel(onEvent: (event: KernelEvent) => void, onFailed: (error: Error) => void): KernelClient {
    const { guestThreads, limits, env, archive, standby, still } = this.#options;
    const data = {
      store: this.#store,
      node: this.#node,
      keep: keepPolicy(this.#options),
      ...(guestThreads === undefined ? {} : { guestThreads }),
      ...(limits === undefined ? {} : { machine: limits }),
      ...(env === undefined ? {} : { env }),
      ...(archive === undefined ? {} : { archive: resolvePath(archive) }),
      ...(standby === undefined ? {} : { standby }),
      ...(still === undefined ? {} : { still }),
    };
    return new KernelClient(data, onEvent, onFailed);
  }

  /** Hash of the program that new processes are started with; undefined without one. */
  get program(): string | undefined {
    return this.#program?.hash;
  }

  /** What can be started. */
  get entries(): readonly string[] {
    return this.#program?.entries ?? [];
  }

  /** Why the engine stopped by itself, if it did. */
  get failure(): Error | undefined {
    return this.#tenure.failure;
  }

  /** What this node is at the moment: whether it owns the store, stands by, or has lost the database. */
  get node(): NodeView {
    return this.#tenure.node;
  }

  /**
   * Whether this node's threads answer, and whether it is of use: for the probes of an orchestrator. The command line serves it over HTTP
   * (`--health`). Never throws.
   */
  health(): Promise<Health> {
    return this.#health.look();
  }

  /** Resolves when this node owns the store: at once, if it was not opened with `standby`. Throws ENGINE_CLOSED. */
  async active(): Promise<void> {
    await this.#tenure.active();
  }

  /**
   * Starts a process; resolves when that is durable. With an `id` it is idempotent: the same id gives the same process, for ever.
   *
   * Throws ENTRY_NOT_FOUND, VALUE_NOT_CLONEABLE, VALUE_TOO_LARGE, ARGUMENT_INVALID; PROCESS_ID_CONFLICT if the id was used with
   * another entry or other arguments.
   */
  async start<E extends EntryName<P>>(
    entry: E,
    args: EntryArgs<P, E>,
    options: StartOptions = {},
  ): Promise<ProcessHandle<EntryResult<P, E>>> {
    const program = this.#requireProgram();
    const script = entry === "" && !program.entries.includes("default");
    if (!script) checkEntry(program, entry === "" ? "default" : entry);
    const { id, role, label, needs } = options;
    if (needs !== undefined && needs !== "") checkLabel(needs);
    if (id !== undefined) validatePid(id);
    const pid = id ?? newPid(systemRandom);
    const call = {
      pid,
      isNew: id === undefined,
      program: program.hash,
      entry: script ? "" : entry || "default",
      args: encodeValue([...args]),
      env: environment(this.#options.env ?? []),
      ...(role === undefined ? {} : { role }),
      ...(label === undefined ? {} : { label }),
      ...(needs === undefined ? {} : { needs }),
    };
    const { created } = await this.#kernel.call("start", call);
    return this.#handle<EntryResult<P, E>>(pid, created);
  }

  /** A handle on a process by its pid. It is not looked up before it is used. */
  get<Result = unknown>(pid: Pid): ProcessHandle<Result> {
    return this.#handle<Result>(pid, false);
  }

  #requireProgram(): Program {
    if (this.#program !== undefined) return this.#program;
    throw new PerdureError(
      "PROGRAM_NOT_FOUND",
      "This engine was opened without a program, so it can only go on with what was started before. Pass `program` to Engine.open.",
    );
  }

  /**
   * The server that a class has for a key, the same as `Cart.at(key)` is inside the program: started by its first call or cast,
   * wherever that comes from.
   *
   *     const count = await engine.at("Cart", "customer-17").add(item);
   *
   * Throws ENTRY_NOT_FOUND, PROGRAM_NOT_FOUND.
   */
  at<E extends KeyedName<P>>(entry: E, key: string): KeyedServerHandle<ServerOf<P, E>> {
    const program = this.#requireProgram();
    checkEntry(program, entry);
    const call = { program: program.hash, entry, key, args: encodeValue([key]) };
    const find = (more: { readonly asked?: string }): Promise<Pid> =>
      this.#kernel.call("keyed", { ...call, ...more, env: environment(this.#options.env ?? []) });
    let found: Promise<Pid> | undefined;
    const pid = (asked?: string): Promise<Pid> => {
      // Whoever was asked under that key before may have ended, and another have taken its place.
      if (asked !== undefined) return find({ asked });
      found ??= find({});
      found.catch(() => (found = undefined));
      return found;
    };
    const lost = (): boolean => {
      found = undefined;
      return true;
    };
    const reach = this.#caller.reach({ pid, lost }, true);
    return serverHandle(reach, { pid: () => pid(), key }, timeoutMsOf) as KeyedServerHandle<ServerOf<P, E>>;
  }

  /**
   * A server of a class that runs already, by pid or registered name. Nothing is checked before it is called.
   *
   *     const stock = engine.server("Stock", "stock");
   *     await stock.within("1 min").recount();
   */
  server<E extends ServerName<P>>(_entry: E, target: Pid): ServerHandle<ServerOf<P, E>> {
    const reach = this.#caller.reach({ pid: () => target, lost: () => false }, true);
    return serverHandle(reach, { pid: target }, timeoutMsOf) as ServerHandle<ServerOf<P, E>>;
  }

  /** A supervisor that runs already, by pid or registered name. */
  supervisor(target: Pid): SupervisorHandle {
    return supervisorHandle(this.#caller.reach({ pid: () => target, lost: () => false }, false), target);
  }

  /** Whom a registered name stands for. */
  async whereis(name: string): Promise<Pid | undefined> {
    return await this.#kernel.call("whereis", name);
  }

  /** All that lives, by who started whom. */
  async tree(): Promise<ProcessTree[]> {
    return await this.#kernel.call("tree");
  }

  /** Messages that made their processes fail and were set aside, oldest first. */
  async deadLetters(filter: DeadLetterFilter = {}): Promise<DeadLetter[]> {
    const letters = await this.#kernel.call("deadLetters", filter);
    return await Promise.all(
      letters.map(async ({ seq, pid, program, from, atMs, body, reason, value }) => {
        const error = decodeValue(value);
        await this.#stacks.prepare(program);
        this.#stacks.mapError(program, error);
        return { seq, pid, from, atMs, message: decodeValue(body), reason, error };
      }),
    );
  }

  /**
   * Sends a dead letter again, to the process that it was for or to another, and takes it off the list, in one step. Throws
   * DEAD_LETTER_NOT_FOUND; PROCESS_EXITED and PROCESS_NOT_FOUND, and then it stays.
   */
  async resend(seq: number, options: { readonly to?: Pid } = {}): Promise<void> {
    await this.#kernel.call("resend", seq, options.to);
  }

  /** Takes a dead letter off the list. Throws DEAD_LETTER_NOT_FOUND. */
  async dropDeadLetter(seq: number): Promise<void> {
    await this.#kernel.call("dropDeadLetter", seq);
  }

  /** The newest processes first. */
  async list(filter: Partial<ProcessFilter> = {}): Promise<ProcessView[]> {
    return await this.#kernel.call("list", { limit: 100, ...filter });
  }

  /** Lets an operation that was quarantined, because it was running at several node deaths, go on. False if it is not. */
  async retryOperation(pid: Pid, operation: number): Promise<boolean> {
    return await this.#kernel.call("retry", pid, operation);
  }

  /**
   * Takes a process out of this store, as a process file: the bytes of one, to be imported into another store by `import`. The process
   * stops between two turns and stays stopped while it is written; when all but the last piece was handed out it leaves the store, and
   * that piece seals the file. Who stops asking before that keeps the process, and has nothing. If a sealed file did not become durable
   * after all, `seal` gives the last piece again.
   *
   *     const file = await open("order-7.perdure", "w");
   *     for await (const bytes of engine.export("order-7", { written: () => file.sync() })) await file.write(bytes);
   *     await file.sync();
   *
   * Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_EXPORTED; EXPORT_REFUSED if others would miss it, or an operation is under way
   * that must not be begun twice.
   */
  export(pid: Pid, options: ExportOptions = {}): AsyncGenerator<Uint8Array, void> {
    return exportFrom(this.#kernel, pid, options);
  }

  /** The last piece of an exported process's file. Throws PROCESS_NOT_FOUND if it was not exported from this store. */
  async seal(pid: Pid): Promise<Uint8Array> {
    return await this.#kernel.call("exportSeal", pid);
  }

  /**
   * Puts the process of a process file into this store, where it goes on. Nothing of it can run before all of it has been checked and
   * replayed. An import that was interrupted leaves nothing that runs, and is made good by repeating it.
   *
   * Throws FILE_FAILED, FILE_DAMAGED, FILE_UNSEALED; IMPORT_REFUSED if the file was imported before; PROCESS_ID_CONFLICT if its pid is
   * taken; ENGINE_BINARY if this release cannot run it.
   */
  async import<Result = unknown>(source: FileSource, options: ImportOptions = {}): Promise<ProcessHandle<Result>> {
    const limits = this.#options.limits?.limits;
    const { pid } = await importInto(this.#kernel, source, options, limits);
    return this.#handle<Result>(pid, true);
  }

  /**
   * Stops the node, not its processes: they go on when the store is opened again. Lets running operations end (for at most
   * `closeTimeoutMs`; what takes longer is aborted and run again later), commits all that is known, releases the store.
   */
  close(): Promise<void> {
    this.#health.closing();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.#tenure.retire();
    if (!this.#tenure.isOpen) {
      await this.#runner.close();
      await this.#kernel.terminate();
      return this.#tenure.stopped();
    }
    const timeoutMs = this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs;
    await this.#kernel.call("drain");
    await this.#runner.drain(timeoutMs);
    await this.#kernel.call("close", timeoutMs);
    await this.#runner.close();
    await this.#stacks.inOrderSoFar();
    await this.#kernel.terminate();
    this.#tenure.stopped();
  }

  #handle<Result>(pid: Pid, created: boolean): ProcessHandle<Result> {
    return {
      pid,
      created,
      result: async () => {
        const exit = await this.#tenure.persist((kernel) => kernel.call("exit", pid));
        // What it printed last is on its way here, and comes before its end.
        await this.#stacks.inOrderSoFar();
        const program = exit.reason === "normal" ? undefined : await this.#prepareStacks(pid);
        return outcomeOf(pid, exit, (error) => this.#stacks.mapError(program, error)) as Result;
      },
      send: async (message, { key } = {}) => {
        const body = encodeValue(message);
        const asked = key === undefined ? undefined : askedUnder(key, "sent", { body, about: aboutMessage(message) });
        await this.#kernel.call("send", pid, body, asked);
      },
      status: async () => await this.#kernel.call("details", pid),
      history: async (options = {}) => await this.#kernel.call("history", pid, options),
      cancel: async (reason = "The process was cancelled.") => await this.#kernel.call("cancel", pid, reason),
      shutdown: async () => await this.#kernel.call("shutdown", pid),
      kill: async () => await this.#kernel.call("kill", pid),
      pause: async () => await this.#kernel.call("control", pid, "pause"),
      move: async (node) => await this.#kernel.call("move", pid, node),
      resume: async () => await this.#kernel.call("control", pid, "resume"),
    };
  }

  async #mapError(pid: Pid, error: unknown): Promise<void> {
    if (error instanceof Error) this.#stacks.mapError(await this.#prepareStacks(pid), error);
  }

  async #prepareStacks(pid: Pid): Promise<string | undefined> {
    const program = await this.#kernel.call("programOf", pid);
    await this.#stacks.prepare(program);
    return program;
  }

  #heard(event: Exclude<KernelEvent, { kind: "node" }>): void {
    switch (event.kind) {
      case "operations":
        return this.#runner.start(event.requests);
      case "proceed":
        return this.#runner.proceed(event.token);
      case "transact":
        return this.#runner.transact(event.loan);
      case "abort":
        return this.#runner.abort(event.token);
      case "offers": {
        const { hash, operations } = event.question;
        return this.#offers(hash, operations);
      }
      case "notice":
        return (this.#options.onNotice ?? printNotice)(event.notice);
      case "logs": {
        const onLog = this.#options.onLog ?? printLog;
        return this.#stacks.inOrder(event.logs, (log, text) => onLog({ ...log, text }));
      }
      case "exited":
        return void this.#stacks.inOrderSoFar().then(() => {
          for (const { pid, exit } of event.exits) this.#options.onExit?.({ pid, reason: exit.reason });
        });
    }
  }

  #offers(program: string, operations: readonly string[]): void {
    const kernel = this.#kernel;
    void this.#functions
      .offers(operations, program)
      .then((isOffered) => kernel.call("offered", program, isOffered))
      // It has come to its end.
      .catch(() => undefined);
  }

  #failed(error: Error): void {
    if (this.#options.onFailure !== undefined) this.#options.onFailure(error);
    else process.stderr.write(`perdure: ${error.message}\n`);
  }
}
