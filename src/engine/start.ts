/** What a start from outside takes along. */
import { createHash } from "node:crypto";
import type { Payload } from "../base/value.ts";

export function argsDigest(entry: string, args: Payload): string {
  const hash = createHash("sha256").update(entry).update("\0").update(args.text);
  for (const chunk of args.chunks ?? []) hash.update(`\0${chunk.length}\0`).update(chunk);
  return hash.digest("hex");
}

/** What the deployment lists, as it is now: read once, when a process starts. */
export function environment(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
