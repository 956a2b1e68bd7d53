/**
 * Operating system processes that do the measured work, and calls to them. A child has its own memory and can be killed,
 * and what one variant leaves in the heap does not slow the other.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const running = new Set<ChildProcess>();

/** Kills every child that is still there: after a benchmark that failed, and when this process ends. */
export function killAllChildren(): void {
  for (const child of running) child.kill("SIGKILL");
}

process.on("exit", killAllChildren);

export class Child<M extends Methods> {
  readonly #process: ChildProcess;
  readonly #calls = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  readonly #file: string;
  #ids = 0;

  /** Starts `children/<file>.ts`, which must call `serve`. */
  constructor(file: string, execArgv: readonly string[] = []) {
    this.#file = file;
    this.#process = fork(fileURLToPath(new URL(`./children/${file}.ts`, import.meta.url)), {
      execArgv: [...execArgv],
      serialization: "advanced",
    });
    running.add(this.#process);
    this.#process.on("message", (answer: Answer) => this.#answered(answer));
    this.#process.on("error", (error) => this.#ended(error.message));
    this.#process.on("exit", (code, signal) => this.#ended(`exit code ${code}, signal ${signal}`));
  }

  call<K extends keyof M & string>(method: K, ...args: Parameters<M[K]>): Promise<Awaited<ReturnType<M[K]>>> {
    const id = ++this.#ids;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#process.send({ id, method, args } satisfies Call, (error) => {
        if (error !== null) this.#ended(error.message);
      });
    });
  }

  /** `kill -9`. Resolves when the operating system has let go of everything the child held. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  #answered({ id, value, error }: Answer): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error === undefined) call?.resolve(value as never);
    else call?.reject(new Error(`${this.#file}: ${error}`));
  }

  #ended(how: string): void {
    running.delete(this.#process);
    for (const call of this.#calls.values()) call.reject(new Error(`${this.#file} ended before it answered: ${how}`));
    this.#calls.clear();
  }
}

/** The child's side: answers calls until the parent goes away. */
export function serve(methods: Methods): void {
  process.on("disconnect", () => process.exit());
  process.on("message", ({ id, method, args }: Call) => {
    const answer = (rest: Omit<Answer, "id">): void => void process.send?.({ id, ...rest } satisfies Answer);
    const work = async (): Promise<unknown> => await methods[method]?.(...(args as never[]));
    work().then(
      (value) => answer({ value }),
      (error: unknown) => answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
}
