/**
 * What a module's syntax tree tells of its exports without running it. The trees come from esbuild's output, so there is no
 * TypeScript in them, and names that a module re-exports are bound in the same scope.
 */
import { parse } from "acorn";
import type { AnyNode, Expression, Program } from "acorn";

export type Shape =
  | { readonly kind: "async" }
  /** A call, an import, a property …: only running it would tell. */
  | { readonly kind: "unknown" }
  /** A function that is not async, or a generator. `what` is for messages, as in "a class". */
  | { readonly kind: "function"; readonly what: string }
  /** Certainly not callable. A class that extends another may be that of a server, which can be started. */
  | { readonly kind: "value"; readonly what: string; readonly isSubclass?: boolean };

const unknown: Shape = { kind: "unknown" };

export interface Scope {
  readonly tree: Program;
  /** What a top-level name is bound to, and where in the text it is declared (−1: nowhere). */
  lookup(name: string): { readonly shape: Shape; readonly offset: number };
}

interface Binding {
  readonly offset: number;
  /** Undefined where the declaration says nothing: imports and patterns. */
  readonly node: AnyNode | undefined;
  /** `var x;`: only assignments tell. */
  readonly empty: boolean;
}

export function parseModule(text: string): Program {
  return parse(text, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true });
}

export function readScope(tree: Program): Scope {
  const bindings = readBindings(tree);
  let assignments: Map<string, AnyNode[]> | undefined;
  const assigned = (name: string): readonly AnyNode[] => (assignments ??= readAssignments(tree)).get(name) ?? [];

  const lookup = (name: string, seen: readonly string[] = []): { shape: Shape; offset: number } => {
    const binding = bindings.get(name);
    if (binding === undefined || seen.includes(name)) return { shape: unknown, offset: -1 };
    const { node, offset, empty } = binding;
    if (node === undefined && !empty) return { shape: unknown, offset };
    const path = [...seen, name];
    const first = node === undefined ? [] : [shapeOf(node, (other) => lookup(other, path).shape)];
    // The tree is searched for assignments only if the declaration alone would condemn the binding.
    if (first[0] !== undefined && first[0].kind !== "value" && first[0].kind !== "function")
      return { shape: first[0], offset };
    const later = assigned(name).map((value) => shapeOf(value, (other) => lookup(other, path).shape));
    return { shape: agree([...first, ...later]), offset };
  };
  return { tree, lookup: (name) => lookup(name) };
}

/** The one shape of a binding that was given several values: certain only if they all are. */
function agree(shapes: readonly Shape[]): Shape {
  const first = shapes[0];
  if (first === undefined) return { kind: "value", what: "undefined" };
  return shapes.every((shape) => shape.kind === first.kind) ? first : unknown;
}

function readBindings(tree: Program): Map<string, Binding> {
  const bindings = new Map<string, Binding>();
  for (const statement of tree.body) {
    switch (statement.type) {
      case "FunctionDeclaration":
      case "ClassDeclaration":
        bindings.set(statement.id.name, { offset: statement.id.start, node: statement, empty: false });
        break;
      case "VariableDeclaration":
        for (const { id, init } of statement.declarations) {
          if (id.type !== "Identifier") continue;
          bindings.set(id.name, { offset: id.start, node: init ?? undefined, empty: init == null });
        }
        break;
      case "ImportDeclaration":
        for (const { local } of statement.specifiers) {
          bindings.set(local.name, { offset: local.start, node: undefined, empty: false });
        }
    }
  }
  return bindings;
}

/** Every value assigned to a plain name anywhere in the tree. A name of an inner scope counts too: it makes us less certain. */
function readAssignments(tree: Program): Map<string, AnyNode[]> {
  const found = new Map<string, AnyNode[]>();
  visit(tree, (node) => {
    if (node.type !== "AssignmentExpression") return true;
    visit(node.left, (target) => {
      if (target.type !== "Identifier") return target.type !== "MemberExpression";
      const values = found.get(target.name) ?? [];
      // A pattern or `+=` gives the name something nobody can tell; the assignment itself stands for that.
      values.push(node.operator === "=" && node.left === target ? node.right : node);
      found.set(target.name, values);
      return true;
    });
    return true;
  });
  return found;
}

/** Calls `fn` for a node and everything below it, but for what is below a node for which it says false. */
export function visit(node: AnyNode, fn: (node: AnyNode) => boolean): void {
  if (!fn(node)) return;
  for (const child of Object.values(node) as unknown[]) {
    for (const item of Array.isArray(child) ? (child as unknown[]) : [child]) {
      if (typeof item === "object" && item !== null && typeof (item as AnyNode).type === "string")
        visit(item as AnyNode, fn);
    }
  }
}

function shapeOf(node: AnyNode, lookup: (name: string) => Shape): Shape {
  switch (node.type) {
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return shapeOfFunction(node);
    case "ClassDeclaration":
    case "ClassExpression":
      return { kind: "value", what: "a class", isSubclass: node.superClass != null };
    case "Literal":
      return { kind: "value", what: describeLiteral(node.value) };
    case "TemplateLiteral":
      return { kind: "value", what: "a string" };
    case "ArrayExpression":
      return { kind: "value", what: "an array" };
    case "ObjectExpression":
    case "NewExpression":
      return { kind: "value", what: "an object" };
    case "UnaryExpression":
      return { kind: "value", what: unaryResults[node.operator] ?? "a number" };
    case "Identifier":
      return node.name === "undefined" ? { kind: "value", what: "undefined" } : lookup(node.name);
    case "ParenthesizedExpression":
      return shapeOf(node.expression, lookup);
    case "SequenceExpression":
      return shapeOf(node.expressions.at(-1) as Expression, lookup);
    case "ConditionalExpression":
      return agree([shapeOf(node.consequent, lookup), shapeOf(node.alternate, lookup)]);
    case "CallExpression":
      return isEnum(node) ? { kind: "value", what: "an enum" } : unknown;
    default:
      return unknown;
  }
}

const unaryResults: Readonly<Record<string, string>> = {
  "!": "a boolean",
  delete: "a boolean",
  typeof: "a string",
  void: "undefined",
};

function shapeOfFunction(node: { async: boolean; generator: boolean }): Shape {
  if (node.generator) return { kind: "function", what: node.async ? "an async generator" : "a generator" };
  return node.async ? { kind: "async" } : { kind: "function", what: "a function that is not async" };
}

function describeLiteral(value: unknown): string {
  if (value === null) return "null";
  if (value instanceof RegExp) return "a regular expression";
  return typeof value === "bigint" ? "a bigint" : `a ${typeof value}`;
}

/** What esbuild makes of `enum E { … }`: `((E2) => { …; return E2; })(E || {})`. */
function isEnum(node: AnyNode & { type: "CallExpression" }): boolean {
  const argument = node.arguments[0];
  return (
    node.callee.type === "ArrowFunctionExpression" &&
    node.arguments.length === 1 &&
    argument?.type === "LogicalExpression" &&
    argument.right.type === "ObjectExpression" &&
    argument.right.properties.length === 0
  );
}
