/** The rules of structure, each a function from sources to complaints of the form `file:line: what`. */
import { importsOf, isCode, isNode, isTest, lineAt, resolveImport, syntaxOf, walk } from "./sources.ts";
import type { Import, Source, SyntaxNode } from "./sources.ts";

/** From the bottom up. A layer imports from those below it and from itself; layers on one line do not know each other. */
export const layers: readonly (readonly string[])[] = [
  ["base"],
  ["journal"],
  ["machine", "store"],
  ["kernel"],
  ["operations", "program"],
  ["engine"],
  ["http", "wire"],
  ["cli"],
];

/** What runs inside the sandbox stands beside the layers: it knows the two at the bottom, the second by its types alone. */
const sandbox = "guest";

const layerOf = (path: string): string | undefined => /^src\/(\w+)\//.exec(path)?.[1];
const rankOf = (layer: string): number => layers.findIndex((line) => line.includes(layer));

export function layering(sources: readonly Source[]): string[] {
  const complaints: string[] = [];
  for (const { path, text } of shipped(sources)) {
    const layer = layerOf(path);
    if (layer === undefined) continue;
    if (layer !== sandbox && rankOf(layer) === -1) complaints.push(`${path}:1: src/${layer} is no layer`);
    for (const found of importsOf(text)) {
      const target = layerOf(resolveImport(path, found.specifier) ?? "");
      const objection = target === undefined || target === layer ? undefined : objectionTo(layer, target, found);
      if (objection !== undefined)
        complaints.push(`${path}:${found.line}: ${layer} must not import ${target}${objection}`);
    }
  }
  return complaints;
}

function objectionTo(layer: string, target: string, { typeOnly }: Import): string | undefined {
  if (layer === sandbox) {
    if (target === "base") return undefined;
    if (target !== "journal") return ": the sandbox knows base and journal only";
    return typeOnly ? undefined : ", but for types (import type)";
  }
  if (target === sandbox) return rankOf(layer) > rankOf("journal") ? undefined : ": it stands below";
  const [from, to] = [rankOf(layer), rankOf(target)];
  if (to < from) return undefined;
  return to === from ? ": siblings do not know each other" : ": it stands above";
}

/** Cycles of imports, types included: who reads one file of a cycle has to read them all. */
export function cycles(sources: readonly Source[]): string[] {
  const graph = new Map<string, readonly { to: string; line: number }[]>();
  for (const { path, text } of sources.filter(isCode)) {
    const edges = importsOf(text).map(({ specifier, line }) => ({ to: resolveImport(path, specifier) ?? "", line }));
    graph.set(path, edges);
  }
  const complaints: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    if (done.has(path)) return;
    trail.push(path);
    for (const { to, line } of graph.get(path) ?? []) {
      const start = trail.indexOf(to);
      if (start === -1) visit(to);
      else complaints.push(`${path}:${line}: closes a cycle: ${[...trail.slice(start), to].join(" → ")}`);
    }
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return complaints;
}

const maxFileLines = 500;
const maxFunctionLines = 70;

export function fileSizes(sources: readonly Source[]): string[] {
  return sources.filter(isCode).flatMap(({ path, text }) => {
    const lines = text.split("\n").length - 1;
    return lines > maxFileLines ? [`${path}:${maxFileLines + 1}: ${lines} lines are more than ${maxFileLines}`] : [];
  });
}

export function functionSizes(sources: readonly Source[]): string[] {
  return sources.filter(isCode).flatMap((source) => {
    const complaints: string[] = [];
    walk(syntaxOf(source), (node, parent) => {
      if (!/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return;
      // A list of tests is no function to be understood at once.
      if (parent?.type === "CallExpression" && /^(?:describe|suite)$/.test(calleeName(parent))) return;
      const line = lineAt(source.text, node.start);
      const lines = lineAt(source.text, node.end) - line + 1;
      if (lines > maxFunctionLines) {
        complaints.push(`${source.path}:${line}: a function of ${lines} lines is longer than ${maxFunctionLines}`);
      }
    });
    return complaints;
  });
}

/** These layers are deterministic given their ports. */
const deterministic = /^src\/(?:base|journal|kernel|guest)\//;
const noNode = /^src\/(?:base|journal|guest)\//;

/** The sandbox's own ports: what it captures here is the turn's time, an input like any other. */
const sandboxPorts = /^src\/guest\/prelude\/intrinsics\.ts$/;

const bannedMembers = new Set([
  "Date.now",
  "Math.random",
  "performance.now",
  "process.hrtime",
  "crypto.getRandomValues",
]);
const bannedCalls = new Set(["setTimeout", "setInterval", "setImmediate", "fetch", "require"]);

export function bannedCallsIn(sources: readonly Source[]): string[] {
  return shipped(sources)
    .filter(({ path }) => deterministic.test(path) && !sandboxPorts.test(path))
    .flatMap((source) => {
      const complaints: string[] = [];
      const own = namesDeclaredIn(source.text);
      walk(syntaxOf(source), (node) => {
        const what = banned(node, own);
        if (what !== undefined) {
          complaints.push(
            `${source.path}:${lineAt(source.text, node.start)}: ${what} is not deterministic; use a port`,
          );
        }
      });
      for (const { specifier, line } of importsOf(source.text)) {
        const isBuiltIn = specifier.startsWith("node:");
        // Hashing is arithmetic, and so the one part of Node the kernel may use.
        if (isBuiltIn && (noNode.test(source.path) || specifier !== "node:crypto")) {
          complaints.push(`${source.path}:${line}: ${specifier} has no place in this layer`);
        }
      }
      return complaints;
    });
}

function banned(node: SyntaxNode, own: ReadonlySet<string>): string | undefined {
  if (node.type === "MemberExpression") {
    const name = `${nameOf(node["object"])}.${nameOf(node["property"])}`;
    return bannedMembers.has(name) && !own.has(nameOf(node["object"])) ? name : undefined;
  }
  if (node.type === "NewExpression" && (node["arguments"] as unknown[]).length === 0) {
    return calleeName(node) === "Date" ? "new Date()" : undefined;
  }
  if (node.type !== "CallExpression") return undefined;
  const name = calleeName(node);
  return bannedCalls.has(name) && !own.has(name) ? `${name}()` : undefined;
}

/** A name that a file declares or imports is not the global one. */
function namesDeclaredIn(text: string): Set<string> {
  const declared = text.matchAll(/\b(?:function|const|let|class)\s+([\w$]+)|^import\s+(?:type\s)?(?:\{([^}]*)\})?/gm);
  const names = [...declared].flatMap(([, name, imported]) => [name ?? "", ...(imported ?? "").split(/[\s,]+/)]);
  return new Set(names.filter((name) => name !== ""));
}

function calleeName(node: SyntaxNode): string {
  return nameOf(node["callee"]);
}

function nameOf(node: unknown): string {
  return isNode(node) && node.type === "Identifier" ? String(node["name"]) : "";
}

const traces: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/(?<![\w.])\/(?:home|Users|root|work)\/[\w.-]+/g, "an absolute path of somebody's machine"],
  [/\b[A-Z]:\\\\?Users\\/g, "an absolute path of somebody's machine"],
  [/https?:\/\/[\w.-]*(?:registry|artifactory|nexus|verdaccio)[\w.-]*/gi, "the address of a package registry"],
];

/** What a file may have picked up from the machine it was made on. */
export function tracesOfMachines(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) =>
    traces.flatMap(([pattern, what]) =>
      [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${what}: ${match[0]}`),
    ),
  );
}

/** `resolved` would hold the addresses of the registry of whoever made the lockfile. */
export function lockfile(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => path.endsWith("package-lock.json"))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/^\s*"resolved":/gm)].map((match) => `${path}:${lineAt(text, match.index)}: has "resolved"`),
    );
}

function shipped(sources: readonly Source[]): Source[] {
  return sources.filter((source) => isCode(source) && !isTest(source));
}
