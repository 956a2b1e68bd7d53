/**
 * Which host function an operation stands for. Operations are named by module and export, relative to the folder of their
 * program; the code is the deployment's, so that a process started by an older version calls today's function.
 *
 * One store may hold processes of several programs. A process belongs to the deployment if its program lies in the same folder,
 * or lay in one that is gone (the deployment has moved). Otherwise its functions are looked for beside its own program.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { isPerdureError, PerdureError } from "../base/errors.ts";
import type { HostFunction } from "../operations/definition.ts";
import { createHostModules } from "../operations/modules.ts";
import type { HostModules } from "../operations/modules.ts";
import { readHostModule } from "../program/index.ts";
import type { Program } from "../program/index.ts";

export class HostFunctions {
  /** Hash and folder of the deployed program. */
  readonly #program: string | undefined;
  readonly #folder: string | undefined;
  readonly #deployed: HostModules;
  readonly #programFile: (program: string) => Promise<string | undefined>;
  /** By program, then by name: the second call of an operation needs no promise. */
  readonly #found = new Map<string, Map<string, HostFunction>>();
  /** Modules that the deployed program does not import (any more), by file. */
  readonly #others = new Map<string, HostModules>();

  constructor(deployment: Program | undefined, programFile: (program: string) => Promise<string | undefined>) {
    this.#program = deployment?.hash;
    this.#folder = deployment === undefined ? undefined : path.dirname(deployment.file);
    this.#deployed = createHostModules(deployment?.hostModules ?? []);
    this.#programFile = programFile;
  }

  /** Fails with OPERATION_UNAVAILABLE, saying where it was looked for. */
  resolve(name: string, program: string): HostFunction | Promise<HostFunction> {
    return this.#found.get(program)?.get(name) ?? this.#search(name, program);
  }

  /** Whether all of these are there for a program. Their modules are imported for that, as they would be for the first call. */
  async offers(names: readonly string[], program: string): Promise<boolean> {
    try {
      for (const name of names) await this.resolve(name, program);
      return true;
    } catch {
      return false;
    }
  }

  async #search(name: string, program: string): Promise<HostFunction> {
    const file = program === this.#program ? undefined : await this.#programFile(program);
    const own = file === undefined || !existsSync(file) ? this.#folder : path.dirname(file);
    const fn = own === this.#folder ? await this.#inDeployment(name) : await this.#inFolder(own, name);
    const found = this.#found.get(program) ?? new Map<string, HostFunction>();
    this.#found.set(program, found.set(name, fn));
    return fn;
  }

  async #inDeployment(name: string): Promise<HostFunction> {
    try {
      return await this.#deployed.resolve(name);
    } catch (error) {
      // The program may have stopped importing the module; if the file is still there, its function still serves.
      if (!isPerdureError(error, "OPERATION_UNAVAILABLE") || this.#folder === undefined) throw error;
      return await this.#inFolder(this.#folder, name).catch(() => Promise.reject(error));
    }
  }

  async #inFolder(folder: string | undefined, name: string): Promise<HostFunction> {
    const modulePath = name.slice(0, Math.max(0, name.lastIndexOf("#")));
    const file = folder === undefined ? undefined : path.resolve(folder, modulePath);
    if (folder === undefined || file === undefined || !(await isHostModule(folder, file))) {
      const message = `Operation ${JSON.stringify(name)} is not available: ${file ?? modulePath} is no "use host" module. Bring the file back, or open the engine with the program that has it.`;
      throw new PerdureError("OPERATION_UNAVAILABLE", message, { details: { operation: name } });
    }
    const modules = this.#others.get(file) ?? createHostModules([{ path: modulePath, file }]);
    this.#others.set(file, modules);
    return await modules.resolve(name);
  }
}

async function isHostModule(folder: string, file: string): Promise<boolean> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text !== undefined && (await readHostModule(folder, file, text)).kind === "host";
}
