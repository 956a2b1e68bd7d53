/** A line that can be cut, slowed down, or go silent: between a client and a server on this machine. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export type Direction = "to-server" | "to-client";

/** What happens to a connection once so many bytes have passed in a direction. Those bytes still arrive. */
export interface Trap {
  readonly direction: Direction;
  readonly afterBytes: number;
  /**
   * `cut`: both ends hear of it. `silence`: neither does, and nothing passes any more. `late`: the client hears of it, and the
   * server does not: it gets the whole piece when `arrive` is called.
   */
  readonly what: "cut" | "silence" | "late";
}

interface Waiting {
  readonly atMs: number;
  readonly deliver: () => void;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isSilent: boolean;
  isLate: boolean;
  /** On its way. */
  readonly waiting: Readonly<Record<Direction, Waiting[]>>;
}

export class Proxy {
  readonly #listener: Server;
  readonly #port: number;
  readonly #pairs = new Set<Pair>();
  #trap: { direction: Direction; leftBytes: number; what: Trap["what"] } | undefined;
  #refuses = false;
  #holds = false;
  #late: { readonly server: Socket; readonly piece: Buffer } | undefined;
  /** Each piece is so late, in either direction. */
  delayMs = 0;
  /** Bytes that have passed, to be compared. */
  readonly passed: Record<Direction, number> = { "to-server": 0, "to-client": 0 };

  /** How often something went to the server after an answer of it. */
  turnarounds = 0;
  #last: Direction = "to-server";

  static async open(port: number): Promise<Proxy> {
    const listener = createServer({ noDelay: true }).listen(0, "127.0.0.1");
    await once(listener, "listening");
    return new Proxy(listener, port);
  }

  private constructor(listener: Server, port: number) {
    this.#listener = listener;
    this.#port = port;
    listener.on("connection", (client: Socket) => this.#connect(client));
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** As the URL of the server, but through here. */
  through(url: string): string {
    return url.replace(`:${this.#port}/`, `:${this.port}/`);
  }

  /** Once, for whichever connection comes first. */
  set(trap: Trap): void {
    this.#trap = { direction: trap.direction, leftBytes: trap.afterBytes, what: trap.what };
  }

  get isSet(): boolean {
    return this.#trap !== undefined;
  }

  disarm(): void {
    this.#trap = undefined;
  }

  /** Lets arrive what was held back by a `late`; resolves when the server has dealt with it. */
  async arrive(): Promise<void> {
    const late = this.#late;
    if (late === undefined) throw new Error("nothing is late");
    const closed = once(late.server, "close");
    late.server.end(late.piece);
    await closed;
  }

  cutAll(): void {
    for (const pair of this.#pairs) this.#end(pair);
  }

  /** While it refuses, nobody gets through. */
  refuse(refuses: boolean): void {
    this.#refuses = refuses;
    if (refuses) this.cutAll();
  }

  /**
   * While it holds, nothing passes and neither end hears of the other's, as in a network that is cut in two: what was sent arrives
   * when it holds no more, also what a client sent that is gone by then.
   */
  hold(holds: boolean): void {
    this.#holds = holds;
    if (!holds) for (const pair of this.#pairs) for (const waiting of Object.values(pair.waiting)) this.#pump(waiting);
  }

  async close(): Promise<void> {
    this.cutAll();
    this.#listener.close();
    await once(this.#listener, "close");
  }

  #connect(client: Socket): void {
    if (this.#refuses) {
      client.on("error", () => undefined).destroy();
      return;
    }
    const server = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    const pair = { client, server, isSilent: false, isLate: false, waiting: { "to-server": [], "to-client": [] } };
    this.#pairs.add(pair);
    client.on("data", (piece: Buffer) => this.#pass(pair, "to-server", piece));
    server.on("data", (piece: Buffer) => this.#pass(pair, "to-client", piece));
    for (const socket of [client, server]) {
      socket.on("error", () => undefined);
      // The end waits for what is on its way, as the network's would.
      socket.on("close", () => {
        if (pair.isLate) return;
        if (this.#holds) this.#endBehind(pair, socket === client ? "to-server" : "to-client");
        else if (this.delayMs > 0) setTimeout(() => this.#end(pair), this.delayMs);
        else this.#end(pair);
      });
    }
  }

  /** When all that is on its way has arrived. */
  #endBehind(pair: Pair, direction: Direction): void {
    const to = direction === "to-server" ? pair.server : pair.client;
    // Destroyed, it would take along what was just written.
    const deliver = (): void => void to.end(() => this.#end(pair)).resume();
    pair.waiting[direction].push({ atMs: 0, deliver });
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }

  #pass(pair: Pair, direction: Direction, piece: Buffer): void {
    if (pair.isSilent) return;
    const trap = this.#trap?.direction === direction ? this.#trap : undefined;
    const caught = trap !== undefined && piece.length >= trap.leftBytes;
    const passing = caught ? piece.subarray(0, trap.leftBytes) : piece;
    if (trap !== undefined) trap.leftBytes -= piece.length;
    this.passed[direction] += passing.length;
    if (direction === "to-server" && this.#last === "to-client") this.turnarounds++;
    this.#last = direction;
    const to = direction === "to-server" ? pair.server : pair.client;
    if (caught && trap.what === "late") {
      this.#trap = undefined;
      this.#pairs.delete(pair);
      pair.isLate = true;
      pair.isSilent = true;
      this.#late = { server: pair.server.resume(), piece };
      pair.client.destroy();
      return;
    }
    const deliver = (): void => {
      if (passing.length > 0 && !to.destroyed) to.write(passing);
      if (!caught) return;
      if (trap.what === "silence") pair.isSilent = true;
      // What was let through is to arrive.
      else to.end(() => this.#end(pair));
    };
    if (caught) this.#trap = undefined;
    if (caught && trap.what === "silence") pair.isSilent = true;
    const waiting = pair.waiting[direction];
    waiting.push({ atMs: performance.now() + this.delayMs, deliver });
    if (waiting.length === 1) this.#pump(waiting);
  }

  /** A piece does not overtake the one before it, also when the line has become faster meanwhile. */
  #pump(waiting: Waiting[]): void {
    for (;;) {
      const [first] = waiting;
      if (first === undefined || this.#holds) return;
      const leftMs = first.atMs - performance.now();
      if (leftMs > 0) {
        setTimeout(() => this.#pump(waiting), leftMs);
        return;
      }
      first.deliver();
      waiting.shift();
    }
  }
}
