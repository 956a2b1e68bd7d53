/**
 * A node's health over HTTP, for the probes of orchestrators: `/livez` says whether it should be restarted, `/readyz` whether it does what it
 * is there for. It says nothing of processes, and takes nothing.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PerdureError } from "../base/errors.ts";
import type { Health } from "../engine/health.ts";

/** What both answer, with 200 or 503. */
export interface HealthDocument extends Omit<Health, "isLive" | "isReady"> {
  readonly status: "ok" | "unavailable";
}

export interface HealthOptions {
  /** Whoever reaches it can ask. Default "127.0.0.1": this machine. */
  readonly host?: string;
  /** 0: any that is free. */
  readonly port: number;
  health(): Health | Promise<Health>;
}

export interface HealthServer {
  /** "http://127.0.0.1:9464" */
  readonly url: string;
  close(): Promise<void>;
}

/** What is asked of whom. */
export const healthPaths: ReadonlyMap<string, (health: Health) => boolean> = new Map([
  ["/livez", ({ isLive }) => isLive],
  ["/readyz", ({ isReady }) => isReady],
]);

/** A probe is a line and some headers. Whoever takes longer to send them, or wants more of this, is none. */
const limits = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
};
const maxConnections = 64;

/** Throws LISTEN_FAILED. */
export async function serveHealth({ host = "127.0.0.1", port, health }: HealthOptions): Promise<HealthServer> {
  const server = createServer(limits, (request, response) => {
    answer(request, response, health).catch(() => response.destroy());
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(refused(host, port, error)));
    server.listen({ host, port }, resolve);
  });
  const { address, family, port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function refused(host: string, port: number, error: NodeJS.ErrnoException): PerdureError {
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const why =
    error.code === "EADDRINUSE"
      ? "another program listens there. Choose another port, or stop that one"
      : error.message;
  return new PerdureError("LISTEN_FAILED", `Cannot serve the node's health on ${where}: ${why}.`, {
    cause: error,
    details: { host, port },
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  look: HealthOptions["health"],
): Promise<void> {
  const { method = "", url = "" } = request;
  const isHealthy = healthPaths.get(url.replace(/\?.*$/s, ""));
  // Whatever it sends besides is not read.
  response.setHeader("connection", "close");
  if (isHealthy === undefined) return end(response, 404);
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return end(response, 405);
  }
  const health = await look();
  const ok = isHealthy(health);
  const { state, node, incarnation, sinceMs, message, release } = health;
  const status = ok ? "ok" : "unavailable";
  const document: HealthDocument = { status, state, node, incarnation, sinceMs, message, release };
  end(response, ok ? 200 : 503, document);
}

/** Node leaves the body of an answer to HEAD away by itself. */
function end(response: ServerResponse, code: number, document?: HealthDocument): void {
  const body = document === undefined ? "" : `${JSON.stringify(document)}\n`;
  response.writeHead(code, {
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(body),
    ...(document === undefined ? {} : { "content-type": "application/json" }),
  });
  response.end(body);
}
