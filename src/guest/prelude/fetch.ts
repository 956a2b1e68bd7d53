/**
 * `fetch`: one operation, `perdure:fetch`. The whole body of the answer is durable before the program sees any of it, and
 * the whole body of the request is there before it is sent: a stream is read to its end first.
 *
 * Methods that may be repeated safely (RFC 9110: safe or idempotent), and requests bearing an `Idempotency-Key`, are sent
 * again after a node's death; others are sent at most once, and reject with OPERATION_UNCERTAIN if it is unknown whether
 * they arrived. A network error rejects with a TypeError, as on the web.
 */
import { maxChunkBytes } from "../../base/value.ts";
import { issueOperation } from "../runtime.ts";
import type { IssuedOperation } from "../runtime.ts";
import { CancelledError } from "../wait.ts";
import type { AbortSignal } from "./abort.ts";
import { takeBody } from "./body.ts";
import { collect } from "./byte-stream.ts";
import { copyBytes } from "./intrinsics.ts";
import { ReadableStream } from "./readable-stream.ts";
import { Request, signalOf, wantsKey } from "./request.ts";
import type { RequestInit } from "./request.ts";
import { responseOf } from "./response.ts";
import type { FetchResult, Response } from "./response.ts";

/** TRACE is idempotent too, but no program can send one. */
const repeatableMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export async function fetch(input: Request | string | { toString(): string }, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const signal = signalOf(request);
  const content = takeBody(request);
  if (content instanceof ReadableStream && signal?.aborted === true) void content.cancel(signal.reason);
  signal?.throwIfAborted();
  const body = content instanceof ReadableStream ? await readBody(content, signal) : alone(content?.bytes);
  const operation = send(request, body);
  const abort = (): void => operation.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  try {
    return responseOf((await operation.promise) as FetchResult, signal);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function send(request: Request, body: Uint8Array | null): IssuedOperation {
  if (body !== null && body.length > maxChunkBytes) throw tooLarge();
  const { url, method, headers, redirect } = request;
  const key = wantsKey(request) ? { idempotencyKey: true } : {};
  const isRepeatable = repeatableMethods.has(method) || wantsKey(request) || headers.has("idempotency-key");
  const options = JSON.stringify({ mode: isRepeatable ? "at-least-once" : "at-most-once" });
  return issueOperation("perdure:fetch", [{ url, method, headers: [...headers], body, redirect, ...key }], options);
}

/** Reads what the program streams; an abort ends that at once. */
async function readBody(stream: ReadableStream, signal: AbortSignal | null): Promise<Uint8Array> {
  const { bytes, cancel } = collect(stream, maxChunkBytes);
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => {
    cancel(signal?.reason);
    aborted.reject(signal?.reason);
  };
  signal?.addEventListener("abort", abort);
  try {
    return alone(await Promise.race([bytes, aborted.promise]));
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    if (error instanceof CancelledError || (error as Error | null)?.name === "AbortError") throw error;
    throw new TypeError("fetch failed: the body of the request could not be read to its end.", { cause: error });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function tooLarge(): TypeError {
  return new TypeError(
    `fetch failed: the body of a request may have ${maxChunkBytes} bytes (32 MiB). Send it in parts, or from a "use host" function.`,
  );
}

/** A view crosses the border with the whole of its buffer: bytes that are a slice of a larger one leave it behind. */
function alone(bytes: Uint8Array): Uint8Array;
function alone(bytes: Uint8Array | undefined): Uint8Array | null;
function alone(bytes: Uint8Array | undefined): Uint8Array | null {
  if (bytes === undefined) return null;
  return bytes.length === bytes.buffer.byteLength ? bytes : copyBytes(bytes);
}
