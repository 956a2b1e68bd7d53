/** Takes out of esbuild's output whatever depends on where the project and its packages lie. */
import path from "node:path";
import type { Metafile } from "esbuild";
import type { BundleState } from "./bundle.ts";
import { virtualNamespace } from "./messages.ts";
import { displayPath, isUserFile } from "./paths.ts";
import { tidyMap } from "./source-map.ts";

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
export function portableBundle(text: string, { inputs }: Metafile, state: BundleState): string {
  const lines = new Map<string, string>();
  for (const key of Object.keys(inputs)) {
    const name = displayName(state, key);
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

/** The map of such a bundle. It keeps the text of the user's sandboxed modules only. */
export function portableMap(text: string, state: BundleState): string {
  return tidyMap(
    text,
    (source) => displayName(state, source.replace(/^\.\//, "")),
    (source) => hasOwnText(state, source),
  );
}
