/**
 * Modules that begin with the directive "use host". A program gets stubs in their place: whatever such a module imports
 * stays on the host.
 */
import path from "node:path";
import { transform } from "esbuild";
import type { AnyNode, Program } from "acorn";
import type { Diagnostic } from "./diagnostics.ts";
import { readHostExports } from "./host-exports.ts";
import { codeLoaders, modulePath } from "./paths.ts";
import { placeAt } from "./place.ts";
import { parseModule, visit } from "./syntax.ts";

const directive = "use host";

export interface HostModule {
  /** Relative to the entry's folder: `"warehouse.ts"`. */
  readonly path: string;
  /** Absolute. */
  readonly file: string;
  /** Names of its run-time exports, sorted. */
  readonly exports: readonly string[];
}

export type HostReading =
  | { readonly kind: "sandboxed" }
  | { readonly kind: "host"; readonly module: HostModule }
  | { readonly kind: "invalid"; readonly problems: readonly Diagnostic[] };

/** Tells whether a module of the user's is a host module, and if so what it exports. */
export async function readHostModule(folder: string, file: string, text: string): Promise<HostReading> {
  if (!/["']use host["']/.test(text)) return { kind: "sandboxed" };
  const stripped = await stripTypes(modulePath(folder, file), text);
  // What does not parse is reported by the bundler itself when it comes to this file.
  if (stripped === undefined) return { kind: "sandboxed" };
  const { tree, code, map } = stripped;
  const misplaced = misplacedDirectives(tree).map((offset) => {
    const place = placeAt(code, map, offset, folder);
    return { code: "PROGRAM_SYNTAX" as const, ...misplacedText, place };
  });
  if (misplaced.length > 0) return { kind: "invalid", problems: misplaced };
  if (!tree.body.some((statement) => "directive" in statement && statement.directive === directive))
    return { kind: "sandboxed" };
  const { names, problems } = await readHostExports(folder, file);
  if (problems.length > 0) return { kind: "invalid", problems };
  return { kind: "host", module: { path: modulePath(folder, file), file, exports: names } };
}

const misplacedText = {
  title: `"use host" has no effect here: it applies to whole modules and must come before any other statement.`,
  advice: [
    `Move it to the first line of the file, or the function into a module of its own that begins with "use host".`,
  ],
};

interface Stripped {
  readonly tree: Program;
  readonly code: string;
  readonly map: string;
}

async function stripTypes(name: string, text: string): Promise<Stripped | undefined> {
  try {
    const loader = codeLoaders[path.extname(name)] ?? "js";
    const { code, map } = await transform(text, {
      loader,
      target: "es2023",
      sourcemap: "external",
      sourcefile: name,
      logLevel: "silent",
    });
    return { tree: parseModule(code), code, map };
  } catch {
    return undefined;
  }
}

/** Offsets of "use host" statements that are not among the module's own directives. */
function misplacedDirectives(tree: Program): number[] {
  const offsets: number[] = [];
  visit(tree, (node) => {
    if (node.type !== "ExpressionStatement") return true;
    const atTop = node.directive === directive && (tree.body as readonly AnyNode[]).includes(node);
    if (!atTop && node.expression.type === "Literal" && node.expression.value === directive) offsets.push(node.start);
    return true;
  });
  return offsets;
}

/** The module a program gets instead: an operation of the same name for each export. */
export function stubsOf({ path: name, exports }: HostModule): string {
  const stubs = exports.map(
    (exported, i) =>
      `const operation${i} = /* @__PURE__ */ __perdure.operation(${JSON.stringify(`${name}#${exported}`)});\n`,
  );
  const clause = exports.map(
    (exported, i) =>
      `operation${i} as ${/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(exported) ? exported : JSON.stringify(exported)}`,
  );
  return `${stubs.join("")}export { ${clause.join(", ")} };\n`;
}
