/** What is asked of a process under a key, as the store keeps it. */
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { edgeDigestLength, validateEdgeKey } from "../base/edge-key.ts";
import type { Payload } from "../base/value.ts";
import type { Asked } from "../store/port.ts";

const longestAbout = 80;

/**
 * `body` is what is asked, encoded, and without anything that differs from one time to the next; `about` the same in words. Throws
 * ARGUMENT_INVALID.
 */
export function askedUnder(
  key: string,
  state: Asked["state"],
  { body, about }: { readonly body: Payload; readonly about: string },
): Asked {
  validateEdgeKey(key);
  const hash = createHash("sha256").update(state).update("\0").update(body.text);
  for (const chunk of body.chunks ?? []) hash.update(`\0${chunk.length}\0`).update(chunk);
  const short = about.length > longestAbout ? `${about.slice(0, longestAbout - 1).toWellFormed()}…` : about;
  return { key, digest: hash.digest("hex").slice(0, edgeDigestLength), about: short, state };
}

export function aboutMessage(message: unknown): string {
  return `the message ${brief(message)}`;
}

export function aboutCall(method: string, args: readonly unknown[]): string {
  return `${method}(${args.map(brief).join(", ")})`;
}

function brief(value: unknown): string {
  const options = {
    depth: 2,
    breakLength: Infinity,
    compact: true,
    maxArrayLength: 8,
    maxStringLength: 60,
    customInspect: false,
  };
  return inspect(value, options);
}
