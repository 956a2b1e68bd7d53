/** What a host module exports at run time, and whether each of its exports can be an operation. */
import path from "node:path";
import { build } from "esbuild";
import type { BuildFailure, OutputFile, Plugin } from "esbuild";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { explainAll } from "./messages.ts";
import { isCodeFile, modulePath } from "./paths.ts";
import { placeAt } from "./place.ts";
import { parseModule, readScope } from "./syntax.ts";
import type { Shape } from "./syntax.ts";

export interface HostExports {
  readonly names: readonly string[];
  readonly problems: readonly Diagnostic[];
}

/**
 * The exports as they are at run time: esbuild bundles the module with its neighbours, so that types vanish and
 * `export * from "./other.ts"` is resolved, but without packages.
 */
export async function readHostExports(folder: string, file: string): Promise<HostExports> {
  const name = modulePath(folder, file);
  let files: OutputFile[];
  try {
    const result = await build({
      entryPoints: [file],
      absWorkingDir: folder,
      outfile: path.join(folder, "perdure-host.js"),
      allowOverwrite: true,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
      target: "es2023",
      sourcemap: "external",
      write: false,
      metafile: true,
      logLevel: "silent",
      logLimit: 0,
      plugins: [codeOnly],
    });
    if (
      Object.entries(result.metafile.inputs).some(
        ([key, input]) => path.resolve(folder, key) === file && input.format === "cjs",
      )
    ) {
      return { names: [], problems: [commonJs(name)] };
    }
    files = result.outputFiles;
  } catch (error) {
    return { names: [], problems: explainAll((error as BuildFailure).errors, folder, () => []) };
  }
  const code = files.find((output) => output.path.endsWith(".js"))?.text ?? "";
  const map = files.find((output) => output.path.endsWith(".map"))?.text ?? "";
  return checkExports(code, (offset) => placeAt(code, map, offset, folder), name);
}

/** Host code may import anything Node or its loaders can; only code can tell something about exports. */
const codeOnly: Plugin = {
  name: "perdure-code-only",
  setup(plugin) {
    plugin.onLoad({ filter: /.*/ }, ({ path: file }) =>
      isCodeFile(file) || file.endsWith(".json") ? undefined : { contents: "module.exports = {};", loader: "js" },
    );
  },
};

function commonJs(name: string): Diagnostic {
  return {
    code: "PROGRAM_HOST_EXPORT",
    title: `${name} begins with "use host" but is a CommonJS module, whose exports cannot be listed without running it.`,
    advice: [`Write "export async function …" instead of assigning to module.exports.`],
  };
}

function checkExports(code: string, placeOf: (offset: number) => Place | undefined, module: string): HostExports {
  const tree = parseModule(code);
  const scope = readScope(tree);
  const names: string[] = [];
  const problems: Diagnostic[] = [];
  for (const statement of tree.body) {
    if (statement.type === "ExportAllDeclaration" && statement.exported == null) {
      problems.push(openExport(String(statement.source.value), placeOf(statement.start)));
    }
    if (statement.type !== "ExportNamedDeclaration") continue;
    for (const { local, exported } of statement.specifiers) {
      const name = exported.type === "Literal" ? String(exported.value) : exported.name;
      names.push(name);
      if (statement.source != null || local.type === "Literal") continue;
      const { shape, offset } = scope.lookup(local.name);
      if (shape.kind === "function" || shape.kind === "value")
        problems.push(badExport(module, name, shape, placeOf(offset)));
    }
  }
  return { names: names.sort(), problems };
}

function openExport(specifier: string, place: Place | undefined): Diagnostic {
  return {
    code: "PROGRAM_HOST_EXPORT",
    title: `The names that export * from ${JSON.stringify(specifier)} stands for are not known before the program runs.`,
    advice: [`Name them: export { one, another } from ${JSON.stringify(specifier)}.`],
    place,
  };
}

function badExport(
  module: string,
  name: string,
  shape: Shape & { what: string },
  place: Place | undefined,
): Diagnostic {
  const advice = {
    "a function that is not async": `Make it async: calling it from the program is an operation, whose result the program awaits.`,
    "a generator": `Make it an async function that returns all it has to give.`,
    "an async generator": `Make it an async function that returns all it has to give.`,
  }[shape.what];
  return {
    code: "PROGRAM_HOST_EXPORT",
    title: `${module} exports "${name}", which is ${shape.what}. Exports of a "use host" module must be async functions or operations.`,
    advice: [advice ?? `Move it to a module without "use host", or export an async function that returns it.`],
    place,
  };
}
