/** From a TypeScript file to a content-addressed program. */
import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";
import type { BuildFailure, Message, Metafile } from "esbuild";
import { PerdureError } from "../base/errors.ts";
import { bundleOptions } from "./bundle.ts";
import type { BundleState } from "./bundle.ts";
import { traceImports } from "./chain.ts";
import { buildError } from "./diagnostics.ts";
import type { Diagnostic } from "./diagnostics.ts";
import type { HostModule } from "./host-module.ts";
import { builtinName, explainAll, unresolvedSpecifier } from "./messages.ts";
import { codeLoaders, isCodeFile } from "./paths.ts";
import { portableBundle, portableMap } from "./portable.ts";
import { evaluatedModules, surveyProgram } from "./survey.ts";

export interface Program {
  /** SHA-256, hex, over the hashes of prelude and engine binary and the bundle: all that makes a process run as it does. */
  readonly hash: string;
  /** Absolute path of the entry file, symbolic links resolved. */
  readonly file: string;
  /**
   * One ES module, to be evaluated as `perdure:program`. It takes `globalThis.__perdure` away, uses `api` and `operation` of
   * it, may use top-level await, and exports `modules`: the namespace of every module in `Program.modules`, by path.
   */
  readonly bundle: string;
  /** JSON. Sources are relative to the entry's folder; it holds the text of the user's modules only. */
  readonly sourceMap: string;
  /** The user's modules that are evaluated with the entry, entry first: `"app.ts"`, `"lib/x.ts"`, `"../shared/y.ts"`. */
  readonly modules: readonly string[];
  /** What can be started: `"default"` and `"other"` of the entry module, `"lib/x.ts#name"` of the others. */
  readonly entries: readonly string[];
  /** The modules whose exports are operations, by path. */
  readonly hostModules: readonly HostModule[];
  /** Those of their operations that the program may ask for, by name: `path#export`, sorted. */
  readonly operations: readonly string[];
}

export interface BuildProgramOptions {
  readonly preludeHash: string;
  readonly engineHash: string;
}

/**
 * Bundles a program. The same sources give the same bundle and hash wherever they lie.
 *
 * Throws PROGRAM_NOT_FOUND, PROGRAM_SYNTAX, PROGRAM_RESOLVE, PROGRAM_NODE_BUILTIN or PROGRAM_HOST_EXPORT; the message shows
 * every error with its source line, `details` holds `file`, `line` and `column` of the first.
 */
export async function buildProgram(file: string, options: BuildProgramOptions): Promise<Program> {
  const entry = await findEntryFile(file);
  const folder = path.dirname(entry);
  const entryPath = path.basename(entry);
  const state: BundleState = {
    folder,
    modules: [{ path: entryPath, isModule: true }],
    readings: new Map(),
    hosts: new Map(),
  };
  const { metafile, code, map, entries } = await bundle(state, entry);
  if (state.hosts.has(entry)) throw hostEntry(entryPath, entry);
  const text = portableBundle(code, metafile, state);
  const hostModules = [...state.hosts.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    hash: hashOf("perdure program", options.preludeHash, options.engineHash, text),
    file: entry,
    bundle: text,
    sourceMap: portableMap(map, state),
    modules: state.modules.map((module) => module.path),
    entries,
    hostModules,
    operations: hostModules
      .flatMap(operationNames)
      .filter((name) => mayAskFor(text, name))
      .sort(),
  };
}

/** As operations are named. */
export function operationNames({ path: name, exports }: HostModule): string[] {
  return exports.map((exported) => `${name}#${exported}`);
}

/** Stubs that nothing uses are not part of a bundle. What may be written there in more than one way counts as used. */
function mayAskFor(bundleText: string, name: string): boolean {
  return !/^[\x20-\x7e]*$/.test(name) || /["\\]/.test(name) || bundleText.includes(JSON.stringify(name));
}

function hashOf(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\n")).digest("hex");
}

async function findEntryFile(file: string): Promise<string> {
  const absolute = path.resolve(file);
  const isFile = await stat(absolute).then(
    (found) => found.isFile(),
    () => undefined,
  );
  if (isFile === undefined) throw notFound(absolute, "There is no such file.");
  if (!isFile) throw notFound(absolute, "It is not a file. Name the program's entry file, such as app.ts.");
  if (!isCodeFile(absolute))
    throw notFound(absolute, `A program is a file that ends in ${Object.keys(codeLoaders).join(", ")}.`);
  return await realpath(absolute);
}

function notFound(file: string, why: string): PerdureError {
  return new PerdureError("PROGRAM_NOT_FOUND", `Cannot read the program ${file}. ${why}`, { details: { file } });
}

function hostEntry(name: string, file: string): PerdureError {
  return buildError([
    {
      code: "PROGRAM_HOST_EXPORT",
      title: `${name} begins with "use host", so nothing of it runs inside the sandbox and it cannot be a program's entry.`,
      place: { path: name, file, line: 1, column: 1, lineText: `"use host";`, length: 10 },
      advice: ["Start a module that imports it, or remove the directive."],
    },
  ]);
}

/** How often to begin again when files change while they are bundled. */
const attemptsMax = 5;

async function bundle(state: BundleState, entry: string): Promise<Bundled> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const surveyed = await surveyProgram(state, entry).catch(onlyBuildFailures);
    if (surveyed !== undefined) state.modules = surveyed.modules;
    try {
      // Also after a failed survey: this pass finds all errors, those in packages too.
      const { metafile, outputFiles } = await build(bundleOptions(state));
      const modules = evaluatedModules(metafile, state, entry);
      if (surveyed === undefined || JSON.stringify(modules) !== JSON.stringify(state.modules)) continue;
      const text = (ending: string): string => outputFiles.find((output) => output.path.endsWith(ending))?.text ?? "";
      return { metafile, code: text(".js"), map: text(".js.map"), entries: surveyed.entries };
    } catch (error) {
      throw isBuildFailure(error) ? await explainFailure(error, state, entry) : error;
    }
  }
  throw new PerdureError(
    "PROGRAM_RESOLVE",
    `The modules of ${entry} keep changing while they are bundled. Try again when they have settled.`,
  );
}

interface Bundled {
  readonly metafile: Metafile;
  readonly code: string;
  readonly map: string;
  readonly entries: readonly string[];
}

function onlyBuildFailures(error: unknown): undefined {
  if (!isBuildFailure(error)) throw error;
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);
}

async function explainFailure(failure: BuildFailure, state: BundleState, entry: string): Promise<PerdureError> {
  const needsChain = (message: Message): boolean => builtinName(unresolvedSpecifier(message) ?? "") !== undefined;
  const chainOf = failure.errors.some(needsChain) ? await traceImports(state, entry) : () => [];
  const [first, ...others] = explainAll(failure.errors, state.folder, chainOf);
  const unexplained: Diagnostic = { code: "PROGRAM_SYNTAX", title: failure.message, advice: [] };
  return buildError([first ?? unexplained, ...others], failure);
}
