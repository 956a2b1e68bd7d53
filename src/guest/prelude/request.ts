/** `Request` (Fetch Standard), without what only a browser's pages need: modes, credentials, caches, referrers. */
import { AbortSignal, followingSignal } from "./abort.ts";
import { Body, copyBody, extractBody, takeBody } from "./body.ts";
import type { BodyContent, BodyInit } from "./body.ts";
import { openStream } from "./byte-stream.ts";
import { Headers } from "./headers.ts";
import type { HeadersInit } from "./headers.ts";
import { toText } from "./intrinsics.ts";
import { ReadableStream } from "./readable-stream.ts";
import { parseUrl, serializeUrl } from "./url-parser.ts";

export type RequestRedirect = "follow" | "error" | "manual";

export interface RequestInit {
  readonly method?: string;
  readonly headers?: HeadersInit;
  readonly body?: BodyInit | null;
  readonly redirect?: RequestRedirect;
  readonly signal?: AbortSignal | null;
  readonly integrity?: string;
  /** A body that is a stream needs it: the answer comes when all of the request was sent. */
  readonly duplex?: "half";
  /**
   * Perdure's own. True: the host adds an `Idempotency-Key` header that is the same at every attempt to send the request and
   * differs from every other request's. A text: that is the key. Either way the request is sent at least once.
   */
  readonly idempotencyKey?: boolean | string;
}

interface Parts {
  readonly url: string;
  readonly method: string;
  readonly redirect: RequestRedirect;
  readonly source: AbortSignal | null;
  /** The host is to make an idempotency key. */
  readonly wantsKey: boolean;
}

const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const normalizedMethods: ReadonlySet<string> = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
const forbiddenMethods: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);
const redirects: ReadonlySet<unknown> = new Set(["follow", "error", "manual"]);

/** The signal a request follows, without making it one of its own. */
export let signalOf: (request: Request) => AbortSignal | null;
/** Whether the host is to make an idempotency key for it. */
export let wantsKey: (request: Request) => boolean;

export class Request extends Body {
  readonly #parts: Parts;
  /** Made when it is asked for, so that a signal that lives long does not collect one follower for each request. */
  #signal: AbortSignal | undefined = undefined;

  static {
    signalOf = (request) => request.#signal ?? request.#parts.source;
    wantsKey = (request) => request.#parts.wantsKey;
  }

  constructor(input: Request | string | { toString(): string }, init: RequestInit = {}) {
    const from = input instanceof Request ? input : undefined;
    const options = init ?? {};
    if (options.integrity !== undefined && options.integrity !== "") {
      throw new TypeError(
        "fetch does not check `integrity` in the sandbox; compare a hash in a host function instead.",
      );
    }
    const headers = new Headers(options.headers ?? from?.headers);
    const parts: Parts = {
      url: from === undefined ? absoluteUrl(input) : from.url,
      method: options.method === undefined ? (from?.method ?? "GET") : checkedMethod(options.method),
      redirect: checkedRedirect(options.redirect ?? from?.redirect ?? "follow"),
      source: options.signal === undefined ? (from === undefined ? null : signalOf(from)) : options.signal,
      wantsKey: requestKey(options.idempotencyKey, from !== undefined && wantsKey(from), headers),
    };
    if (parts.source !== null && !(parts.source instanceof AbortSignal)) {
      throw new TypeError("A request's signal must be an AbortSignal.");
    }
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
  /** The answer comes when all of the request was sent. */
  get duplex(): "half" {
    return "half";
  }
  get signal(): AbortSignal {
    this.#signal ??= followingSignal(this.#parts.source);
    return this.#signal;
  }

  clone(): Request {
    const content = copyBody(this);
    const { url, method, headers, redirect, duplex } = this;
    const body = content === null || content instanceof ReadableStream ? content : openStream(content);
    const { wantsKey: idempotencyKey } = this.#parts;
    return new Request(url, { method, headers, redirect, duplex, body, signal: signalOf(this), idempotencyKey });
  }
}

/** Sets the content type the body implies. */
function requestBody(
  method: string,
  init: RequestInit,
  from: Request | undefined,
  headers: Headers,
): BodyContent | null {
  const given = init.body ?? null;
  if ((method === "GET" || method === "HEAD") && (given ?? from?.body ?? null) !== null) {
    throw new TypeError(`A ${method} request cannot have a body.`);
  }
  if (init.duplex !== undefined && init.duplex !== "half") {
    throw new TypeError(`duplex is "half", not ${JSON.stringify(init.duplex)}.`);
  }
  if (given === null) return from === undefined ? null : takeBody(from);
  const { content, type } = extractBody(given);
  if (content instanceof ReadableStream && init.duplex === undefined) {
    throw new TypeError('A request whose body is a stream must say so: add duplex: "half".');
  }
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return content;
}

const keyHeader = "idempotency-key";

/** Whether the host is to make a key; one of the program's own becomes a header here. */
function requestKey(key: unknown, isInherited: boolean, headers: Headers): boolean {
  if (key === undefined) return isInherited && !headers.has(keyHeader);
  if (typeof key === "string" && key.trim() !== "") headers.set(keyHeader, key);
  else if (typeof key !== "boolean") {
    throw new TypeError(`idempotencyKey is true, false or a text that is not empty, not ${JSON.stringify(key)}.`);
  }
  if (key === true && headers.has(keyHeader)) {
    throw new TypeError("The request has an Idempotency-Key header already: leave it out, or idempotencyKey.");
  }
  return key === true;
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
