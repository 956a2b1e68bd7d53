/**
 * The bank outside: a real HTTP server that records every request, and drops, delays, doubles and cuts them. It keeps its
 * books in memory, for it is not the bank that is tried here.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../simulation/dice.ts";
import type { Transfer } from "./program/transfer.ts";

export interface Payment {
  readonly way: string;
  readonly id: string;
  readonly key: string;
  readonly cents: number;
  /** The node that asked for it, when it began to, and when the request came: the latter by the bank's clock. */
  readonly node: string;
  readonly beganAtMs: number;
  readonly atMs: number;
}

type Fault = "none" | "drop" | "cut" | "half" | "twice" | "closed";

/** Less than any timeout: a payment that was asked for is made by then. */
const longestDelayMs = 350;

export class Peer {
  readonly #dice: Dice;
  readonly #server: Server;
  /** Every request to pay, whatever came of it. */
  readonly requests: Payment[] = [];
  /** Every payment made. */
  readonly payments: Payment[] = [];
  readonly faults: Map<Fault | "late", number> = new Map();
  /** Payments refused because their key was known. */
  repeated = 0;
  calm = false;

  constructor(dice: Dice) {
    this.#dice = dice;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, what, rest = ""] = (request.url ?? "").split("/");
    const body = await read(request);
    if (what === "payments") return await this.#look(decodeURIComponent(rest), response);
    const { id, cents } = JSON.parse(body) as Transfer;
    const header = (name: string): string => String(request.headers[name] ?? "");
    const from = { node: header("x-node"), beganAtMs: Number(header("x-began")), atMs: Date.now() };
    await this.#pay({ way: rest, id, key: header("idempotency-key"), cents, ...from }, response);
  }

  async #look(key: string, response: ServerResponse): Promise<void> {
    const fault = this.#fault(["drop", "half", "closed"]);
    await this.#delay();
    if (fault === "drop") return void response.destroy();
    if (fault === "closed") return reply(response, 503, { closed: true });
    const made = this.payments.filter((payment) => payment.key === key);
    await this.#reply(response, made.length > 0 ? 200 : 404, { made }, fault === "half");
  }

  async #pay(payment: Payment, response: ServerResponse): Promise<void> {
    this.requests.push(payment);
    const knowsKeys = payment.way === "keyed" || payment.way === "fetched";
    const fault = this.#fault(["drop", "cut", "half", "closed", ...(knowsKeys ? (["twice"] as const) : [])]);
    await this.#delay();
    if (fault === "drop") return void response.destroy();
    if (fault === "closed") return reply(response, 503, { closed: true });
    for (let times = fault === "twice" ? 2 : 1; times > 0; times--) this.#make(payment, knowsKeys);
    // Whoever asked may be dead by now: the payment is made all the same.
    if (response.socket?.destroyed === true) this.#count("late");
    if (fault === "cut") return void response.destroy();
    await this.#reply(response, 200, { made: true }, fault === "half");
  }

  #make(payment: Payment, knowsKeys: boolean): void {
    if (knowsKeys && this.payments.some(({ key }) => key === payment.key)) this.repeated++;
    else this.payments.push(payment);
  }

  #fault(kinds: readonly Fault[]): Fault {
    const fault = !this.calm && this.#dice.chance(0.25) ? this.#dice.pick(kinds) : "none";
    this.#count(fault);
    return fault;
  }

  #count(fault: Fault | "late"): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  async #delay(): Promise<void> {
    if (!this.calm && this.#dice.chance(0.6)) await sleep(this.#dice.int(1, longestDelayMs));
  }

  async #reply(response: ServerResponse, status: number, body: unknown, half: boolean): Promise<void> {
    if (!half) return reply(response, status, body);
    const text = JSON.stringify(body);
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
    response.write(text.slice(0, Math.floor(text.length / 2)));
    await sleep(5);
    response.destroy();
  }
}

async function read(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}
