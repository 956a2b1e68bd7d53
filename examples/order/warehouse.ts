// Runs on the host, in Node, with every npm package.
"use host";

import { createHash } from "node:crypto";
import { idempotencyKey, operation } from "perdure/host";

/** Stands for a payment service that books each idempotency key once, however often it is asked. */
export async function charge(id: string, cents: number) {
  if (!Number.isInteger(cents)) throw new RangeError(`${cents} is no amount to charge for ${id}`);
  return createHash("sha256").update(idempotencyKey()).digest("hex").slice(0, 8);
}

/** A parcel that may be on its way must not be sent twice: at most once. */
export const ship = operation({ mode: "at-most-once", timeout: "30s" }, async (id: string, receipt: string) => {
  return `parcel for ${id}, paid by ${receipt}`;
});
