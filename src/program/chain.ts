/** Finds out how an import came about: the way from the entry to a file. Only asked when a build has failed. */
import { build } from "esbuild";
import type { Plugin } from "esbuild";
import { bundleOptions } from "./bundle.ts";
import type { BundleState } from "./bundle.ts";
import { displayPath } from "./paths.ts";

/** Marks our own question to the resolver, which would otherwise come back to us. */
const asked = Symbol("asked by the chain plugin");

/**
 * Builds once more, writing down who imports whom. Returns the shortest chain of modules from the entry to a file, as people
 * read them: `["app.ts", "lib/x.ts", "pkg/index.js"]`, or [] for a file nobody imports.
 */
export async function traceImports(state: BundleState, entry: string): Promise<(file: string) => readonly string[]> {
  const importers = new Map<string, Set<string>>();
  await build(bundleOptions(state, [recorder(importers)])).catch(() => undefined);
  return (file) => {
    const chain = shortestWay(importers, entry, file);
    return chain.map((step) => displayPath(state.folder, step).replace(/^node_modules\//, ""));
  };
}

function recorder(imports: Map<string, Set<string>>): Plugin {
  return {
    name: "perdure-chain",
    setup(plugin) {
      plugin.onResolve({ filter: /.*/ }, async ({ path, importer, resolveDir, kind, namespace, pluginData }) => {
        if (pluginData === asked || kind === "entry-point" || namespace !== "file") return undefined;
        const found = await plugin.resolve(path, { importer, resolveDir, kind, namespace, pluginData: asked });
        if (found.errors.length > 0) return undefined;
        const from = imports.get(importer) ?? new Set();
        imports.set(importer, from.add(found.path));
        return undefined;
      });
    },
  };
}

function shortestWay(imports: ReadonlyMap<string, ReadonlySet<string>>, from: string, to: string): string[] {
  const cameFrom = new Map<string, string | undefined>([[from, undefined]]);
  // A map is walked in insertion order, also over what is added meanwhile: breadth first.
  for (const file of cameFrom.keys()) {
    if (file === to) break;
    for (const next of imports.get(file) ?? []) if (!cameFrom.has(next)) cameFrom.set(next, file);
  }
  if (!cameFrom.has(to)) return [];
  const way: string[] = [];
  for (let step: string | undefined = to; step !== undefined; step = cameFrom.get(step)) way.unshift(step);
  return way;
}
