/** What of the program can be started, and under which name. A process is started by name, on whatever day and machine. */
import { PerdureError } from "../base/errors.ts";
import { hasOwn } from "../base/value/intrinsics.ts";

/** The user's modules by path, the entry module first. */
export type Modules = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

let modules: Modules = {};
let names: Map<unknown, string> | undefined;

export function setModules(evaluated: Modules): void {
  modules = evaluated;
}

/** Perdure's own entries, whose names begin with `perdure:`. */
const builtins = new Map<string, unknown>();

export function addBuiltin(name: string, value: unknown): void {
  builtins.set(name, value);
}

/** What `entry` names: `name` in the entry module, `path#name` elsewhere, "" for the default export. */
export function lookUp(entry: string): unknown {
  if (builtins.has(entry)) return builtins.get(entry);
  const hash = entry.lastIndexOf("#");
  const path = hash === -1 ? Object.keys(modules)[0] : entry.slice(0, hash);
  const name = (hash === -1 ? entry : entry.slice(hash + 1)) || "default";
  const module = path !== undefined && hasOwn(modules, path) ? modules[path] : undefined;
  return module !== undefined && hasOwn(module, name) ? module[name] : undefined;
}

export function entryNotFound(entry: string): PerdureError {
  return new PerdureError(
    "ENTRY_NOT_FOUND",
    `The program exports no function ${JSON.stringify(entry || "default")} that could be started.`,
  );
}

/** The name that an exported function, class or supervisor can be started by; undefined if there is none. */
export function entryNamed(value: unknown): string | undefined {
  names ??= namesOf(modules);
  return names.get(value);
}

/** The same, for what is about to be spawned. Throws ENTRY_NOT_EXPORTED. */
export function entryOf(value: unknown): string {
  const name = entryNamed(value);
  if (name !== undefined) return name;
  const shown =
    typeof value === "function" ? `The function ${value.name || "without a name"}` : `A value of type ${typeof value}`;
  throw new PerdureError(
    "ENTRY_NOT_EXPORTED",
    `${shown} cannot be spawned: no module of the program exports it. Export it, and hand it what it needs as arguments.`,
  );
}

function namesOf(all: Modules): Map<unknown, string> {
  const found = new Map<unknown, string>();
  Object.keys(all).forEach((path, index) => {
    const module = all[path]!;
    for (const name of Object.keys(module)) {
      const value = module[name];
      const isStartable = typeof value === "function" || (typeof value === "object" && value !== null);
      if (isStartable && !found.has(value)) found.set(value, index === 0 ? name : `${path}#${name}`);
    }
  });
  return found;
}
