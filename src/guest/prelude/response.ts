/** `Response` (Fetch Standard). */
import type { AbortSignal } from "./abort.ts";
import { Body, copyBody, extractBody } from "./body.ts";
import type { BodyContent, BodyInit } from "./body.ts";
import { openStream } from "./byte-stream.ts";
import { Headers, lockHeaders } from "./headers.ts";
import type { HeaderPair, HeadersInit } from "./headers.ts";
import { ReadableStream } from "./readable-stream.ts";
import { parseUrl, serializeUrl } from "./url-parser.ts";

export interface ResponseInit {
  readonly status?: number;
  readonly statusText?: string;
  readonly headers?: HeadersInit;
}

/** What the host answers to `perdure:fetch`. */
export interface FetchResult {
  readonly url: string;
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
  readonly redirected: boolean;
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly type: "default" | "basic" | "error";
  readonly url: string;
  readonly redirected: boolean;
  /** Whether its headers are read-only. */
  readonly locked: boolean;
}

const nullBodyStatuses: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Makes a response that the rules for programs do not allow. */
let make: (head: Head, headers: Headers, content: BodyContent | null) => Response;

export class Response extends Body {
  #head: Head;

  static {
    make = (head, headers, content) => {
      const body = content === null || content instanceof ReadableStream ? content : openStream(content);
      const response = new Response(body, { headers });
      response.#head = head;
      if (head.locked) lockHeaders(response.headers);
      return response;
    };
  }

  constructor(body: BodyInit | null = null, init: ResponseInit = {}) {
    const head = checkedHead(init);
    const headers = new Headers(init?.headers);
    const extracted = body === null ? undefined : extractBody(body);
    if (extracted !== undefined && nullBodyStatuses.has(head.status)) {
      throw new TypeError(`A response of status ${head.status} has no body.`);
    }
    if (extracted?.type !== undefined && !headers.has("content-type")) headers.set("content-type", extracted.type);
    super(headers, extracted?.content ?? null);
    this.#head = head;
  }

  /** A network error: what `fetch` never resolves to. */
  static error(): Response {
    return make({ ...defaultHead, status: 0, type: "error", locked: true }, new Headers(), null);
  }

  static json(data: unknown, init: ResponseInit = {}): Response {
    const text = JSON.stringify(data) as string | undefined;
    if (text === undefined) throw new TypeError(`Response.json cannot write a ${typeof data}.`);
    const headers = new Headers(init?.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...init, headers });
  }

  static redirect(url: string | { toString(): string }, status = 302): Response {
    const parsed = parseUrl(String(url));
    if (parsed === undefined) throw new TypeError(`${JSON.stringify(String(url))} is not an absolute URL.`);
    if (!redirectStatuses.has(status)) throw new RangeError(`${status} is not the status of a redirect.`);
    return make({ ...defaultHead, status, locked: true }, new Headers({ location: serializeUrl(parsed) }), null);
  }

  get status(): number {
    return this.#head.status;
  }
  get ok(): boolean {
    return this.#head.status >= 200 && this.#head.status <= 299;
  }
  get statusText(): string {
    return this.#head.statusText;
  }
  get type(): string {
    return this.#head.type;
  }
  get url(): string {
    return this.#head.url;
  }
  get redirected(): boolean {
    return this.#head.redirected;
  }

  clone(): Response {
    return make(this.#head, this.headers, copyBody(this));
  }
}

const defaultHead: Head = { status: 200, statusText: "", type: "default", url: "", redirected: false, locked: false };

/** As on the web, what was not read when `signal` aborts cannot be read any more, though all of it is there. */
export function responseOf(result: FetchResult, signal: AbortSignal | null): Response {
  const { url, status, statusText, redirected } = result;
  const content = nullBodyStatuses.has(status) ? null : { bytes: result.body, signal };
  const head: Head = { url, status, statusText, redirected, type: "basic", locked: true };
  return make(head, new Headers(result.headers), content);
}

function checkedHead(init: ResponseInit): Head {
  const status = init?.status === undefined ? 200 : Math.trunc(Number(init.status));
  if (!(status >= 200 && status <= 599)) {
    throw new RangeError(`The status of a response is between 200 and 599, not ${String(init.status)}.`);
  }
  const statusText = String(init?.statusText ?? "");
  if (/[^\t\x20-\x7e\x80-\xff]/.test(statusText)) {
    throw new TypeError(`${JSON.stringify(statusText)} is not a valid status text.`);
  }
  return { ...defaultHead, status, statusText };
}
