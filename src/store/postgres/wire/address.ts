/** Where a server is and who asks, as a `postgres://` URL says it. */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { durationMs } from "../../../base/duration.ts";
import { PerdureError } from "../../../base/errors.ts";
import { withoutPassword } from "../../place.ts";

/** As libpq calls them. `prefer`: encrypted if the server can. Only the last two check whom one talks to. */
export type SslMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly ssl: SslMode;
  /** Certificates of the authorities to trust, PEM. */
  readonly authorities?: string;
  /** The parameters `schema`, `prepare` and `lease`, which are not the server's but the store's. */
  readonly schema?: string;
  readonly prepare?: boolean;
  readonly leaseMs?: number;
  /** The URL without its password and most parameters: what errors and logs show. */
  readonly shown: string;
}

const sslModes: ReadonlySet<string> = new Set<SslMode>(["disable", "prefer", "require", "verify-ca", "verify-full"]);
const known: ReadonlySet<string> = new Set(["sslmode", "sslrootcert", "host", "schema", "prepare", "lease"]);

/** A shorter one would run out while its owner is well. */
const leastLeaseMs = 1_000;

/** Throws ARGUMENT_INVALID, in words that do not show the password. */
export function parseAddress(url: string): Address {
  const shown = withoutPassword(url);
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw invalid(
      shown,
      "it cannot be read as one. Characters such as @ and / in a password are written as %40 and %2F",
    );
  }
  const query = parsed.searchParams;
  for (const name of query.keys()) {
    if (!known.has(name)) throw invalid(shown, `it has the unknown parameter ${JSON.stringify(name)}`);
  }
  const ssl = query.get("sslmode") ?? "prefer";
  if (!sslModes.has(ssl)) {
    throw invalid(shown, `its sslmode is ${JSON.stringify(ssl)}; it must be one of ${[...sslModes].join(", ")}`);
  }
  const part = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw invalid(shown, 'it has a "%" that is not followed by two hexadecimal digits');
    }
  };
  const user = part(parsed.username) || process.env["PGUSER"] || userInfo().username;
  const authorities = query.get("sslrootcert");
  const schema = query.get("schema");
  const prepare = query.get("prepare");
  if (prepare !== null && prepare !== "yes" && prepare !== "no")
    throw invalid(shown, "its parameter prepare must be yes or no");
  const lease = query.get("lease");
  return {
    host: query.get("host") ?? (part(parsed.hostname).replace(/^\[(.*)\]$/, "$1") || "localhost"),
    port: parsed.port === "" ? 5432 : Number(parsed.port),
    user,
    password: part(parsed.password) || (process.env["PGPASSWORD"] ?? ""),
    database: part(parsed.pathname.slice(1)) || user,
    ssl: ssl as SslMode,
    ...(authorities === null ? {} : { authorities: readAuthorities(shown, authorities) }),
    ...(prepare === null ? {} : { prepare: prepare === "yes" }),
    ...(lease === null ? {} : { leaseMs: readLease(shown, lease) }),
    ...(schema === null ? {} : { schema }),
    shown: schema === null ? shown : `${shown}?schema=${schema}`,
  };
}

function readLease(shown: string, lease: string): number {
  try {
    const leaseMs = durationMs(lease);
    if (leaseMs >= leastLeaseMs) return Math.ceil(leaseMs);
  } catch {
    // It is no duration.
  }
  throw invalid(
    shown,
    `its lease is ${JSON.stringify(lease)}; it must be a duration from ${leastLeaseMs} ms, such as 10s`,
  );
}

function readAuthorities(shown: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw invalid(shown, `the file of its sslrootcert, ${path}, cannot be read`, cause);
  }
}

function invalid(shown: string, reason: string, cause?: unknown): PerdureError {
  return new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} is no address of a PostgreSQL database: ${reason}. Write postgres://user:password@host:5432/database.`,
    { cause },
  );
}
