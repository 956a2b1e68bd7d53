/** What of a program can be started. */
import type { AnyNode } from "acorn";
import type { BundledModule } from "./bundle.ts";
import { parseModule, readScope } from "./syntax.ts";
import type { Shape } from "./syntax.ts";

/**
 * Every export that may be a function, a server's class or a supervisor, read from the bundle: there types are gone, and what a module re-exports from
 * another file or a package is bound in the same scope. Exports that only running the bundle would tell are listed too.
 */
export function listEntries(bundle: string, modules: readonly BundledModule[]): string[] {
  const tree = parseModule(bundle);
  const scope = readScope(tree);
  const namespaces = readNamespaces(tree.body);
  return modules.flatMap(({ path }, i) => {
    const exported = namespaces.get(path) ?? [];
    const startable = exported.filter(
      ({ binding }) => binding === undefined || isStartable(scope.lookup(binding).shape),
    );
    const names = startable
      .map(({ name }) => name)
      .sort((a, b) => Number(b === "default") - Number(a === "default") || (a < b ? -1 : 1));
    return names.map((name) => (i === 0 ? name : `${path}#${name}`));
  });
}

function isStartable(shape: Shape): boolean {
  return shape.kind !== "value" || shape.isSubclass === true;
}

interface Export {
  readonly name: string;
  /** The top-level name it is bound to; undefined for anything less simple. */
  readonly binding: string | undefined;
}

/**
 * The exports of each member of `modules`. esbuild writes them as `__export(app_exports, { name: () => binding, … })`; a
 * module whose namespace is not of this kind is CommonJS, and has one export we can be sure of.
 */
function readNamespaces(body: readonly AnyNode[]): Map<string, readonly Export[]> {
  const exportsOf = new Map<string, readonly Export[]>();
  const objects = new Map<string, ObjectNode>();
  let modules: ObjectNode | undefined;
  for (const statement of body) {
    if (statement.type === "ExpressionStatement" && statement.expression.type === "CallExpression") {
      const [target, members] = statement.expression.arguments;
      if (target?.type === "Identifier" && members?.type === "ObjectExpression")
        exportsOf.set(target.name, readExports(members));
    } else if (statement.type === "VariableDeclaration") {
      for (const { id, init } of statement.declarations) {
        if (id.type !== "Identifier") continue;
        if (init?.type === "CallExpression") exportsOf.set(id.name, [{ name: "default", binding: undefined }]);
        if (init?.type === "ObjectExpression") objects.set(id.name, init);
      }
    } else if (statement.type === "ExportNamedDeclaration") {
      const local = statement.specifiers[0]?.local;
      modules = local?.type === "Identifier" ? objects.get(local.name) : undefined;
    }
  }
  return modules === undefined ? new Map() : readMembers(modules, exportsOf);
}

type ObjectNode = AnyNode & { type: "ObjectExpression" };

function readExports({ properties }: ObjectNode): Export[] {
  return properties.flatMap((property) => {
    if (property.type !== "Property") return [];
    const name = nameOf(property.key);
    const body = property.value.type === "ArrowFunctionExpression" ? property.value.body : undefined;
    return name === undefined ? [] : [{ name, binding: body?.type === "Identifier" ? body.name : undefined }];
  });
}

function readMembers(
  { properties }: ObjectNode,
  exportsOf: ReadonlyMap<string, readonly Export[]>,
): Map<string, readonly Export[]> {
  const found = new Map<string, readonly Export[]>();
  for (const property of properties) {
    if (property.type !== "Property" || property.value.type !== "Identifier") continue;
    const path = nameOf(property.key);
    if (path !== undefined) found.set(path, exportsOf.get(property.value.name) ?? []);
  }
  return found;
}

function nameOf(key: AnyNode): string | undefined {
  if (key.type === "Identifier") return key.name;
  return key.type === "Literal" ? String(key.value) : undefined;
}
