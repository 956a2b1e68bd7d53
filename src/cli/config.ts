/**
 * The configuration of a deployment: `perdure.config.ts`, `.js`, `.mjs` or `.json`, in the current folder or the nearest one
 * above it. Flags and environment variables come before it.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { durationMs } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import type { EngineOptions } from "../engine/options.ts";
import { checkKeys, Unfit } from "./config-schema.ts";
import type { Config } from "./config-schema.ts";

export interface LoadedConfig {
  /** Undefined without a configuration file. */
  readonly file: string | undefined;
  readonly config: Config;
}

const names = ["perdure.config.ts", "perdure.config.js", "perdure.config.mjs", "perdure.config.json"];

/** The nearest configuration from `folder` upwards. Throws CONFIG_INVALID. */
export async function loadConfig(folder: string): Promise<LoadedConfig> {
  const file = findConfig(folder);
  if (file === undefined) return { file, config: {} };
  return { file, config: checkConfig(file, file.endsWith(".json") ? await readJson(file) : await importDefault(file)) };
}

function findConfig(folder: string): string | undefined {
  for (let place = path.resolve(folder); ; place = path.dirname(place)) {
    const found = names.map((name) => path.join(place, name)).filter((file) => existsSync(file));
    if (found.length > 1)
      throw invalid(found[0] ?? "", undefined, `there is ${found.slice(1).join(" and ")} beside it. Keep one of them`);
    if (found[0] !== undefined) return found[0];
    if (place === path.dirname(place)) return undefined;
  }
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw invalid(file, undefined, `it is not JSON: ${messageOf(cause)}`, cause);
  }
}

async function importDefault(file: string): Promise<unknown> {
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
  } catch (cause) {
    throw invalid(file, undefined, `it cannot be loaded: ${messageOf(cause)}`, cause);
  }
  if (module.default === undefined)
    throw invalid(file, undefined, 'it has no default export. Write: export default { store: "perdure.db" }');
  return module.default;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function invalid(file: string, key: string | undefined, problem: string, cause?: unknown): PerdureError {
  const where = key === undefined ? file : `${file}: ${key}`;
  return new PerdureError("CONFIG_INVALID", `${where}: ${problem}.`, {
    cause,
    details: key === undefined ? { file } : { file, key },
  });
}

/** Throws CONFIG_INVALID, naming the key. */
export function checkConfig(file: string, value: unknown): Config {
  try {
    checkKeys(value, "");
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    throw invalid(file, error.key === "" ? undefined : error.key, error.message);
  }
  return value as Config;
}

/** The part of a configuration that an engine takes as it is; `limits` are completed by the engine's defaults. */
export function engineOptions(
  config: Config,
  defaults: {
    readonly limits: { memoryBytes: number; stackBytes: number };
    readonly pool: { instanceBytes: number; pageCacheBytes: number };
  },
): Pick<
  EngineOptions,
  "operationConcurrency" | "fetchPolicy" | "guestThreads" | "limits" | "closeTimeoutMs" | "keep" | "tombstones" | "keys"
> {
  const { operationConcurrency, fetchPolicy, guestThreads, limits, closeTimeout, keep, tombstones, keys } = config;
  return {
    ...(keep === undefined ? {} : { keep }),
    ...(tombstones === undefined ? {} : { tombstones }),
    ...(keys === undefined ? {} : { keys }),
    ...(operationConcurrency === undefined ? {} : { operationConcurrency }),
    ...(fetchPolicy === undefined ? {} : { fetchPolicy }),
    ...(guestThreads === undefined ? {} : { guestThreads }),
    ...(closeTimeout === undefined ? {} : { closeTimeoutMs: durationMs(closeTimeout) }),
    ...(limits === undefined
      ? {}
      : {
          limits: {
            ...(limits.fuelInterrupts === undefined ? {} : { fuelInterrupts: limits.fuelInterrupts }),
            limits: { ...defaults.limits, ...limits.limits },
            pool: { ...defaults.pool, ...limits.pool },
          },
        }),
  };
}
