/**
 * The URL Standard's parser. The standard describes it as one machine over characters; here each part is cut out with the
 * characters that end it and read by a function of its own, which the setters of `URL` use as well.
 */
import { percentEncode, percentSets } from "./percent.ts";
import { parseHost } from "./url-host.ts";

export interface UrlRecord {
  /** In lower case, without ":". */
  scheme: string;
  username: string;
  password: string;
  /** As it is written; null if there is none. */
  host: string | null;
  /** Null if it is the scheme's own. */
  port: number | null;
  /** A list of segments, or the text of a path that is not one, as in `mailto:somebody`. */
  path: string[] | string;
  query: string | null;
  fragment: string | null;
}

const defaultPorts: Readonly<Record<string, number | null>> = {
  __proto__: null,
  http: 80,
  https: 443,
  ws: 80,
  wss: 443,
  ftp: 21,
  file: null,
};

export function isSpecial(scheme: string): boolean {
  return scheme in defaultPorts;
}

/** Undefined if `text` is not a URL, or is a relative one and there is no `base` it could be relative to. */
export function parseUrl(text: string, base?: UrlRecord): UrlRecord | undefined {
  let rest = withoutTabs(text.toWellFormed().replace(/^[\0-\x20]+|[\0-\x20]+$/g, ""));
  const url = emptyUrl();
  const hash = rest.indexOf("#");
  if (hash !== -1) {
    url.fragment = percentEncode(rest.slice(hash + 1), percentSets.fragment);
    rest = rest.slice(0, hash);
  }
  const scheme = /^([a-z][a-z\d+\-.]*):/i.exec(rest)?.[1];
  if (scheme === undefined) {
    if (base === undefined) return undefined;
    if (typeof base.path === "string")
      return rest === "" && hash !== -1 ? { ...base, fragment: url.fragment } : undefined;
    url.scheme = base.scheme;
  } else {
    url.scheme = scheme.toLowerCase();
    rest = rest.slice(scheme.length + 1);
  }
  const mark = rest.indexOf("?");
  if (mark !== -1) {
    url.query = encodeQuery(rest.slice(mark + 1), url.scheme);
    rest = rest.slice(0, mark);
  }
  return parseAfterScheme(url, rest, scheme !== undefined, base, hash !== -1) ? url : undefined;
}

function parseAfterScheme(
  url: UrlRecord,
  rest: string,
  hasScheme: boolean,
  base: UrlRecord | undefined,
  hasHash: boolean,
): boolean {
  const sameScheme = base !== undefined && base.scheme === url.scheme && typeof base.path !== "string";
  if (url.scheme === "file") return parseFile(url, rest, sameScheme ? base : undefined);
  if (isSpecial(url.scheme)) {
    if (!sameScheme || (hasScheme && rest.startsWith("//"))) return parseAuthority(url, rest.replace(/^[/\\]+/, ""));
    return parseRelative(url, rest, base);
  }
  if (!hasScheme && base !== undefined) return parseRelative(url, rest, base);
  if (rest.startsWith("//")) return parseAuthority(url, rest.slice(2));
  if (rest.startsWith("/")) parsePath(url, rest);
  else url.path = encodeOpaquePath(rest, url.query !== null || hasHash);
  return true;
}

function parseRelative(url: UrlRecord, rest: string, base: UrlRecord): boolean {
  const special = isSpecial(url.scheme);
  if (special ? /^[/\\]{2}/.test(rest) : rest.startsWith("//")) {
    return parseAuthority(url, special ? rest.replace(/^[/\\]+/, "") : rest.slice(2));
  }
  url.username = base.username;
  url.password = base.password;
  url.host = base.host;
  url.port = base.port;
  if (special ? /^[/\\]/.test(rest) : rest.startsWith("/")) parsePath(url, rest);
  else parseRelativePath(url, rest, base);
  return true;
}

/** Continues the base's path, without its last segment. */
function parseRelativePath(url: UrlRecord, rest: string, base: UrlRecord): void {
  url.path = (base.path as string[]).slice();
  if (rest === "") {
    url.query ??= base.query;
    return;
  }
  shortenPath(url);
  appendSegments(url, rest);
}

function parseFile(url: UrlRecord, rest: string, base: UrlRecord | undefined): boolean {
  url.host = "";
  if (/^[/\\]{2}/.test(rest)) return parseFileHost(url, rest.slice(2));
  if (base !== undefined) url.host = base.host;
  if (/^[/\\]/.test(rest)) {
    const drive = base?.path[0];
    if (!startsWithDrive(rest.slice(1)) && drive !== undefined && /^[a-z]:$/i.test(drive)) url.path = [drive];
    appendSegments(url, rest.slice(1));
  } else if (base === undefined) appendSegments(url, rest);
  else if (startsWithDrive(rest)) {
    url.path = [];
    appendSegments(url, rest);
  } else parseRelativePath(url, rest, base);
  return true;
}

function parseFileHost(url: UrlRecord, rest: string): boolean {
  const end = endOf(rest, /[/\\]/);
  const text = rest.slice(0, end);
  if (/^[a-z][:|]$/i.test(text)) {
    appendSegments(url, rest);
    return true;
  }
  const host = text === "" ? "" : parseHost(text, true);
  if (host === undefined) return false;
  url.host = host === "localhost" ? "" : host;
  parsePath(url, rest.slice(end));
  return true;
}

/** Reads `user:password@host:port/path`. */
function parseAuthority(url: UrlRecord, rest: string): boolean {
  const special = isSpecial(url.scheme);
  const end = endOf(rest, special ? /[/\\]/ : /\//);
  const authority = rest.slice(0, end);
  const at = authority.lastIndexOf("@");
  if (at !== -1) {
    if (at === authority.length - 1) return false;
    const [, username, password] = /^([^:]*):?([^]*)$/.exec(authority.slice(0, at))!;
    url.username = percentEncode(username!, percentSets.userinfo);
    url.password = percentEncode(password!, percentSets.userinfo);
  }
  const [hostText, portText] = splitPort(authority.slice(at + 1));
  if (hostText === "" && (special || portText !== undefined)) return false;
  const host = hostText === "" ? "" : parseHost(hostText, special);
  const port = portText === undefined || portText === "" ? null : parsePort(portText, url.scheme);
  if (host === undefined || port === undefined) return false;
  url.host = host;
  url.port = port;
  parsePath(url, rest.slice(end));
  return true;
}

/** Cuts `host:port` in two. The port is undefined if there is no ":" outside brackets. */
export function splitPort(text: string): [host: string, port: string | undefined] {
  let inBrackets = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === "[") inBrackets = true;
    else if (character === "]") inBrackets = false;
    else if (character === ":" && !inBrackets) return [text.slice(0, index), text.slice(index + 1)];
  }
  return [text, undefined];
}

/** Null for the scheme's own port; undefined if `text` is no port. */
export function parsePort(text: string, scheme: string): number | null | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const port = Number(text);
  if (port > 0xffff) return undefined;
  return port === defaultPort(scheme) ? null : port;
}

export function defaultPort(scheme: string): number | null {
  return defaultPorts[scheme] ?? null;
}

/** Reads a path after a host: from its first slash on. */
export function parsePath(url: UrlRecord, text: string): void {
  const special = isSpecial(url.scheme);
  url.path = [];
  if (special) appendSegments(url, text.replace(/^[/\\]/, ""));
  else if (text !== "") appendSegments(url, text.replace(/^\//, ""));
}

function appendSegments(url: UrlRecord, text: string): void {
  const path = url.path as string[];
  const segments = text.split(isSpecial(url.scheme) ? /[/\\]/ : "/");
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (/^(\.|%2e){2}$/i.test(segment)) {
      shortenPath(url);
      if (isLast) path.push("");
    } else if (/^(\.|%2e)$/i.test(segment)) {
      if (isLast) path.push("");
    } else {
      const isDrive = url.scheme === "file" && path.length === 0 && /^[a-z][:|]$/i.test(segment);
      path.push(isDrive ? `${segment[0]}:` : percentEncode(segment, percentSets.path));
    }
  }
}

/** A drive letter at the beginning of a file's path is never taken away. */
function shortenPath(url: UrlRecord): void {
  const path = url.path as string[];
  if (url.scheme === "file" && path.length === 1 && /^[a-z]:$/i.test(path[0]!)) return;
  path.pop();
}

function startsWithDrive(text: string): boolean {
  return /^[a-z][:|]([/\\]|$)/i.test(text);
}

export function encodeQuery(text: string, scheme: string): string {
  return percentEncode(text, isSpecial(scheme) ? percentSets.specialQuery : percentSets.query);
}

/** A space that ends the path is escaped if something follows: without that it would be lost with what follows. */
function encodeOpaquePath(text: string, isFollowed: boolean): string {
  const encoded = percentEncode(text, percentSets.c0);
  return isFollowed ? encoded.replace(/ $/, "%20") : encoded;
}

function endOf(text: string, ends: RegExp): number {
  const end = text.search(ends);
  return end === -1 ? text.length : end;
}

/** Tabs and line breaks are removed from URLs wherever they are. */
export function withoutTabs(text: string): string {
  return text.replace(/[\t\n\r]/g, "");
}

function emptyUrl(): UrlRecord {
  return { scheme: "", username: "", password: "", host: null, port: null, path: [], query: null, fragment: null };
}

export function serializePath({ path }: UrlRecord): string {
  return typeof path === "string" ? path : path.map((segment) => `/${segment}`).join("");
}

export function serializeUrl(url: UrlRecord, withFragment = true): string {
  let text = `${url.scheme}:`;
  if (url.host !== null) {
    const password = url.password === "" ? "" : `:${url.password}`;
    const credentials = url.username === "" && password === "" ? "" : `${url.username}${password}@`;
    text += `//${credentials}${url.host}${url.port === null ? "" : `:${url.port}`}`;
  } else if (typeof url.path !== "string" && url.path.length > 1 && url.path[0] === "") text += "/.";
  text += serializePath(url);
  if (url.query !== null) text += `?${url.query}`;
  return withFragment && url.fragment !== null ? `${text}#${url.fragment}` : text;
}
