/** Throw-away projects for tests that bundle programs. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { buildProgram } from "../../src/program/index.ts";
import type { Program } from "../../src/program/index.ts";

/** Writes files, by relative path, into a new folder that goes when the test ends. Returns the folder. */
export async function writeProject(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  subfolder = "",
): Promise<string> {
  const root = await realpath(await mkdtemp(path.join(tmpdir(), "perdure-program-")));
  t.after(() => rm(root, { recursive: true, force: true }));
  const folder = path.join(root, subfolder);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  return folder;
}

export function build(file: string): Promise<Program> {
  return buildProgram(file, { preludeHash: "prelude", engineHash: "engine" });
}

/** Builds the first of the files. */
export async function buildProject(t: TestContext, files: Readonly<Record<string, string>>): Promise<Program> {
  const folder = await writeProject(t, files);
  return await build(path.join(folder, Object.keys(files)[0] ?? ""));
}

export type Namespaces = Readonly<Record<string, Readonly<Record<string, any>>>>;

/**
 * Evaluates a bundle in Node. An operation is a function that returns its name and arguments, and the API's members are
 * `api`, or else their own names.
 */
export async function evaluate(
  t: TestContext,
  program: Program,
  api: Record<string, unknown> = {},
): Promise<Namespaces> {
  const folder = await writeProject(t, { "bundle.mjs": program.bundle });
  const bridge = {
    api: new Proxy(api, { get: (members, name) => (name in members ? members[name as string] : name) }),
    operation:
      (name: string) =>
      (...args: unknown[]) => ({ operation: name, args }),
  };
  Object.defineProperty(globalThis, "__perdure", { value: bridge, configurable: true });
  const { modules } = (await import(pathToFileURL(path.join(folder, "bundle.mjs")).href)) as { modules: Namespaces };
  return modules;
}
