/** The host functions of the programs, when those run in plain Node, as the oracle: nothing fails that retries would hide. */
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { show } from "../../fixtures/durable/show.ts";
import { receiptOf } from "./witness.ts";

/** What a run did besides its result. */
export interface Recording {
  readonly effects: { readonly step: string; readonly payload: string }[];
  readonly logs: string[];
}

export const recorder: AsyncLocalStorage<Recording> = new AsyncLocalStorage();

async function tell(step: string, payload: unknown): Promise<number> {
  recorder.getStore()?.effects.push({ step, payload: show(payload) });
  await wait(1);
  return receiptOf(step);
}

export async function effect(step: string, payload: unknown = null): Promise<number> {
  return await tell(step, payload);
}

export async function slowly(step: string, delayMs: number): Promise<number> {
  const receipt = await tell(step, null);
  await wait(delayMs);
  return receipt;
}

export async function flaky(step: string): Promise<number> {
  return await tell(step, null);
}

class OutOfStock extends Error {
  override name = "OutOfStock";
}

export async function refuse(step: string): Promise<never> {
  await tell(step, null);
  throw new OutOfStock(`no ${step} left`, { cause: new RangeError("stock is 0") });
}

export async function hopeless(step: string): Promise<never> {
  await tell(step, null);
  throw new TypeError(`${step} fails every time`);
}

export const once = effect;

export async function mirror<T>(step: string, value: T): Promise<T> {
  await tell(step, value);
  return structuredClone(value);
}
