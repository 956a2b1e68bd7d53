/** Where the programs of a deployment may send requests to. */
import { maxChunkBytes } from "../base/value.ts";
import { addressSet, isPrivateAddress, literalAddress } from "./addresses.ts";
import { checkOptions, invalidOption } from "./options.ts";

/** What programs may fetch. A policy that is set allows only what it names; without one, `fetch` may do anything. */
export interface FetchPolicy {
  /**
   * Origins: `https://api.example.com`, `http://127.0.0.1:8080`, `https://*.example.com` for every subdomain (not for
   * `example.com` itself), or `*` for all. Default none.
   */
  readonly origins?: readonly string[];
  /** Methods, in any case: `GET`, `POST`, … or `*` for all. Default the safe ones: GET, HEAD and OPTIONS. */
  readonly methods?: readonly string[];
  /**
   * Whether requests may go to addresses that are not of the public internet: loopback, private and link-local networks, those
   * of cloud metadata among them. True, or a list of addresses and blocks: `["127.0.0.1", "10.1.0.0/16", "fd00::/8"]`. An origin
   * that `origins` names needs it too. It is the address connected to that counts, not what the name resolved to before. Default false.
   */
  readonly allowPrivate?: boolean | readonly string[];
  /** Bytes of a request's body. Default and at most 33,554,432 (32 MiB). */
  readonly maxRequestBytes?: number;
  /** Bytes of a response's body, after its content encodings were undone. Default and at most 33,554,432 (32 MiB). */
  readonly maxResponseBytes?: number;
}

export interface FetchGuard {
  /** There is no policy. */
  readonly isOpen: boolean;
  /** Throws TypeError, as a failed fetch does, if the policy refuses a request that could be sent. */
  check(url: URL, method: string, headers: Headers, bodyBytes: number): void;
  /** Whether a connection to this address may be made; undefined if any may. */
  readonly allowsAddress: ((address: string) => boolean) | undefined;
  readonly maxResponseBytes: number;
}

/** What nobody restricts. */
export const openGuard: FetchGuard = {
  isOpen: true,
  check: () => undefined,
  allowsAddress: undefined,
  maxResponseBytes: maxChunkBytes,
};

const safeMethods = ["GET", "HEAD", "OPTIONS"];
const keys = ["origins", "methods", "allowPrivate", "maxRequestBytes", "maxResponseBytes"];

/** Throws ARGUMENT_INVALID for a policy that cannot mean what it says. */
export function fetchGuard(policy: FetchPolicy | undefined): FetchGuard {
  if (policy === undefined) return openGuard;
  checkOptions("fetchPolicy", policy, keys);
  const origins = (stringList("fetchPolicy.origins", policy.origins) ?? []).map(originTest);
  const methods = (stringList("fetchPolicy.methods", policy.methods) ?? safeMethods).map((name) => name.toUpperCase());
  const allowsAddress = addressTest(policy.allowPrivate);
  const maxRequestBytes = size("fetchPolicy.maxRequestBytes", policy.maxRequestBytes);
  return {
    isOpen: false,
    allowsAddress,
    maxResponseBytes: size("fetchPolicy.maxResponseBytes", policy.maxResponseBytes),
    check(url, method, headers, bodyBytes) {
      if (!origins.some((matches) => matches(url)))
        throw refusal(`requests to ${url.origin}`, "fetchPolicy.origins does not name it");
      if (!methods.includes(method.toUpperCase()) && !methods.includes("*"))
        throw refusal(`the method ${method}`, "fetchPolicy.methods does not name it");
      const address = literalAddress(url);
      if (address !== undefined && allowsAddress?.(address) === false) throw privateRefusal(url);
      // Behind one address there may be many origins, told apart by this header.
      const host = headers.get("host");
      if (host !== null && host.toLowerCase() !== url.host)
        throw refusal(`a Host header that differs from the URL's (${url.host})`, "leave the header out");
      if (bodyBytes > maxRequestBytes)
        throw refusal(`a body of ${bodyBytes} bytes`, `fetchPolicy.maxRequestBytes is ${maxRequestBytes}`);
    },
  };
}

/** It names what the program asked for, never the address that was found. */
export function privateRefusal(url: URL): TypeError {
  return refusal(
    `requests to ${url.origin}, whose address is not one of the public internet`,
    "fetchPolicy.allowPrivate does not allow it",
  );
}

function refusal(what: string, why: string): TypeError {
  return new TypeError(`fetch failed: this deployment's fetch policy does not allow ${what} (${why})`);
}

function size(name: string, value: unknown): number {
  if (value === undefined) return maxChunkBytes;
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxChunkBytes) return value as number;
  throw invalidOption(name, value, `a whole number of bytes from 0 to ${maxChunkBytes}`);
}

function stringList(name: string, list: unknown): readonly string[] | undefined {
  if (list === undefined) return undefined;
  if (Array.isArray(list) && list.every((entry) => typeof entry === "string")) return list;
  throw invalidOption(name, list, "a list of strings");
}

function addressTest(allowed: unknown): ((address: string) => boolean) | undefined {
  const name = "fetchPolicy.allowPrivate";
  if (allowed === true) return undefined;
  if (allowed === undefined || allowed === false) return (address) => !isPrivateAddress(address);
  if (!Array.isArray(allowed) || !allowed.every((entry): entry is string => typeof entry === "string"))
    throw invalidOption(name, allowed, "true, false, or a list of addresses and blocks");
  for (const entry of allowed) {
    if (addressSet([entry]) === undefined)
      throw invalidOption(`An entry of ${name}`, entry, `an address or a block, like "127.0.0.1" or "10.0.0.0/8"`);
  }
  const isAllowed = addressSet(allowed);
  return (address) => !isPrivateAddress(address) || isAllowed?.(address) === true;
}

function originTest(entry: string): (url: URL) => boolean {
  if (entry === "*") return () => true;
  const wildcard = /^(https?:\/\/)\*\.(.+)$/i.exec(entry);
  const origin = parseOrigin(wildcard === null ? entry : `${wildcard[1]}${wildcard[2]}`);
  if (origin === undefined) {
    throw invalidOption(
      "An entry of fetchPolicy.origins",
      entry,
      `an origin like "https://api.example.com" or "https://*.example.com", or "*" for all`,
    );
  }
  if (wildcard === null) return (url) => url.origin === origin.origin;
  // The part before the suffix is never empty: a host does not begin with a dot.
  const suffix = `.${origin.hostname}`;
  return (url) => url.protocol === origin.protocol && url.port === origin.port && url.hostname.endsWith(suffix);
}

function parseOrigin(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  // Anything beyond the origin would be ignored in silence, and a stray asterisk would never match.
  if (url.href !== `${url.origin}/` || text.includes("*") || /[?#]/.test(text)) return undefined;
  return url;
}
