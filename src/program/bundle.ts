/** esbuild, set up to turn a program into one module for the sandbox. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { BuildOptions, ImportKind, OnLoadResult, PartialMessage, Plugin } from "esbuild";
import { apiNames } from "../guest/api-names.ts";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { readHostModule, stubsOf } from "./host-module.ts";
import type { HostModule, HostReading } from "./host-module.ts";
import { explainFileKind, virtualNamespace } from "./messages.ts";
import type { PluginDetail } from "./messages.ts";
import { isUserFile } from "./paths.ts";

/** What a bundle is made from, and what making it has found. */
export interface BundleState {
  /** The entry file's folder, absolute. */
  readonly folder: string;
  /** Paths of the modules to export, entry first. */
  modules: readonly BundledModule[];
  /** What is known of the user's modules, by absolute file: they are read once for all passes. */
  readonly readings: Map<string, Promise<HostReading>>;
  /** The host modules among them. */
  readonly hosts: Map<string, HostModule>;
}

export interface BundledModule {
  readonly path: string;
  /** False for a module without import and export: a namespace of it would make esbuild treat it as CommonJS. */
  readonly isModule: boolean;
}

/** Takes the bridge to the prelude out of the globals. What is left of it in this scope offers no more than a program may do anyway. */
const banner = "const __perdure = globalThis.__perdure; delete globalThis.__perdure;";

export function bundleOptions(
  state: BundleState,
  plugins: readonly Plugin[] = [],
): BuildOptions & { metafile: true; write: false } {
  return {
    entryPoints: [`${virtualNamespace}:entry`],
    absWorkingDir: state.folder,
    outfile: path.join(state.folder, "perdure-program.js"),
    allowOverwrite: true,
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2023",
    // Neither Node nor a page: of a package's variants, those for web workers and browsers come closest.
    platform: "browser",
    conditions: ["perdure", "worker", "module"],
    mainFields: ["browser", "module", "main"],
    banner: { js: banner },
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
    loader: { ".txt": "text", ".md": "text" },
    // In pure ASCII the engine's columns, counted in bytes, are those of the source map, counted in UTF-16 units.
    charset: "ascii",
    legalComments: "none",
    sourcemap: "external",
    logLevel: "silent",
    logLimit: 0,
    plugins: [...plugins, programPlugin(state)],
  };
}

function programPlugin(state: BundleState): Plugin {
  return {
    name: "perdure",
    setup(plugin) {
      plugin.onResolve({ filter: /^perdure:entry$/ }, ({ kind }) =>
        kind === "entry-point" ? { path: "entry", namespace: virtualNamespace } : undefined,
      );
      plugin.onResolve({ filter: /^perdure(\/|$)/ }, ({ path: specifier }) =>
        specifier === "perdure"
          ? { path: "api", namespace: virtualNamespace, sideEffects: false }
          : { errors: [failure(explainPerdureImport(specifier))] },
      );
      plugin.onResolve({ filter: /^(https?:)?\/\// }, ({ path: url, kind }) =>
        isImport(kind) ? { errors: [failure(explainUrl(url))] } : undefined,
      );
      plugin.onLoad({ filter: /.*/, namespace: virtualNamespace }, ({ path: name }) => ({
        contents: name === "entry" ? entryModule(state.modules) : apiModule(),
        resolveDir: state.folder,
        loader: "js",
      }));
      plugin.onLoad({ filter: /\.css$/ }, ({ path: file }) => ({
        errors: [failure(explainFileKind(path.basename(file)))],
      }));
      plugin.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: "file" }, ({ path: file }) =>
        isUserFile(state.folder, file) ? loadUserFile(state, file) : undefined,
      );
    },
  };
}

function isImport(kind: ImportKind): boolean {
  return kind === "import-statement" || kind === "dynamic-import" || kind === "require-call";
}

async function loadUserFile(state: BundleState, file: string): Promise<OnLoadResult | undefined> {
  let pending = state.readings.get(file);
  if (pending === undefined) {
    pending = readFile(file, "utf8").then((text) => readHostModule(state.folder, file, text));
    state.readings.set(file, pending);
  }
  const reading = await pending;
  if (reading.kind === "sandboxed") return undefined;
  if (reading.kind === "invalid")
    return { errors: reading.problems.map(({ place, ...detail }) => failure(detail, place)) };
  state.hosts.set(file, reading.module);
  return { contents: stubsOf(reading.module), loader: "js" };
}

/** Without a place, esbuild fills in that of the import in question. */
function failure(detail: PluginDetail, place?: Place): PartialMessage {
  const text = detail.title;
  if (place === undefined) return { text, detail };
  return { text, detail: { ...detail, place } satisfies Diagnostic };
}

/**
 * Exports the namespaces of the user's modules. The bare `__perdure` makes esbuild keep that name free for the banner, also
 * where a program declares one of its own.
 */
function entryModule(modules: readonly BundledModule[]): string {
  const imports = modules.map(
    ({ path: name, isModule }, i) =>
      `import ${isModule ? `* as module${i} from ` : ""}${JSON.stringify(name.startsWith("../") ? name : `./${name}`)};\n`,
  );
  const members = modules.map(
    ({ path: name, isModule }, i) => `  ${JSON.stringify(name)}: ${isModule ? `module${i}` : "{}"},\n`,
  );
  return `${imports.join("")}__perdure;\nexport const modules = {\n${members.join("")}};\n`;
}

/** `import … from "perdure"`. The local names leave the plain ones to the user's functions, which appear in stack traces. */
function apiModule(): string {
  const members = apiNames.map((name) => `const perdure_${name} = __perdure.api.${name};\n`);
  return `${members.join("")}export { ${apiNames.map((name) => `perdure_${name} as ${name}`).join(", ")} };\n`;
}

function explainPerdureImport(specifier: string): PluginDetail {
  if (specifier === "perdure/host") {
    return {
      code: "PROGRAM_RESOLVE",
      title: `"perdure/host" is for host code, and this module runs inside the sandbox.`,
      advice: [
        `Begin the module with "use host" if it is meant to run in Node; if only types are needed, write "import type".`,
      ],
    };
  }
  return {
    code: "PROGRAM_RESOLVE",
    title: `"${specifier}" cannot be used inside the sandbox.`,
    advice: [`A program imports from "perdure"; the other entry points are for Node.`],
  };
}

function explainUrl(url: string): PluginDetail {
  return {
    code: "PROGRAM_RESOLVE",
    title: `A program cannot import "${url}": modules are not loaded over the network.`,
    advice: ["Install the package with npm and import it by name."],
  };
}
