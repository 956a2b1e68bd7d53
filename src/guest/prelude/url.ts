/** `URL` (URL Standard). */
import { toText } from "./intrinsics.ts";
import { percentEncode, percentSets } from "./percent.ts";
import { parseHost } from "./url-host.ts";
import {
  defaultPort,
  encodeQuery,
  isSpecial,
  parsePath,
  parsePort,
  parseUrl,
  serializePath,
  serializeUrl,
  splitPort,
  withoutTabs,
} from "./url-parser.ts";
import type { UrlRecord } from "./url-parser.ts";
import { assignParams, bindParams, URLSearchParams } from "./url-search-params.ts";

type Text = string | { toString(): string };

export class URL {
  #url: UrlRecord;
  #searchParams: URLSearchParams | undefined = undefined;

  constructor(url: Text, base?: Text) {
    if (arguments.length === 0) throw new TypeError("new URL needs a text.");
    const input = toText(url);
    const baseText = base === undefined ? undefined : toText(base);
    const parsed = parse(input, baseText);
    if (parsed === undefined) {
      const relative = baseText === undefined ? "" : ` relative to ${JSON.stringify(baseText)}`;
      const error = new TypeError(`Invalid URL: ${JSON.stringify(input)}${relative}`);
      throw Object.assign(error, { code: "ERR_INVALID_URL", input });
    }
    this.#url = parsed;
  }

  static canParse(url: Text, base?: Text): boolean {
    return parse(toText(url), base === undefined ? undefined : toText(base)) !== undefined;
  }

  static parse(url: Text, base?: Text): URL | null {
    return URL.canParse(url, base) ? new URL(url, base) : null;
  }

  get href(): string {
    return serializeUrl(this.#url);
  }

  set href(text: string) {
    const parsed = parseUrl(toText(text));
    if (parsed === undefined) throw new TypeError(`Invalid URL: ${JSON.stringify(String(text))}`);
    this.#url = parsed;
    this.#updateParams();
  }

  /** "null" for a scheme without origins, such as `file:`. */
  get origin(): string {
    const { scheme, host, path } = this.#url;
    if (scheme === "blob" && typeof path === "string") {
      const inner = parseUrl(path);
      return inner !== undefined && /^https?$/.test(inner.scheme) ? new URL(path).origin : "null";
    }
    return isSpecial(scheme) && scheme !== "file" && host !== null ? `${scheme}://${this.host}` : "null";
  }

  get protocol(): string {
    return `${this.#url.scheme}:`;
  }

  set protocol(text: string) {
    const url = this.#url;
    const scheme = /^([a-z][a-z\d+\-.]*)(:|$)/i.exec(withoutTabs(String(text)))?.[1]?.toLowerCase();
    if (scheme === undefined || isSpecial(scheme) !== isSpecial(url.scheme)) return;
    if (scheme === "file" && (hasCredentials(url) || url.port !== null)) return;
    if (url.scheme === "file" && !url.host) return;
    url.scheme = scheme;
    if (url.port === defaultPort(scheme)) url.port = null;
  }

  get username(): string {
    return this.#url.username;
  }

  set username(text: string) {
    if (canHaveCredentials(this.#url)) this.#url.username = percentEncode(String(text), percentSets.userinfo);
  }

  get password(): string {
    return this.#url.password;
  }

  set password(text: string) {
    if (canHaveCredentials(this.#url)) this.#url.password = percentEncode(String(text), percentSets.userinfo);
  }

  get host(): string {
    const { host, port } = this.#url;
    return `${host ?? ""}${port === null ? "" : `:${port}`}`;
  }

  set host(text: string) {
    setHost(this.#url, String(text), true);
  }

  get hostname(): string {
    return this.#url.host ?? "";
  }

  set hostname(text: string) {
    setHost(this.#url, String(text), false);
  }

  get port(): string {
    return this.#url.port === null ? "" : String(this.#url.port);
  }

  set port(text: string) {
    if (!canHaveCredentials(this.#url)) return;
    if (String(text) === "") this.#url.port = null;
    else setPort(this.#url, withoutTabs(String(text)));
  }

  get pathname(): string {
    return serializePath(this.#url);
  }

  set pathname(text: string) {
    const url = this.#url;
    if (typeof url.path === "string") return;
    parsePath(url, withoutTabs(String(text)));
    if (url.path.length === 0 && url.host === null) url.path = [""];
  }

  get search(): string {
    return this.#url.query ? `?${this.#url.query}` : "";
  }

  set search(text: string) {
    const query = withoutTabs(String(text)).replace(/^\?/, "");
    this.#url.query = String(text) === "" ? null : encodeQuery(query, this.#url.scheme);
    this.#updateParams();
  }

  get searchParams(): URLSearchParams {
    if (this.#searchParams === undefined) {
      this.#searchParams = new URLSearchParams(this.#url.query ?? "");
      bindParams(this.#searchParams, (query) => {
        this.#url.query = query === "" ? null : query;
      });
      this.#updateParams();
    }
    return this.#searchParams;
  }

  get hash(): string {
    return this.#url.fragment ? `#${this.#url.fragment}` : "";
  }

  set hash(text: string) {
    const fragment = withoutTabs(String(text)).replace(/^#/, "");
    this.#url.fragment = String(text) === "" ? null : percentEncode(fragment, percentSets.fragment);
  }

  toString(): string {
    return this.href;
  }

  toJSON(): string {
    return this.href;
  }

  #updateParams(): void {
    if (this.#searchParams !== undefined) assignParams(this.#searchParams, this.#url.query ?? "");
  }
}

function parse(text: string, base: string | undefined): UrlRecord | undefined {
  if (base === undefined) return parseUrl(text);
  const parsedBase = parseUrl(base);
  return parsedBase === undefined ? undefined : parseUrl(text, parsedBase);
}

function hasCredentials(url: UrlRecord): boolean {
  return url.username !== "" || url.password !== "";
}

function canHaveCredentials(url: UrlRecord): boolean {
  return url.host !== null && url.host !== "" && url.scheme !== "file";
}

/** What the `host` and `hostname` setters do. What is not valid changes nothing. */
function setHost(url: UrlRecord, given: string, withPort: boolean): void {
  if (typeof url.path === "string") return;
  const special = isSpecial(url.scheme);
  const text = withoutTabs(given).replace(special ? /[/\\?#][^]*$/ : /[/?#][^]*$/, "");
  const [hostText, portText] = url.scheme === "file" ? [text, undefined] : splitPort(text);
  if (hostText === "") {
    const mayBeEmpty = url.scheme === "file" || (!special && !hasCredentials(url) && url.port === null);
    if (mayBeEmpty && portText === undefined) url.host = "";
    return;
  }
  if (portText !== undefined && !withPort) return;
  const host = parseHost(hostText, special);
  if (host === undefined) return;
  url.host = url.scheme === "file" && host === "localhost" ? "" : host;
  if (portText !== undefined) setPort(url, portText);
}

/** Reads the digits at the beginning; what follows them does not matter. */
function setPort(url: UrlRecord, text: string): void {
  const digits = /^\d+/.exec(text)?.[0];
  const port = digits === undefined ? undefined : parsePort(digits, url.scheme);
  if (port !== undefined) url.port = port;
}
