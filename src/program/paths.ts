/**
 * How files are named within a program. A name must be the same wherever the project lies, because bundles are
 * content-addressed and operations are named after their module.
 */
import path from "node:path";

/** `"app.ts"`, `"lib/x.ts"`, `"../shared/y.ts"`: a file as the program calls it, seen from the entry's folder. */
export function modulePath(folder: string, file: string): string {
  return path.relative(folder, file).split(path.sep).join("/");
}

/** The innermost npm package a file belongs to, as an absolute path; "" outside `node_modules`. */
function packageOf(file: string): string {
  return /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(file)?.[0] ?? "";
}

/** Whether a file is the user's own: in no npm package, or in the one the program itself belongs to. */
export function isUserFile(folder: string, file: string): boolean {
  return packageOf(file) === packageOf(path.join(folder, "entry"));
}

/**
 * `"node_modules/zod/index.js"` for a package's file wherever the package manager has put it (hoisted, or linked from a
 * global store), else the file's module path.
 */
export function displayPath(folder: string, file: string): string {
  if (isUserFile(folder, file)) return modulePath(folder, file);
  const parts = file.split(/[\\/]/);
  return parts.slice(parts.lastIndexOf("node_modules")).join("/");
}

/** Extensions esbuild parses as JavaScript or TypeScript, with the loader of each. */
export const codeLoaders: Readonly<Record<string, "js" | "jsx" | "ts" | "tsx">> = {
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".jsx": "jsx",
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
};

export function isCodeFile(file: string): boolean {
  return path.extname(file) in codeLoaders;
}
