/**
 * The outside world of the end-to-end tests: a plain HTTP server in the test's own process, which no kill of a node
 * reaches. It writes down every request it sees, by idempotency key.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

/** One request, as it arrived. */
export interface Sighting {
  readonly key: string;
  readonly pid: string;
  /** Number of the operation within its process. */
  readonly operation: number;
  readonly step: string;
  /** The step's payload, as text that tells structured values apart. */
  readonly payload: string;
  /** Arrival, counted over all requests. */
  readonly order: number;
}

/** What one operation did outside, however often its request arrived. */
export interface Effect {
  readonly operation: number;
  readonly step: string;
  readonly payload: string;
  readonly times: number;
}

/** What the witness answers to a step: anyone can compute it, and no two steps have the same. */
export function receiptOf(step: string): number {
  return createHash("sha256").update(step).digest().readUInt16BE(0);
}

export class Witness {
  readonly sightings: Sighting[] = [];
  /** What should not have happened. Empty in a good world. */
  readonly complaints: string[] = [];
  /** Operations whose result a process has durably consumed, as `pid/number`: nobody may ask for them again. */
  readonly settled = new Set<string>();
  /** Called before the answer is sent; `answered` when it is out. */
  onSighting: ((sighting: Sighting, answered: Promise<void>) => void | Promise<void>) | undefined;
  /** Answers requests that do not come from an operation. */
  onOther: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  readonly #server: Server;
  readonly #payloads = new Map<string, string>();

  static async open(): Promise<Witness> {
    const witness = new Witness();
    await new Promise<void>((resolve) => witness.#server.listen(0, "127.0.0.1", resolve));
    return witness;
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      // A node that is killed leaves its requests behind; that is what this is about.
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What a process did outside, in the order in which it asked for it. */
  effectsOf(pid: string): Effect[] {
    const byKey = Map.groupBy(
      this.sightings.filter((sighting) => sighting.pid === pid),
      ({ key }) => key,
    );
    return [...byKey.values()]
      .flatMap((sightings) => (sightings[0] === undefined ? [] : { ...sightings[0], times: sightings.length }))
      .map(({ operation, step, payload, times }) => ({ operation, step, payload, times }))
      .sort((a, b) => a.operation - b.operation);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = request.headers["idempotency-key"];
    if (typeof key !== "string" || request.method !== "POST") {
      if (this.onOther !== undefined) return this.onOther(request, response);
      response.end();
      return;
    }
    const { step, payload } = (await json(request)) as { step: string; payload: string };
    const sighting = this.#record(key, step, payload);
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    response.once("finish", resolve);
    await this.onSighting?.(sighting, answered);
    response.end(String(receiptOf(step)));
  }

  #record(key: string, step: string, payload: string): Sighting {
    const [pid = "", number = ""] = key.split("/");
    const sighting = { key, pid, operation: Number(number), step, payload, order: this.sightings.length };
    this.sightings.push(sighting);
    const said = `${step} ${payload}`;
    const before = this.#payloads.get(key) ?? said;
    this.#payloads.set(key, before);
    if (before !== said) this.complaints.push(`key ${key} came with ${said}, and with ${before} before`);
    if (this.settled.has(`${pid}/${number}`))
      this.complaints.push(`key ${key} (${step}) came again after its result was consumed`);
    return sighting;
  }
}
