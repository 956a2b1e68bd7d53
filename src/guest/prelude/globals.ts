/**
 * The web's globals, as the sandbox has them. Nothing here knows a clock, randomness or the network: all of it stands on
 * the runtime's operations, timers and log, and on the process's seed.
 */
import { AbortController, AbortSignal } from "./abort.ts";
import { Blob, File } from "./blob.ts";
import { console } from "./console.ts";
import { process } from "./env.ts";
import { CustomEvent, Event, EventTarget, reportError } from "./events.ts";
import { fetch } from "./fetch.ts";
import { FormData } from "./form-data.ts";
import { Headers } from "./headers.ts";
import { defineProperty } from "./intrinsics.ts";
import { Performance, performance } from "./performance.ts";
import { Crypto, random } from "./random.ts";
import { ReadableStream, ReadableStreamDefaultController, ReadableStreamDefaultReader } from "./readable-stream.ts";
import { Request } from "./request.ts";
import { Response } from "./response.ts";
import { refuseToClone, structuredClone } from "./structured-clone.ts";
import { TextDecoder } from "./text-decoder.ts";
import { TextEncoder } from "./text-encoder.ts";
import { clearTimeout, setInterval, setTimeout } from "./timers.ts";
import { URLSearchParams } from "./url-search-params.ts";
import { URL } from "./url.ts";

export { setEnv } from "./env.ts";
export { setTimeOrigin } from "./performance.ts";

export interface GlobalsOptions {
  /** What `navigator.userAgent` says. Default "Perdure". */
  readonly userAgent?: string;
}

type Class = abstract new (...args: never[]) => object;

/** Classes, and what `console` shows of their instances. */
const classes: readonly (readonly [name: string, type: Class, shown?: Show])[] = [
  ["AbortController", AbortController, ({ signal }: AbortController) => ({ signal })],
  ["AbortSignal", AbortSignal, ({ aborted }: AbortSignal) => ({ aborted })],
  ["Blob", Blob, ({ size, type }: Blob) => ({ size, type })],
  ["CustomEvent", CustomEvent, ({ type, detail }: CustomEvent) => ({ type, detail })],
  ["Event", Event, ({ type, target }: Event) => ({ type, target })],
  ["EventTarget", EventTarget],
  ["File", File, ({ name, size, type, lastModified }: File) => ({ name, size, type, lastModified })],
  ["FormData", FormData, (form: FormData) => [...form]],
  ["Headers", Headers, (headers: Headers) => Object.fromEntries(headers)],
  ["ReadableStream", ReadableStream, ({ locked }: ReadableStream) => ({ locked })],
  ["ReadableStreamDefaultController", ReadableStreamDefaultController],
  ["ReadableStreamDefaultReader", ReadableStreamDefaultReader],
  ["Request", Request, ({ method, url, headers }: Request) => ({ method, url, headers })],
  [
    "Response",
    Response,
    ({ status, statusText, headers, url, bodyUsed }: Response) => ({ status, statusText, headers, url, bodyUsed }),
  ],
  ["TextDecoder", TextDecoder, ({ encoding }: TextDecoder) => ({ encoding })],
  ["TextEncoder", TextEncoder, ({ encoding }: TextEncoder) => ({ encoding })],
  ["URL", URL, ({ href }: URL) => ({ href })],
  ["URLSearchParams", URLSearchParams, (params: URLSearchParams) => [...params]],
];
type Show = (value: never) => unknown;

/** Classes the sandbox has instances of, but whose names it does not give out. */
const namelessClasses: readonly (readonly [name: string, type: Class])[] = [
  ["Crypto", Crypto],
  ["Performance", Performance],
];

const functions: Readonly<Record<string, unknown>> = {
  setTimeout,
  clearTimeout,
  setInterval,
  // One set of ids, as on the web.
  clearInterval: (id?: unknown) => clearTimeout(id),
  structuredClone,
  fetch,
  reportError,
};

/** What the engine brings along and the sandbox does without: shared memory, and a second machine inside this one. */
const unwanted = ["WebAssembly", "SharedArrayBuffer", "Atomics"];

const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/** Defines the web's globals on `target`, the sandbox's global object, as on the web: writable and not enumerable. */
export function installGlobals(target: object, options: GlobalsOptions = {}): void {
  for (const name of unwanted) Reflect.deleteProperty(target, name);
  const define = (name: string, value: unknown): unknown => hide(target, name, value);
  for (const [name, type, shown] of classes) {
    nameClass(name, type, shown);
    define(name, type);
  }
  for (const [name, type] of namelessClasses) nameClass(name, type);
  refuseToClone(
    [...classes, ...namelessClasses].map(([, type]) => type).filter((type) => type !== Blob && type !== File),
  );
  for (const name of Object.keys(functions)) {
    // Minification took the names away.
    defineProperty(functions[name] as object, "name", { value: name, configurable: true });
    define(name, functions[name]);
  }
  const namespace = <T extends object>(value: T, tag: string): T => hide(value, Symbol.toStringTag, tag, false);
  define("console", namespace(console as object, "console"));
  define("crypto", new Crypto());
  define("performance", performance);
  define("process", namespace(process, "process"));
  define("navigator", namespace({ userAgent: options.userAgent ?? "Perdure" }, "Navigator"));
  define("self", target);
  hide(Math, "random", random);
  defineProperty(random, "name", { value: "random", configurable: true });
}

function nameClass(name: string, type: Class, shown?: Show): void {
  defineProperty(type, "name", { value: name, configurable: true });
  const prototype = type.prototype as object;
  hide(prototype, Symbol.toStringTag, name, false);
  if (shown === undefined) return;
  const show = function (
    this: never,
    depth: number,
    _options: unknown,
    inspect: (value: unknown, depth: number) => string,
  ): string {
    return `${name} ${inspect(shown(this), depth)}`;
  };
  hide(prototype, inspectCustom, show);
}

function hide<T extends object>(target: T, name: PropertyKey, value: unknown, writable = true): T {
  return defineProperty(target, name, { value, writable, enumerable: false, configurable: true });
}
