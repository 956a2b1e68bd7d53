/** What the processes of a served program print: each line behind the name its supervisor knows the process by. */
import type { Engine } from "../engine/engine.ts";
import type { LogEntry } from "../engine/options.ts";
import type { Pid } from "../journal/types.ts";
import type { Context } from "./context.ts";
import { printLog } from "./node.ts";

/** Names of processes that print now and then are kept; those of all processes there ever were are not. */
const maxNames = 1000;

export class LogPrinter {
  readonly #context: Context;
  readonly #engine = Promise.withResolvers<Engine>();
  readonly #names = new Map<Pid, string>();
  /** Lines wait for the names of those before them, so that none overtakes another. */
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Lines may come before the engine that tells the names. */
  lookIn(engine: Engine): void {
    this.#engine.resolve(engine);
  }

  print(log: LogEntry): void {
    const { json, terminal } = this.#context;
    if (json) return terminal.print(JSON.stringify({ kind: "log", ...log }));
    const name = this.#names.get(log.pid);
    if (name !== undefined && this.#waiting === 0) return this.#show(log, name);
    this.#waiting++;
    this.#queue = this.#queue.then(async () => {
      this.#show(log, await this.#nameOf(log.pid));
      this.#waiting--;
    });
  }

  /** Resolves when all lines are printed. */
  async printed(): Promise<void> {
    await this.#queue;
  }

  #show(log: LogEntry, name: string): void {
    printLog(log, this.#context.terminal.out.dim(`${name} | `));
  }

  async #nameOf(pid: Pid): Promise<string> {
    const known = this.#names.get(pid);
    if (known !== undefined) return known;
    const engine = await this.#engine.promise;
    // A node that has just failed cannot tell; the pid is a name, too.
    const name = await engine
      .get(pid)
      .status()
      .then(
        ({ label }) => label || pid,
        () => pid,
      );
    this.#names.set(pid, name);
    for (const oldest of this.#names.keys()) if (this.#names.size > maxNames) this.#names.delete(oldest);
    return name;
  }
}
