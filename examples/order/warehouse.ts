// Runs on the host, in Node, with every npm package. Each function stands for a service that does what is asked under one
// idempotency key once, however often it is asked.
"use host";

import { createHash } from "node:crypto";
import { idempotencyKey, NonRetryableError } from "perdure/host";

function reference() {
  return createHash("sha256").update(idempotencyKey()).digest("hex").slice(0, 8);
}

export async function reserve(_id: string) {
  return reference();
}

export async function release(_shelf: string) {}

export async function charge(id: string, cents: number) {
  if (!Number.isInteger(cents)) throw new NonRetryableError(`${cents} is no amount to charge for ${id}`);
  return reference();
}

export async function refund(_receipt: string) {}

export async function ship(id: string, receipt: string) {
  return `parcel for ${id}, paid by ${receipt}`;
}
