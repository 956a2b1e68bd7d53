/** Small checks of what a process file says: whoever wrote it, no store may stumble over it. */
import type { Json } from "../lines/json.ts";

/** Something in the file is not what it must be. The message completes "the line is not such: …". */
export class NotSuch extends Error {}

export function object(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new NotSuch(`${what} is no object`);
}

export function text(json: Json, name: string): string {
  const value = json[name];
  if (typeof value === "string") return value;
  throw new NotSuch(`${name} is no text`);
}

export function natural(json: Json, name: string, least = 0): number {
  const value = json[name];
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw new NotSuch(`${name} is no whole number from ${least}`);
}

export function finite(json: Json, name: string): number {
  const value = json[name];
  if (Number.isFinite(value)) return value as number;
  throw new NotSuch(`${name} is no number`);
}

export function flag(json: Json, name: string): boolean {
  const value = json[name];
  if (typeof value === "boolean") return value;
  throw new NotSuch(`${name} is neither true nor false`);
}

export function list<T>(json: Json, name: string, fits: (item: unknown) => item is T): readonly T[] {
  const value = json[name];
  if (Array.isArray(value) && value.every(fits)) return value;
  throw new NotSuch(`${name} is no such list`);
}

export function word<T extends string>(json: Json, name: string, words: readonly T[]): T {
  const value = json[name];
  if (words.includes(value as T)) return value as T;
  throw new NotSuch(`${name} is none of ${words.join(", ")}`);
}

export function matching(json: Json, name: string, pattern: RegExp): string {
  const value = text(json, name);
  if (pattern.test(value)) return value;
  throw new NotSuch(`${name} does not look like one`);
}

export function bytes(json: Json, name: string): Uint8Array {
  const value = matching(json, name, /^[A-Za-z0-9+/]*={0,2}$/);
  const decoded = Buffer.from(value, "base64");
  if (decoded.toString("base64") !== value) throw new NotSuch(`${name} is no base64`);
  return new Uint8Array(decoded);
}

export const isText = (item: unknown): item is string => typeof item === "string";
export const isNatural = (item: unknown): item is number => Number.isSafeInteger(item) && (item as number) >= 0;
