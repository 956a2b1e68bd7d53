/** From a TypeScript file to a content-addressed program. */
import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { context } from "esbuild";
import type { BuildContext, BuildFailure, Message, Metafile } from "esbuild";
import { PerdureError } from "../base/errors.ts";
import { bundleOptions } from "./bundle.ts";
import type { BundledModule, BundleState } from "./bundle.ts";
import { traceImports } from "./chain.ts";
import { buildError } from "./diagnostics.ts";
import type { Diagnostic } from "./diagnostics.ts";
import { listEntries } from "./entries.ts";
import type { HostModule } from "./host-module.ts";
import { builtinName, explainAll, unresolvedSpecifier, virtualNamespace } from "./messages.ts";
import { codeLoaders, displayPath, isCodeFile, isUserFile, modulePath } from "./paths.ts";
import { tidyMap } from "./source-map.ts";

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
  const built = await bundle(state, entry);
  if (state.hosts.has(entry)) throw hostEntry(entryPath, entry);
  const bundleText = built.text("perdure-program.js").replace(/^#!.*\n/, "");
  const names = new Map(Object.keys(built.metafile.inputs).map((key) => [key, displayName(state, key)]));
  const code = canonical(bundleText, names);
  return {
    hash: createHash("sha256")
      .update(`perdure program\n${options.preludeHash}\n${options.engineHash}\n${code}`)
      .digest("hex"),
    file: entry,
    bundle: code,
    sourceMap: tidyMap(
      built.text("perdure-program.js.map"),
      (source) => displayName(state, source.replace(/^\.\//, "")),
      (source) => hasOwnText(state, source),
    ),
    modules: state.modules.map((module) => module.path),
    entries: listEntries(code, state.modules),
    hostModules: [...state.hosts.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
  };
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

interface Built {
  readonly metafile: Metafile;
  text(name: string): string;
}

/** Two passes are enough unless files change meanwhile. */
const passesMax = 5;

/** Bundles once to see which modules there are, and again to export them. */
async function bundle(state: BundleState, entry: string): Promise<Built> {
  const builder = await context(bundleOptions(state));
  try {
    for (let pass = 1; pass <= passesMax; pass++) {
      const built = await rebuild(builder);
      const modules = evaluatedModules(built.metafile, state, entry);
      if (JSON.stringify(modules) === JSON.stringify(state.modules)) return built;
      state.modules = modules;
    }
  } catch (error) {
    throw isBuildFailure(error) ? await explainFailure(error, state, entry) : error;
  } finally {
    await builder.dispose();
  }
  throw new PerdureError(
    "PROGRAM_RESOLVE",
    `The modules of ${entry} keep changing while they are bundled. Try again when they have settled.`,
  );
}

async function rebuild(builder: BuildContext<ReturnType<typeof bundleOptions>>): Promise<Built> {
  const { metafile, outputFiles } = await builder.rebuild();
  return {
    metafile,
    text: (name) => outputFiles.find((output) => path.basename(output.path) === name)?.text ?? "",
  };
}

/**
 * The user's modules that are evaluated because the entry is, in the order of their imports. What is only reached by `import()` or
 * `require` is not among them: exporting its namespace would evaluate it before the program asks for it.
 */
function evaluatedModules({ inputs }: Metafile, state: BundleState, entry: string): BundledModule[] {
  const seen = new Set<string>();
  const modules: BundledModule[] = [];
  const visit = (key: string): void => {
    const input = inputs[key];
    if (input === undefined || seen.has(key)) return;
    seen.add(key);
    const file = path.resolve(state.folder, key);
    const isUsers = !key.startsWith(`${virtualNamespace}:`) && isUserFile(state.folder, file) && isCodeFile(file);
    if (isUsers && !state.hosts.has(file))
      modules.push({ path: modulePath(state.folder, file), isModule: input.format !== undefined });
    for (const { path: next, kind, external } of input.imports)
      if (kind === "import-statement" && external !== true) visit(next);
  };
  visit(modulePath(state.folder, entry));
  return modules;
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

/** A file of the bundle as people and source maps name it. */
function displayName({ folder }: BundleState, key: string): string {
  return key.startsWith(`${virtualNamespace}:`) ? key : displayPath(folder, path.resolve(folder, key));
}

function hasOwnText(state: BundleState, source: string): boolean {
  const file = path.resolve(state.folder, source);
  return !source.includes(`${virtualNamespace}:`) && isUserFile(state.folder, file) && !state.hosts.has(file);
}

/**
 * esbuild heads each file, and names the wrapper of each CommonJS file, with its path. A package's path depends on where the
 * package manager has put it; the bundle must not. Each such path stands on a line of its own.
 */
function canonical(text: string, names: ReadonlyMap<string, string>): string {
  const lines = new Map<string, string>();
  for (const [key, name] of names) {
    if (key === name) continue;
    lines.set(`// ${key}`, `// ${name}`);
    for (const parameters of ["(exports, module)", "(exports)", "()"]) {
      lines.set(`  ${JSON.stringify(key)}${parameters} {`, `  ${JSON.stringify(name)}${parameters} {`);
    }
  }
  return text
    .split("\n")
    .map((line) => lines.get(line) ?? line)
    .join("\n");
}
