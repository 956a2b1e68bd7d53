/**
 * Finds host functions in the deployment's `"use host"` modules. A module is imported when the first of its functions is
 * needed, and stays imported: a deployment changes by a new start of Node.
 */
import { pathToFileURL } from "node:url";
import { PerdureError } from "../base/errors.ts";
import { settingsOf } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { describeError } from "./errors.ts";

export interface HostModule {
  /** As operations are named: `path#export`. */
  readonly path: string;
  /** Absolute. JavaScript, or TypeScript outside `node_modules`, whose types Node strips itself. */
  readonly file: string;
}

export type ModuleExports = Readonly<Record<string, unknown>>;

export interface HostModulesOptions {
  /** Loads a module by file URL. Default: Node's own `import()`. */
  readonly import?: (url: string) => Promise<ModuleExports>;
}

export interface HostModules {
  /**
   * The function named `path#export`, or else the one whose `operation({ name })` is this name. Answers without a promise
   * once it is known. Fails with OPERATION_UNAVAILABLE, saying where it looked and what is wrong there.
   */
  resolve(name: string): HostFunction | Promise<HostFunction>;
}

/** Throws ARGUMENT_INVALID if two modules have one path. */
export function createHostModules(modules: readonly HostModule[], options: HostModulesOptions = {}): HostModules {
  return new ModuleTable(modules, options.import ?? importModule);
}

function importModule(url: string): Promise<ModuleExports> {
  return import(url) as Promise<ModuleExports>;
}

/** What an import gave. Failures are values here, since a search through many modules must survive them. */
type Loaded = { readonly exports: ModuleExports } | { readonly problem: string; readonly cause: unknown };

class ModuleTable implements HostModules {
  readonly #modules = new Map<string, HostModule>();
  readonly #import: (url: string) => Promise<ModuleExports>;
  readonly #found = new Map<string, HostFunction>();
  /** Imports that worked or are under way. One that failed may be tried again: its file may come back. */
  readonly #loading = new Map<string, Promise<Loaded>>();

  constructor(modules: readonly HostModule[], load: (url: string) => Promise<ModuleExports>) {
    for (const module of modules) {
      const other = this.#modules.get(module.path);
      if (other !== undefined) {
        const message = `Two host modules have the path ${JSON.stringify(module.path)}: ${other.file} and ${module.file}. Give each its own.`;
        throw new PerdureError("ARGUMENT_INVALID", message);
      }
      this.#modules.set(module.path, module);
    }
    // Async, so that a hook that throws at once fails like one that rejects.
    this.#import = async (url) => load(url);
  }

  resolve(name: string): HostFunction | Promise<HostFunction> {
    return this.#found.get(name) ?? this.#search(name);
  }

  async #search(name: string): Promise<HostFunction> {
    const hash = name.lastIndexOf("#");
    const module = this.#modules.get(name.slice(0, Math.max(hash, 0)));
    const direct = module === undefined ? undefined : await this.#inModule(module, name.slice(hash + 1));
    if (typeof direct === "function") return this.#keep(name, direct);
    const aliased = await this.#byAlias(name);
    if (typeof aliased === "function") return this.#keep(name, aliased);
    // Where the module is known, what is wrong with it says more than a list of all the others.
    const { problem, cause } = direct ?? aliased;
    throw new PerdureError("OPERATION_UNAVAILABLE", `Operation ${JSON.stringify(name)} is not available: ${problem}`, {
      cause,
      details: { operation: name },
    });
  }

  #keep(name: string, fn: HostFunction): HostFunction {
    this.#found.set(name, fn);
    return fn;
  }

  async #inModule(module: HostModule, exportName: string): Promise<HostFunction | Problem> {
    const loaded = await this.#load(module);
    if ("problem" in loaded) return loaded;
    const { exports } = loaded;
    const value = Object.hasOwn(exports, exportName) ? exports[exportName] : undefined;
    if (typeof value === "function") return value as HostFunction;
    const names = Object.keys(exports);
    const what = Object.hasOwn(exports, exportName)
      ? `its export ${exportName} is no function (${typeof value})`
      : `it has no export ${exportName}; it exports ${names.length === 0 ? "nothing" : names.join(", ")}`;
    return { problem: `${where(module)} was imported, but ${what}.`, cause: undefined };
  }

  /** Looks through the explicit names of all modules; so it has to import them all. */
  async #byAlias(name: string): Promise<HostFunction | Problem> {
    const problems: string[] = [];
    const matches = new Map<HostFunction, string>();
    const all = [...this.#modules.values()];
    const loads = await Promise.all(all.map((module) => this.#load(module)));
    for (const [index, loaded] of loads.entries()) {
      const module = all[index];
      if (module === undefined) continue;
      if ("problem" in loaded) {
        problems.push(loaded.problem);
        continue;
      }
      for (const [exportName, value] of Object.entries(loaded.exports)) {
        if (typeof value !== "function") continue;
        const fn = value as HostFunction;
        // One function exported twice, under a second name or by a second module, is still one.
        if (settingsOf(fn).name === name && !matches.has(fn)) matches.set(fn, `${module.path}#${exportName}`);
      }
    }
    const [first] = matches.keys();
    if (matches.size === 1 && first !== undefined) return first;
    if (matches.size > 1) {
      return {
        problem: `several operations claim this name: ${[...matches.values()].join(", ")}. Leave it to one.`,
        cause: undefined,
      };
    }
    return { problem: this.#nowhere(problems), cause: undefined };
  }

  #nowhere(problems: readonly string[]): string {
    const places = [...this.#modules.values()].map(where);
    const looked = places.length === 0 ? "this deployment has no host modules" : `looked in ${places.join(", ")}`;
    const advice = `If its file was renamed, give the function this name: operation({ name: … }, …).`;
    return [`no host module offers it (${looked}).`, ...problems, advice].join(" ");
  }

  #load(module: HostModule): Promise<Loaded> {
    let loading = this.#loading.get(module.path);
    if (loading === undefined) {
      loading = this.#importOnce(module);
      this.#loading.set(module.path, loading);
    }
    return loading;
  }

  async #importOnce(module: HostModule): Promise<Loaded> {
    try {
      return { exports: await this.#import(pathToFileURL(module.file).href) };
    } catch (error) {
      this.#loading.delete(module.path);
      return { problem: `${where(module)} cannot be imported: ${describeError(error)}.`, cause: error };
    }
  }
}

interface Problem {
  readonly problem: string;
  readonly cause: unknown;
}

function where(module: HostModule): string {
  return `${module.path} (${module.file})`;
}
