import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { Asked } from "./port.ts";

/** Throws KEY_CONFLICT if a key is used again for something else. */
export function checkKey(pid: Pid, before: Omit<Asked, "state"> & { readonly atMs: number }, now: Asked): void {
  const { key, digest, about, atMs } = before;
  if (digest === now.digest) return;
  throw new PerdureError(
    "KEY_CONFLICT",
    `The key ${JSON.stringify(key)} was used before with ${pid}, for ${about} at ${new Date(atMs).toISOString()}, and now for ${now.about}. Use another key for another request.`,
    { details: { pid, key, before: about, now: now.about } },
  );
}
