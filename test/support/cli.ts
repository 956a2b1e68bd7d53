/** The command line as people run it: a process of its own, in a folder of its own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import { writeProject } from "./project.ts";

const script = fileURLToPath(new URL("../../bin/perdure.js", import.meta.url));
/** Longer than anything here takes on a busy machine, shorter than a test run hangs. */
const timeoutMs = 30_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with a program, and the command line in it. */
export class Shop {
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #context: TestContext;

  static async open(
    t: TestContext,
    files: Readonly<Record<string, string>>,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Shop> {
    return new Shop(t, await writeProject(t, files), env);
  }

  private constructor(t: TestContext, folder: string, env: NodeJS.ProcessEnv) {
    this.#context = t;
    this.folder = folder;
    const { PERDURE_STORE, PERDURE_DEBUG, NO_COLOR, ...inherited } = process.env;
    void [PERDURE_STORE, PERDURE_DEBUG, NO_COLOR];
    this.#env = { ...inherited, ...env };
  }

  /** Starts `perdure …`. It is killed when the test ends, whatever happens, and after so long a time that the test has failed. */
  start(...words: readonly string[]): Running {
    return this.startFor(timeoutMs, ...words);
  }

  /** The same, for tests that take longer. */
  startFor(longestMs: number, ...words: readonly string[]): Running {
    const child = spawn(process.execPath, [script, ...words], {
      cwd: this.folder,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#context.after(() => child.kill("SIGKILL"));
    return new Running(child, words, longestMs);
  }

  async run(...words: readonly string[]): Promise<Ended> {
    return await this.start(...words).ended;
  }

  /** The only document on standard output. */
  async json<T = any>(...words: readonly string[]): Promise<T> {
    const { stdout, stderr } = await this.run(...words, "--json");
    try {
      return JSON.parse(stdout) as T;
    } catch {
      throw new Error(
        `perdure ${words.join(" ")} --json printed ${JSON.stringify(stdout)} and ${JSON.stringify(stderr)}`,
      );
    }
  }
}

export class Running {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #words: readonly string[];
  #stdout = "";
  #stderr = "";
  #watchers: (() => void)[] = [];

  constructor(child: ChildProcess, words: readonly string[], longestMs: number) {
    this.#child = child;
    this.#words = words;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#heard(() => (this.#stdout += text)));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#heard(() => (this.#stderr += text)));
    const timer = setTimeout(() => child.kill("SIGKILL"), longestMs);
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
        this.#heard(() => undefined);
      });
    });
  }

  /** Resolves when `text` has been printed, on either stream. */
  async printed(text: string): Promise<void> {
    let isOver = false;
    void this.ended.then(() => (isOver = true));
    while (!this.#stdout.includes(text) && !this.#stderr.includes(text)) {
      if (isOver)
        throw new Error(
          `perdure ${this.#words.join(" ")} ended without printing ${JSON.stringify(text)}: ${this.#stdout}${this.#stderr}`,
        );
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
      await Promise.resolve();
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it has printed there so far. */
  get stderr(): string {
    return this.#stderr;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Closes our end of its standard output. */
  stopReading(): void {
    this.#child.stdout?.destroy();
  }

  #heard(take: () => void): void {
    take();
    for (const resolve of this.#watchers.splice(0)) resolve();
  }
}
