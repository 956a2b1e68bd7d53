/**
 * The built-in operation `perdure:fetch`: one request with all its redirects, and the whole response body.
 *
 * Redirects are followed here, by the rules of the Fetch standard, because each hop has to pass the deployment's policy.
 */
import { maxChunkBytes } from "../base/value.ts";
import type { FetchGuard } from "./fetch-policy.ts";

/** What the prelude's `fetch` sends. */
export interface FetchRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  readonly redirect: "follow" | "error" | "manual";
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

/** A larger body could not cross: a response is durable before the process sees any of it. */
const maxBodySizeBytes: number = maxChunkBytes;

const maxRedirects = 20;

interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** Rejects with TypeError for everything that goes wrong, as on the web; with the signal's reason when it aborts. */
export async function performFetch(request: unknown, signal: AbortSignal, guard: FetchGuard): Promise<FetchResult> {
  try {
    return await follow(checkRequest(request), signal, guard);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof TypeError) throw error;
    throw new TypeError("fetch failed", { cause: error });
  }
}

async function follow(request: FetchRequest, signal: AbortSignal, guard: FetchGuard): Promise<FetchResult> {
  let hop = firstHop(request);
  for (let redirects = 0; ; redirects++) {
    guard(hop.url, hop.method);
    const { url, method, headers, body } = hop;
    const response = await fetch(url, { method, headers, body, redirect: "manual", signal });
    const location = isRedirect(response.status) ? response.headers.get("location") : null;
    if (location === null || request.redirect === "manual") return read(response, redirects > 0, method, url);
    await response.body?.cancel();
    if (request.redirect === "error") {
      throw new TypeError(`fetch failed: ${url.href} redirects, and the request was made with redirect: "error"`);
    }
    if (redirects === maxRedirects)
      throw new TypeError(`fetch failed: more than ${maxRedirects} redirects, the last from ${url.href}`);
    hop = nextHop(hop, response.status, location);
  }
}

function firstHop(request: FetchRequest): Hop {
  const url = URL.parse(request.url);
  if (url === null) throw new TypeError(`fetch failed: ${JSON.stringify(request.url)} is not a URL`);
  const headers = new Headers(request.headers.map(([name, value]): [string, string] => [name, value]));
  return { url, method: request.method, headers, body: request.body as Uint8Array<ArrayBuffer> | null };
}

/** The steps of the standard's "HTTP-redirect fetch" that concern a client without an origin of its own. */
function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url.href);
  if (url === null)
    throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${JSON.stringify(location)}, which is not a URL`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${url.protocol}, which is not HTTP`);
  }
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

async function read(response: Response, redirected: boolean, method: string, url: URL): Promise<FetchResult> {
  const { status, statusText } = response;
  const body = response.body === null ? new Uint8Array() : await readBody(response.body, method, url);
  return { url: response.url, status, statusText, headers: [...response.headers], body, redirected };
}

async function readBody(stream: ReadableStream<Uint8Array>, method: string, url: URL): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  // Leaving the loop by a throw cancels the stream and so frees its connection.
  for await (const chunk of stream) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBodySizeBytes) {
      throw new TypeError(
        `fetch failed: the response to ${method} ${url.href} is larger than ${maxBodySizeBytes} bytes (32 MiB). ` +
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
    ["follow", "error", "manual"].includes(request.redirect);
  if (wellFormed) return request;
  throw new TypeError(
    "perdure:fetch takes one argument: { url, method, headers: [name, value][], body: Uint8Array | null, redirect }",
  );
}
