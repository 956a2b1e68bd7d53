/**
 * `fetch`: one operation, `perdure:fetch`. The whole body of the answer is durable before the program sees any of it.
 *
 * Methods that may be repeated safely (RFC 9110: safe or idempotent), and requests bearing an `Idempotency-Key`, are sent
 * again after a node's death; others are sent at most once, and reject with OPERATION_UNCERTAIN if it is unknown whether
 * they arrived. A network error rejects with a TypeError, as on the web.
 */
import { issueOperation } from "../runtime.ts";
import type { IssuedOperation } from "../runtime.ts";
import { takeBody } from "./body.ts";
import { copyBytes } from "./intrinsics.ts";
import { Request, signalOf } from "./request.ts";
import type { RequestInit } from "./request.ts";
import { responseOf } from "./response.ts";
import type { FetchResult, Response } from "./response.ts";

/** TRACE is idempotent too, but no program can send one. */
const repeatableMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export async function fetch(input: Request | string | { toString(): string }, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const signal = signalOf(request);
  signal?.throwIfAborted();
  const operation = send(request);
  const abort = (): void => operation.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  try {
    return responseOf((await operation.promise) as FetchResult);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function send(request: Request): IssuedOperation {
  const { url, method, headers, redirect } = request;
  const body = alone(takeBody(request)?.bytes);
  const repeatable = repeatableMethods.has(method) || headers.has("idempotency-key");
  const options = JSON.stringify({ mode: repeatable ? "at-least-once" : "at-most-once" });
  return issueOperation("perdure:fetch", [{ url, method, headers: [...headers], body, redirect }], options);
}

/** A view crosses the border with the whole of its buffer: bytes that are a slice of a larger one leave it behind. */
function alone(bytes: Uint8Array | undefined): Uint8Array | null {
  if (bytes === undefined) return null;
  return bytes.length === bytes.buffer.byteLength ? bytes : copyBytes(bytes);
}
