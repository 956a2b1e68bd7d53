/** A copy of the repository in which bugs are planted, so that the original is never touched. */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Check, Mutant } from "./mutant.ts";

const copied = ["src", "test", "dist", "scripts", "examples", "bin", "docs", "package.json", "README.md"];
const configurations = ["", ".base", ".base-layer", ".guest", ".node", ".test"].map((part) => `tsconfig${part}.json`);

/** The compiler complains of what a mutant has left unused. That is no reason not to run it. */
const unused = /error TS(6133|6138|6192|6196|6198|7028)\b/;

export interface Verdict {
  readonly passed: boolean;
  readonly seconds: number;
  /** What it printed last, or why it was ended. */
  readonly output: string;
}

export class Tree {
  readonly #root: string;
  readonly #original: string;

  constructor(repository: string) {
    this.#original = repository;
    this.#root = mkdtempSync(join(tmpdir(), "perdure-mutants-"));
    for (const name of [...copied, ...configurations]) {
      cpSync(join(repository, name), join(this.#root, name), { recursive: true, preserveTimestamps: true });
    }
    symlinkSync(join(repository, "node_modules"), join(this.#root, "node_modules"));
  }

  /** Throws if the bug does not compile: that would be caught by anything. */
  async plant({ file, find, replace }: Mutant): Promise<void> {
    const source = readFileSync(join(this.#original, file), "utf8");
    writeFileSync(
      join(this.#root, file),
      source.replace(find, () => replace),
    );
    await this.#build();
  }

  async restore({ file }: Mutant): Promise<void> {
    writeFileSync(join(this.#root, file), readFileSync(join(this.#original, file)));
    await this.#build();
  }

  async #build(): Promise<void> {
    const built = await this.#run(["node_modules/typescript/bin/tsc", "-b"], 120);
    const errors = built.output.split("\n").filter((line) => /error TS\d+/.test(line) && !unused.test(line));
    if (errors.length > 0) throw new Error(`it does not compile: ${errors.join("; ")}`);
    const prelude = await this.#run(["scripts/build-prelude.ts"], 60);
    if (!prelude.passed) throw new Error(`the prelude is not built: ${prelude.output}`);
  }

  async check(check: Check, limitSeconds: number): Promise<Verdict> {
    return await this.#run(argumentsOf(check), limitSeconds);
  }

  #run(args: readonly string[], limitSeconds: number): Promise<Verdict> {
    const startedMs = performance.now();
    // What a test started may outlive it: it is ended with it, as a group of its own.
    return new Promise((resolve) => {
      const options = { cwd: this.#root, maxBuffer: 64 << 20, detached: true, encoding: "utf8" } as const;
      const child = execFile(process.execPath, args, options, (error, stdout, stderr) => {
        clearTimeout(timer);
        endGroup(child.pid);
        const seconds = (performance.now() - startedMs) / 1_000;
        const output = late ? `no end after ${limitSeconds} s` : `${stdout}${stderr}`;
        resolve({ passed: error === null, seconds, output });
      });
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        endGroup(child.pid);
      }, limitSeconds * 1_000);
    });
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

export function argumentsOf(check: Check): string[] {
  if ("simulate" in check) {
    const { simulate, seeds } = check;
    return ["test/simulation/main.ts", "--kind", simulate, "--seed", "1", "--seeds", String(seeds)];
  }
  const { tests, only } = check;
  const pattern = only === undefined ? [] : [`--test-name-pattern=${only}`];
  return ["--test", "--test-reporter=dot", ...pattern, ...tests];
}
