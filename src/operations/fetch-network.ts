/**
 * How a request of a program's gets out. Where a policy says which addresses may be connected to, that is decided in the
 * connection's own look-up of the name: one made before could have been answered otherwise.
 */
import { lookup as systemLookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import type { Agent } from "undici";
import { relatedErrors } from "../base/related-errors.ts";
import { privateRefusal } from "./fetch-policy.ts";
import type { FetchGuard } from "./fetch-policy.ts";

export type Send = (url: URL, init: RequestInit) => Promise<Response>;

export interface Network {
  readonly send: Send;
  /** Ends all connections. Nothing can be sent afterwards. */
  close(): void;
}

type LookupAll = (
  name: string,
  options: LookupOptions & { readonly all: true },
  done: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

type Lookup = (
  name: string,
  options: LookupOptions,
  done: (error: Error | null, address: string | LookupAddress[], family?: number) => void,
) => void;

class PrivateAddressError extends Error {}

/** `lookup` is the system's, but for tests. */
export function openNetwork(guard: FetchGuard, lookup: LookupAll = systemLookup): Network {
  const { allowsAddress } = guard;
  // Without a policy, what the deployment set for all its requests (a proxy, say) holds for these too.
  if (guard.isOpen) return { send: (url, init) => fetch(url, init), close: () => undefined };
  let agent: Promise<Guarded> | undefined;
  let isClosed = false;
  const open = async (): Promise<Guarded> => {
    const { Agent, fetch } = await import("undici");
    const connect = allowsAddress === undefined ? {} : { lookup: checkedLookup(lookup, allowsAddress) };
    return { agent: new Agent({ connect, allowH2: false }), fetch: fetch as unknown as typeof globalThis.fetch };
  };
  return {
    async send(url, init) {
      const opened = await (agent ??= open());
      if (isClosed) throw new TypeError("fetch failed: the engine is closing");
      try {
        return await opened.fetch(url, { ...init, dispatcher: opened.agent } as unknown as RequestInit);
      } catch (error) {
        throw relatedErrors(error).some((each) => each instanceof PrivateAddressError) ? privateRefusal(url) : error;
      }
    },
    close() {
      isClosed = true;
      agent?.then((opened) => opened.agent.destroy()).catch(() => undefined);
    },
  };
}

interface Guarded {
  readonly agent: Agent;
  readonly fetch: typeof fetch;
}

/** One address that is refused refuses the name: a mixed answer is how such a check is got round. */
function checkedLookup(lookup: LookupAll, allows: (address: string) => boolean): Lookup {
  return (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, []);
      const [first] = addresses;
      if (first === undefined || !addresses.every(({ address }) => allows(address)))
        return done(new PrivateAddressError(), []);
      return options.all === true ? done(null, addresses) : done(null, first.address, first.family);
    });
  };
}

/** What went wrong, without the addresses that Node's errors name: they are the deployment's, and no business of a program's. */
export function withoutAddresses(error: unknown): unknown {
  const [first, ...others] = relatedErrors(error);
  if (first === undefined || others.length === 0) return error;
  const code = others.map((one) => (one as NodeJS.ErrnoException).code).find((one) => one !== undefined);
  const told = new TypeError(first.message);
  if (code !== undefined) told.cause = Object.assign(new Error(code), { code });
  return told;
}
