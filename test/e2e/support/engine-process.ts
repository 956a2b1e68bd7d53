/** A node in an operating system process of its own, from the test's side. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineOptions, KernelNotice, LogEntry, NodeView, ProcessDetails } from "perdure/engine";
import type { Described, Request, Told } from "./messages.ts";

const script = fileURLToPath(new URL("engine-child.ts", import.meta.url));

/** The node died before it could answer. */
export class NodeGone extends Error {}

/** What the node answered instead of a value. */
export class NodeError extends Error {
  readonly code: string | undefined;
  readonly described: Described;

  constructor(described: Described) {
    super(described.message);
    this.described = described;
    this.code = described.code;
  }
}

export interface NodeEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class EngineProcess {
  /** Rejects if the node ends before it is open. */
  readonly opened: Promise<void>;
  readonly ended: Promise<NodeEnd>;
  readonly logs: LogEntry[] = [];
  readonly notices: KernelNotice[] = [];
  /** What it became, one after the other. */
  readonly views: NodeView[] = [];
  /** Why the engine stopped by itself. */
  readonly failure: Promise<Described>;
  alive = true;
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  #ids = 0;
  #stderr = "";
  #heard: (told: Told) => void = () => undefined;

  constructor(options: EngineOptions, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(process.execPath, [script, JSON.stringify(options)], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "advanced",
      env: { ...process.env, ...env },
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#child.on("message", (told: Told) => this.#heard(told));
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      // Not before its pipes are closed: what it said before its death is heard.
      this.#child.once("close", (code, signal) => {
        this.#end();
        resolve({ code, signal });
      });
    });
    const failure = Promise.withResolvers<Described>();
    this.failure = failure.promise;
    this.opened = new Promise((resolve, reject) => {
      this.#heard = (told) => {
        if (told.kind === "opened") resolve();
        else if (told.kind === "failed") failure.resolve(told.error);
        else this.#hear(told);
      };
      this.ended.then(() => reject(new NodeGone(`The node ended before it was open. ${this.#stderr}`)), reject);
    });
    this.opened.catch(() => undefined);
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** True if the process is new. */
  start(pid: string, entry: string, args: readonly unknown[] = []): Promise<boolean> {
    return this.#call("start", pid, entry, args);
  }

  result(pid: string): Promise<unknown> {
    return this.#call("result", pid);
  }

  /** With a key it is sent once, however often it is asked for. */
  send(pid: string, message: unknown, key?: string): Promise<void> {
    return this.#call("send", pid, message, key);
  }

  /** To the node of that name. */
  move(pid: string, node: string): Promise<unknown> {
    return this.#call("move", pid, node);
  }

  cancel(pid: string, reason: string): Promise<void> {
    return this.#call("cancel", pid, reason);
  }

  status(pid: string): Promise<ProcessDetails> {
    return this.#call("status", pid);
  }

  retryOperation(pid: string, operation: number): Promise<boolean> {
    return this.#call("retryOperation", pid, operation);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** `kill -9`. */
  async kill(): Promise<NodeEnd> {
    this.signal("SIGKILL");
    return await this.ended;
  }

  /** Asks it to close, and waits until it has. */
  async close(): Promise<NodeEnd> {
    this.signal("SIGTERM");
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.alive) await this.kill();
  }

  async #call<T>(method: Request["method"], ...args: readonly unknown[]): Promise<T> {
    await this.opened;
    const id = ++this.#ids;
    return await new Promise<T>((resolve, reject) => {
      if (!this.alive) return reject(new NodeGone(`${method}: the node is gone.`));
      this.#calls.set(id, { resolve, reject });
      this.#child.send({ id, method, args } satisfies Request, (error) => {
        if (error !== null) reject(new NodeGone(`${method}: ${error.message}`));
      });
    });
  }

  #hear(told: Exclude<Told, { kind: "opened" | "failed" }>): void {
    switch (told.kind) {
      case "log":
        this.logs.push(told.log);
        return;
      case "notice":
        this.notices.push(told.notice);
        return;
      case "node":
        this.views.push(told.node);
        return;
      case "answer": {
        const call = this.#calls.get(told.id);
        this.#calls.delete(told.id);
        if (told.error === undefined) call?.resolve(told.value as never);
        else call?.reject(new NodeError(told.error));
      }
    }
  }

  #end(): void {
    this.alive = false;
    for (const call of this.#calls.values()) call.reject(new NodeGone(`The node ended. ${this.#stderr}`));
    this.#calls.clear();
  }
}
