"use host";
/** The ways to a bank outside that loses requests and answers. */
import { idempotencyKey, NonRetryableError, operation, signal } from "perdure/host";
import type { Reconciled } from "perdure/host";
import { reconciledTimeoutMs } from "./transfer.ts";
import type { Transfer } from "./transfer.ts";

const address = process.env["PERDURE_STORM_PEER"] ?? "";
const node = process.env["PERDURE_STORM_NODE"] ?? "";

export async function peer(): Promise<string> {
  return address;
}

/** Something for a node to do that leaves no trace. */
export async function noted(number: number): Promise<number> {
  return number;
}

/** The bank has said that it did not take the payment. Any other failure says nothing. */
class Refused extends NonRetryableError {}

async function post(way: string, transfer: Transfer): Promise<void> {
  const response = await fetch(`${address}/pay/${way}`, {
    method: "POST",
    headers: {
      "Idempotency-Key": idempotencyKey(),
      "Content-Type": "application/json",
      // Who calls, and since when: nobody can help it if the machine stands still in the middle.
      "X-Node": node,
      "X-Began": String(Date.now()),
    },
    body: JSON.stringify(transfer),
    signal: signal(),
  });
  if (response.status === 503) throw new Refused("The bank is closed.");
  await response.json();
}

const patient = { maxAttempts: Infinity, initialDelay: 20, maxDelay: 400 } as const;

/** The bank knows the key. */
export const payKeyed = operation({ retry: patient, timeout: "2s" }, async (transfer: Transfer) => {
  await post("keyed", transfer).catch((error: unknown) => {
    throw error instanceof Refused ? new Error(error.message) : error;
  });
});

/** The bank does not look at the key. What the network swallowed is as unknown as what the node's death did. */
export const payOnce = operation({ mode: "at-most-once", timeout: "2s" }, async (transfer: Transfer) => {
  try {
    await post("once", transfer);
  } catch (error) {
    if (error instanceof Refused) throw error;
    // The timeout makes it uncertain, and nothing else can.
    await new Promise((resolve) => signal().addEventListener("abort", resolve));
  }
});

/** The bank does not refuse a second payment, but it can be asked for the first one. */
export const payReconciled = operation(
  {
    timeout: reconciledTimeoutMs,
    retry: patient,
    reconcile: async (key: string): Promise<Reconciled<void>> => {
      const response = await fetch(`${address}/payments/${encodeURIComponent(key)}`, { signal: signal() });
      if (response.status === 404) return { done: false };
      if (!response.ok) throw new Error(`The bank answers ${response.status}.`);
      await response.json();
      return { done: true, value: undefined };
    },
  },
  async (transfer: Transfer): Promise<void> => {
    await post("reconciled", transfer);
  },
);
