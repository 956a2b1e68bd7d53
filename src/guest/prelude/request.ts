/** `Request` (Fetch Standard), without what only a browser's pages need: modes, credentials, caches, referrers. */
import { AbortSignal, followingSignal } from "./abort.ts";
import { Body, copyBody, extractBody, takeBody } from "./body.ts";
import type { BodyInit } from "./body.ts";
import { openStream } from "./byte-stream.ts";
import type { ByteSource } from "./byte-stream.ts";
import { Headers } from "./headers.ts";
import type { HeadersInit } from "./headers.ts";
import { toText } from "./intrinsics.ts";
import { parseUrl, serializeUrl } from "./url-parser.ts";

export type RequestRedirect = "follow" | "error" | "manual";

export interface RequestInit {
  readonly method?: string;
  readonly headers?: HeadersInit;
  readonly body?: BodyInit | null;
  readonly redirect?: RequestRedirect;
  readonly signal?: AbortSignal | null;
  readonly integrity?: string;
}

interface Parts {
  readonly url: string;
  readonly method: string;
  readonly redirect: RequestRedirect;
  readonly source: AbortSignal | null;
}

const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const normalizedMethods: ReadonlySet<string> = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
const forbiddenMethods: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);
const redirects: ReadonlySet<unknown> = new Set(["follow", "error", "manual"]);

/** The signal a request follows, without making it one of its own. */
export let signalOf: (request: Request) => AbortSignal | null;

export class Request extends Body {
  readonly #parts: Parts;
  /** Made when it is asked for, so that a signal that lives long does not collect one follower for each request. */
  #signal: AbortSignal | undefined = undefined;

  static {
    signalOf = (request) => request.#signal ?? request.#parts.source;
  }

  constructor(input: Request | string | { toString(): string }, init: RequestInit = {}) {
    const from = input instanceof Request ? input : undefined;
    const options = init ?? {};
    if (options.integrity !== undefined && options.integrity !== "") {
      throw new TypeError(
        "fetch does not check `integrity` in the sandbox; compare a hash in a host function instead.",
      );
    }
    const parts: Parts = {
      url: from === undefined ? absoluteUrl(input) : from.url,
      method: options.method === undefined ? (from?.method ?? "GET") : checkedMethod(options.method),
      redirect: checkedRedirect(options.redirect ?? from?.redirect ?? "follow"),
      source: options.signal === undefined ? (from === undefined ? null : signalOf(from)) : options.signal,
    };
    if (parts.source !== null && !(parts.source instanceof AbortSignal)) {
      throw new TypeError("A request's signal must be an AbortSignal.");
    }
    const headers = new Headers(options.headers ?? from?.headers);
    super(headers, requestBody(parts.method, options, from, headers));
    this.#parts = parts;
  }

  get url(): string {
    return this.#parts.url;
  }
  get method(): string {
    return this.#parts.method;
  }
  get redirect(): RequestRedirect {
    return this.#parts.redirect;
  }
  get signal(): AbortSignal {
    this.#signal ??= followingSignal(this.#parts.source);
    return this.#signal;
  }

  clone(): Request {
    const source = copyBody(this);
    const { url, method, headers, redirect } = this;
    const body = source === null ? null : openStream(source);
    return new Request(url, { method, headers, redirect, body, signal: signalOf(this) });
  }
}

/** Sets the content type the body implies. */
function requestBody(
  method: string,
  init: RequestInit,
  from: Request | undefined,
  headers: Headers,
): ByteSource | null {
  const given = init.body ?? null;
  if ((method === "GET" || method === "HEAD") && (given ?? from?.body ?? null) !== null) {
    throw new TypeError(`A ${method} request cannot have a body.`);
  }
  if (given === null) return from === undefined ? null : takeBody(from);
  const { source, type } = extractBody(given);
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return source;
}

function absoluteUrl(input: unknown): string {
  const text = toText(input);
  const url = parseUrl(text);
  if (url === undefined) {
    throw new TypeError(
      `Failed to parse URL from ${JSON.stringify(text)}: a program has no base, so it must be absolute.`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`The URL ${JSON.stringify(text)} contains credentials; send an Authorization header instead.`);
  }
  return serializeUrl(url);
}

function checkedMethod(given: string): string {
  const method = String(given);
  const upper = method.toUpperCase();
  if (!methodToken.test(method) || forbiddenMethods.has(upper)) {
    throw new TypeError(`${JSON.stringify(method)} is not a method fetch can send.`);
  }
  return normalizedMethods.has(upper) ? upper : method;
}

function checkedRedirect(redirect: unknown): RequestRedirect {
  if (!redirects.has(redirect)) {
    throw new TypeError(`redirect is "follow", "error" or "manual", not ${JSON.stringify(redirect)}.`);
  }
  return redirect as RequestRedirect;
}
