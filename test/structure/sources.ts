/** The repository's own files, as the rules of structure look at them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Source {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Every file that is in the repository or about to be: tracked, or new and not ignored. */
export function repositoryFiles(): Source[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const paths = [...new Set(listed.split("\0"))].filter((path) => path !== "" && existsSync(`${root}/${path}`));
  return paths.toSorted().map((path) => ({ path, text: readFileSync(`${root}/${path}`, "utf8") }));
}

export const isCode = ({ path }: Source): boolean => /\.(?:ts|js|mjs|cjs)$/.test(path) && !path.endsWith(".d.ts");
/** Tests, and the tools that stand beside them. */
export const isTest = ({ path }: Source): boolean => /(?:\.test|\/testing)\.ts$/.test(path);

export interface Import {
  readonly line: number;
  readonly specifier: string;
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
}

const statement =
  /^(?:import|export)\s+(?<type>type\s)?(?:[\w$*\s{},]+?\s+from\s+)?"(?<from>[^"\n]+)"|\bimport\(\s*"(?<dynamic>[^"\n]+)"/gm;

/** Imports and re-exports, static and dynamic. It trusts the formatter: double quotes, statements at the start of a line. */
export function importsOf(text: string): Import[] {
  return [...text.matchAll(statement)].map((match) => ({
    line: lineAt(text, match.index),
    specifier: match.groups?.["from"] ?? match.groups?.["dynamic"] ?? "",
    typeOnly: match.groups?.["type"] !== undefined,
  }));
}

/** The file a relative import names, relative to the repository. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier) : undefined;
}

export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** The syntax tree; types are blanked out, so lines and columns are the file's own. */
export function syntaxOf({ path, text }: Source): SyntaxNode {
  const code = path.endsWith(".ts") ? quietly(() => stripTypeScriptTypes(text)) : text;
  return parse(code, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true }) as unknown as SyntaxNode;
}

/** Calls `visit` for every node, parents first. */
export function walk(node: SyntaxNode, visit: (node: SyntaxNode, parent: SyntaxNode | undefined) => void): void {
  const waiting: [SyntaxNode, SyntaxNode | undefined][] = [[node, undefined]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [current, parent] = next;
    visit(current, parent);
    for (const value of Object.values(current)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) waiting.push([child, current]);
    }
  }
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < index; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** Node warns that stripping types is experimental; here it only looks at code, and a change would show as a failure. */
function quietly<T>(action: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return action();
  } finally {
    process.emitWarning = emitWarning;
  }
}
