/** What a configuration may hold, and the check that it holds nothing else. */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { maxChunkBytes } from "../base/value.ts";
import type { Keep } from "../engine/keep.ts";
import { fetchGuard } from "../operations/fetch-policy.ts";
import type { FetchPolicy } from "../operations/fetch-policy.ts";

/** What a configuration file exports as its default, or holds as JSON. Everything may be left out. */
export interface Config {
  /** Path of the store, from the configuration file's folder, or a `postgres://` URL. Default "perdure.db" in the current folder. */
  readonly store?: string;
  /** Names of environment variables that programs may see. Default none. */
  readonly env?: readonly string[];
  /** Attempts of operations that may run at once. Default 100. */
  readonly operationConcurrency?: number;
  /** Where the programs' `fetch` may go, and with what. Default anywhere; once given, nowhere it does not name. */
  readonly fetchPolicy?: FetchPolicy;
  /** Threads that run guests. Default 1. */
  readonly guestThreads?: number;
  /** Fuel of a turn, memory of a process, memory of the pool: any of these keys. */
  readonly limits?: {
    readonly fuelInterrupts?: number;
    readonly limits?: { readonly memoryBytes?: number; readonly stackBytes?: number };
    readonly pool?: { readonly instanceBytes?: number; readonly pageCacheBytes?: number };
  };
  /** What is kept of finished processes: "forever" (the default), "7 days", or any of `age`, `count`, `failures`. */
  readonly keep?: Keep;
  /** How long after its end the tombstone of a pruned process is kept. Default "forever". */
  readonly tombstones?: Duration;
  /** How long what was asked under a key of the caller's own is remembered. Default "forever". */
  readonly keys?: Duration;
  /** A folder where processes are written before they are pruned, from the configuration file's folder. Default none. */
  readonly archive?: string;
  /** How long a node that stops waits for running operations: "5s". Default 5 seconds. */
  readonly closeTimeout?: Duration;
}

/** Throws `Unfit`. */
type Check = (value: unknown, key: string) => void;

/** A value that cannot be: which key, and what it should have been. */
export class Unfit extends Error {
  readonly key: string;
  constructor(key: string, expected: string, value: unknown) {
    super(`it is ${shown(value)}; it must be ${expected}`);
    this.key = key;
  }
}

function shown(value: unknown): string {
  if (value === null || value === undefined || ["number", "boolean", "bigint"].includes(typeof value))
    return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "function" ? "a function" : "an object";
}

const text: Check = (value, key) => {
  if (typeof value !== "string" || value === "") throw new Unfit(key, "a text", value);
};

const texts: Check = (value, key) => {
  if (!Array.isArray(value)) throw new Unfit(key, "a list of texts", value);
  for (const [index, item] of value.entries()) text(item, `${key}[${index}]`);
};

function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Check {
  const range =
    most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least}` : `a whole number from ${least} to ${most}`;
  return (value, key) => {
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
      throw new Unfit(key, range, value);
  };
}

const duration: Check = (value, key) => {
  try {
    durationMs(value as Duration);
  } catch {
    throw new Unfit(key, 'a duration: milliseconds as a number, or text such as "30s"', value);
  }
};

function object(checks: Readonly<Record<string, Check>>): Check {
  return (value, key) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unfit(key, "an object", value);
    for (const [name, item] of Object.entries(value)) {
      const at = key === "" ? name : `${key}.${name}`;
      const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
      if (check === undefined)
        throw new Unfit(at, `one of the keys there are: ${Object.keys(checks).join(", ")}`, name);
      if (item !== undefined) check(item, at);
    }
  };
}

const policy: Check = (value, key) => {
  object({
    origins: texts,
    methods: texts,
    allowPrivate: (allowed, at) => typeof allowed === "boolean" || texts(allowed, at),
    maxRequestBytes: integer(0, maxChunkBytes),
    maxResponseBytes: integer(0, maxChunkBytes),
  })(value, key);
  try {
    fetchGuard(value as FetchPolicy);
  } catch (error) {
    throw new Unfit(key, `a fetch policy (${error instanceof Error ? error.message : String(error)})`, value);
  }
};

const foreverOrDuration: Check = (value, key) => {
  if (value !== "forever") duration(value, key);
};

const keep: Check = (value, key) => {
  if (typeof value !== "object" || value === null) return foreverOrDuration(value, key);
  object({ age: foreverOrDuration, count: integer(0), failures: foreverOrDuration })(value, key);
};

/** Throws `Unfit` for anything it does not know: a misspelt key would silently do nothing. */
export const checkKeys: (value: unknown, key: string) => void = object({
  store: text,
  env: texts,
  operationConcurrency: integer(1),
  fetchPolicy: policy,
  guestThreads: integer(1, 64),
  limits: object({
    fuelInterrupts: integer(1),
    limits: object({ memoryBytes: integer(1 << 20, 2 ** 32), stackBytes: integer(1 << 14, 1 << 24) }),
    pool: object({ instanceBytes: integer(0), pageCacheBytes: integer(0) }),
  }),
  keep,
  tombstones: foreverOrDuration,
  keys: foreverOrDuration,
  archive: text,
  closeTimeout: duration,
});
