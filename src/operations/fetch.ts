/**
 * The built-in operation `perdure:fetch`: one request with all its redirects, and the whole response body.
 *
 * Redirects are followed here, by the rules of the Fetch standard, because each hop has to pass the deployment's policy.
 */
import { maxChunkBytes } from "../base/value.ts";
import { withoutAddresses } from "./fetch-network.ts";
import type { Send } from "./fetch-network.ts";
import type { FetchGuard } from "./fetch-policy.ts";

/** What the prelude's `fetch` sends. */
export interface FetchRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  readonly redirect: "follow" | "error" | "manual";
  /** The host adds an `Idempotency-Key` header: the operation's own key. */
  readonly idempotencyKey?: boolean;
}

/** What it gets. `body` is empty where HTTP has none: for 204, 304 and answers to HEAD. */
export interface FetchResult {
  readonly url: string;
  readonly status: number;
  readonly statusText: string;
  readonly headers: [string, string][];
  readonly body: Uint8Array;
  readonly redirected: boolean;
}

/** What a fetch needs of its surroundings. */
export interface FetchScope {
  readonly signal: AbortSignal;
  readonly guard: FetchGuard;
  readonly send: Send;
  /** The operation's own, the same at every attempt. */
  readonly idempotencyKey: () => string;
}

const maxRedirects = 20;

interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** Rejects with TypeError for everything that goes wrong, as on the web; with the signal's reason when it aborts. */
export async function performFetch(request: unknown, scope: FetchScope): Promise<FetchResult> {
  try {
    return await follow(checkRequest(request), scope);
  } catch (error) {
    if (scope.signal.aborted) throw scope.signal.reason;
    const failure = error instanceof TypeError ? error : new TypeError("fetch failed", { cause: error });
    throw scope.guard.isOpen ? failure : withoutAddresses(failure);
  }
}

async function follow(request: FetchRequest, scope: FetchScope): Promise<FetchResult> {
  const { signal, guard } = scope;
  let hop = firstHop(request, scope);
  // It reaches nobody, so no policy is asked.
  if (hop.url.protocol === "data:")
    return read(await fetch(hop.url, { method: hop.method, signal }), false, hop, guard);
  for (let redirects = 0; ; redirects++) {
    const { url, method, headers, body } = hop;
    guard.check(url, method, headers, body?.length ?? 0);
    const response = await scope.send(url, { method, headers: [...headers], body, redirect: "manual", signal });
    const location = isRedirect(response.status) ? response.headers.get("location") : null;
    if (location === null || request.redirect === "manual") return read(response, redirects > 0, hop, guard);
    await response.body?.cancel();
    if (request.redirect === "error") {
      throw new TypeError(`fetch failed: ${url.href} redirects, and the request was made with redirect: "error"`);
    }
    if (redirects === maxRedirects)
      throw new TypeError(`fetch failed: more than ${maxRedirects} redirects, the last from ${url.href}`);
    hop = nextHop(hop, response.status, location);
  }
}

function firstHop(request: FetchRequest, scope: FetchScope): Hop {
  const url = URL.parse(request.url);
  if (url === null) throw new TypeError(`fetch failed: ${JSON.stringify(request.url)} is not a URL`);
  if (!isHttp(url) && url.protocol !== "data:") {
    throw new TypeError(`fetch failed: ${url.protocol} URLs cannot be fetched, only http:, https: and data:`);
  }
  if (hasCredentials(url))
    throw new TypeError(`fetch failed: the URL of a request to ${url.host} contains credentials`);
  const headers = new Headers(request.headers.map(([name, value]): [string, string] => [name, value]));
  if (request.idempotencyKey === true) headers.set("idempotency-key", scope.idempotencyKey());
  return { url, method: request.method, headers, body: request.body as Uint8Array<ArrayBuffer> | null };
}

function isHttp(url: URL): boolean {
  return url.protocol === "http:" || url.protocol === "https:";
}

function hasCredentials(url: URL): boolean {
  return url.username !== "" || url.password !== "";
}

/** The steps of the standard's "HTTP-redirect fetch" that concern a client without an origin of its own. */
function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(decodedLocation(location), hop.url.href);
  if (url === null)
    throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${JSON.stringify(location)}, which is not a URL`);
  if (!isHttp(url))
    throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${url.protocol}, which is not HTTP`);
  if (hasCredentials(url))
    throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${url.host} with credentials in the URL`);
  if (url.hash === "") url.hash = hop.url.hash;
  const headers = new Headers(hop.headers);
  const becomesGet =
    ((status === 301 || status === 302) && hop.method.toUpperCase() === "POST") ||
    (status === 303 && !/^(get|head)$/i.test(hop.method));
  if (becomesGet) {
    for (const name of ["content-encoding", "content-language", "content-location", "content-type", "content-length"])
      headers.delete(name);
  }
  if (url.origin !== hop.url.origin) {
    for (const name of ["authorization", "proxy-authorization", "cookie", "host"]) headers.delete(name);
  }
  return becomesGet
    ? { url, method: "GET", headers, body: null }
    : { url, method: hop.method, headers, body: hop.body };
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** Headers come as Latin-1; what lies beyond ASCII in this one is UTF-8. */
function decodedLocation(location: string): string {
  return Buffer.from(location, "latin1").toString("utf8");
}

async function read(response: Response, redirected: boolean, hop: Hop, guard: FetchGuard): Promise<FetchResult> {
  const { status, statusText } = response;
  const body =
    response.body === null
      ? new Uint8Array()
      : await readBody(response.body, hop.method, hop.url, guard.maxResponseBytes);
  return { url: response.url, status, statusText, headers: [...response.headers], body, redirected };
}

/** A larger body than 32 MiB could not cross: a response is durable before the process sees any of it. */
async function readBody(
  stream: ReadableStream<Uint8Array>,
  method: string,
  url: URL,
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  // Leaving the loop by a throw cancels the stream and so frees its connection.
  for await (const chunk of stream) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) {
      const limit = maxBytes === maxChunkBytes ? "32 MiB" : "fetchPolicy.maxResponseBytes";
      throw new TypeError(
        `fetch failed: the response to ${method} ${url.href} is larger than ${maxBytes} bytes (${limit}). ` +
          `Ask for a part of it with a Range header, or handle it in a "use host" function.`,
      );
    }
    chunks.push(chunk);
  }
  const body = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}

/** The prelude's requests are well-formed; another caller of `perdure:fetch` learns here what is wrong. */
function checkRequest(value: unknown): FetchRequest {
  const request = value as FetchRequest | null | undefined;
  const wellFormed =
    typeof request === "object" &&
    request !== null &&
    typeof request.url === "string" &&
    typeof request.method === "string" &&
    Array.isArray(request.headers) &&
    request.headers.every((pair: unknown) => Array.isArray(pair) && pair.length === 2) &&
    (request.body === null || request.body instanceof Uint8Array) &&
    ["follow", "error", "manual"].includes(request.redirect) &&
    ["undefined", "boolean"].includes(typeof request.idempotencyKey);
  if (wellFormed) return request;
  throw new TypeError(
    "perdure:fetch takes one argument: { url, method, headers: [name, value][], body: Uint8Array | null, redirect, idempotencyKey?: boolean }",
  );
}
