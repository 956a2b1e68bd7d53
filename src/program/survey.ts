/**
 * A first look at a program: which of the user's modules there are and what they export. Packages are left out, which makes it
 * quick; the bundle is made when all this is known.
 */
import path from "node:path";
import { context } from "esbuild";
import type { Metafile, Plugin } from "esbuild";
import { bundleOptions } from "./bundle.ts";
import type { BundledModule, BundleState } from "./bundle.ts";
import { listEntries } from "./entries.ts";
import { virtualNamespace } from "./messages.ts";
import { isCodeFile, isUserFile, modulePath } from "./paths.ts";

export interface Survey {
  readonly modules: readonly BundledModule[];
  readonly entries: readonly string[];
}

/** Two passes are enough unless files change meanwhile: one to find the modules, one to export them. */
const passesMax = 5;

/** Throws esbuild's BuildFailure. */
export async function surveyProgram(state: BundleState, entry: string): Promise<Survey> {
  const draft: BundleState = { ...state };
  const builder = await context({ ...bundleOptions(draft, [withoutPackages(draft.folder)]), sourcemap: false });
  try {
    for (let pass = 1; ; pass++) {
      const { metafile, outputFiles } = await builder.rebuild();
      const modules = evaluatedModules(metafile, draft, entry);
      const settled = JSON.stringify(modules) === JSON.stringify(draft.modules);
      if (settled || pass === passesMax) return { modules, entries: listEntries(outputFiles[0]?.text ?? "", modules) };
      draft.modules = modules;
    }
  } finally {
    await builder.dispose();
  }
}

/** Marks our own question to the resolver, which would otherwise come back to us. */
const asked = Symbol("asked by the survey");

function withoutPackages(folder: string): Plugin {
  return {
    name: "perdure-survey",
    setup(plugin) {
      // Relative and absolute paths are left to esbuild; tsconfig paths and linked packages may be the user's files, too.
      plugin.onResolve(
        { filter: /^[^./]/ },
        async ({ path: specifier, pluginData, kind, namespace, importer, resolveDir }) => {
          if (pluginData === asked || kind === "entry-point" || /^perdure(\/|$)/.test(specifier)) return undefined;
          const found = await plugin.resolve(specifier, { kind, namespace, importer, resolveDir, pluginData: asked });
          const isUsers = found.errors.length === 0 && found.namespace === "file" && isUserFile(folder, found.path);
          return isUsers ? undefined : { path: specifier, external: true };
        },
      );
    },
  };
}

/**
 * The user's modules that are evaluated because the entry is, in the order of their imports. What is only reached by
 * `import()` or `require` is not among them: exporting its namespace would evaluate it before the program asks for it.
 */
export function evaluatedModules({ inputs }: Metafile, state: BundleState, entry: string): BundledModule[] {
  const seen = new Set<string>();
  const modules: BundledModule[] = [];
  const visit = (key: string): void => {
    const input = inputs[key];
    const file = path.resolve(state.folder, key);
    if (
      input === undefined ||
      seen.has(key) ||
      key.startsWith(`${virtualNamespace}:`) ||
      !isUserFile(state.folder, file)
    )
      return;
    seen.add(key);
    if (isCodeFile(file) && !state.hosts.has(file)) {
      modules.push({ path: modulePath(state.folder, file), isModule: input.format !== undefined });
    }
    for (const { path: next, kind, external } of input.imports) {
      if (kind === "import-statement" && external !== true) visit(next);
    }
  };
  visit(modulePath(state.folder, entry));
  return modules;
}
