/** Where the programs of a deployment may send requests to. */
import { checkOptions, invalidOption } from "./options.ts";

/** A list that is given is closed: what it does not name is refused. A list left out refuses nothing. */
export interface FetchPolicy {
  /** Origins: `https://api.example.com`, `http://127.0.0.1:8080`, or `https://*.example.com` for every subdomain (not for `example.com` itself). */
  readonly origins?: readonly string[];
  /** Methods, in any case: `GET`, `POST`, … */
  readonly methods?: readonly string[];
}

/** Throws TypeError, as a failed fetch does, if the policy refuses the request. */
export type FetchGuard = (url: URL, method: string) => void;

/** Throws ARGUMENT_INVALID for a policy that cannot mean what it says. */
export function fetchGuard(policy: FetchPolicy | undefined): FetchGuard {
  if (policy === undefined) return () => undefined;
  checkOptions("fetchPolicy", policy, ["origins", "methods"]);
  const origins = stringList("fetchPolicy.origins", policy.origins)?.map(originTest);
  const methods = stringList("fetchPolicy.methods", policy.methods)?.map((method) => method.toUpperCase());
  return (url, method) => {
    if (origins?.some((matches) => matches(url)) === false) {
      const where = url.origin === "null" ? url.protocol : url.origin;
      throw new TypeError(`fetch failed: this deployment's fetch policy does not allow requests to ${where}`);
    }
    if (methods?.includes(method.toUpperCase()) === false) {
      throw new TypeError(`fetch failed: this deployment's fetch policy does not allow the method ${method}`);
    }
  };
}

function stringList(name: string, list: unknown): readonly string[] | undefined {
  if (list === undefined) return undefined;
  if (Array.isArray(list) && list.every((entry) => typeof entry === "string")) return list;
  throw invalidOption(name, list, "a list of strings");
}

function originTest(entry: string): (url: URL) => boolean {
  const wildcard = /^(https?:\/\/)\*\.(.+)$/i.exec(entry);
  const origin = parseOrigin(wildcard === null ? entry : `${wildcard[1]}${wildcard[2]}`);
  if (origin === undefined) {
    throw invalidOption(
      "An entry of fetchPolicy.origins",
      entry,
      `an origin like "https://api.example.com" or "https://*.example.com"`,
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
