/** The operations Perdure brings along. They run like any other; their settings come with the request, from the prelude. */
import { PerdureError } from "../base/errors.ts";
import { idempotencyKey, signal } from "./context.ts";
import { operationSettings } from "./definition.ts";
import type { HostFunction, OperationMode, OperationSettings } from "./definition.ts";
import { performFetch } from "./fetch.ts";
import { openNetwork } from "./fetch-network.ts";
import { fetchGuard } from "./fetch-policy.ts";
import type { FetchPolicy } from "./fetch-policy.ts";

export interface Target {
  readonly fn: HostFunction;
  readonly settings: OperationSettings;
}

type FetchMode = Exclude<OperationMode, "transactional">;

export interface BuiltIns {
  /** Finds a built-in operation by its `perdure:…` name; throws ARGUMENT_INVALID if its options are malformed. */
  find(name: string, options: string): Target | undefined;
  /** Ends all connections. */
  close(): void;
}

/** Throws ARGUMENT_INVALID if the policy is malformed. */
export function builtIns(policy: FetchPolicy | undefined): BuiltIns {
  const guard = fetchGuard(policy);
  const { send, close } = openNetwork(guard);
  const fetch: HostFunction = (request) => performFetch(request, { signal: signal(), guard, send, idempotencyKey });
  // As on the web, a network error rejects: only the node's death sends a request again.
  const settings: Readonly<Record<FetchMode, OperationSettings>> = {
    "at-least-once": operationSettings({ mode: "at-least-once", retry: false }),
    "at-most-once": operationSettings({ mode: "at-most-once" }),
  };
  return {
    find(name, options) {
      if (name !== "perdure:fetch") return undefined;
      return { fn: fetch, settings: settings[fetchMode(options)] };
    },
    close,
  };
}

function fetchMode(options: string): FetchMode {
  const mode = parseMode(options);
  if (mode === "at-least-once" || mode === "at-most-once") return mode;
  // No default: guessing "at-least-once" might send a payment twice.
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `perdure:fetch got the options ${JSON.stringify(options)}; they must be JSON like {"mode":"at-most-once"}.`,
  );
}

function parseMode(options: string): unknown {
  try {
    return (JSON.parse(options) as { mode?: unknown } | null)?.mode;
  } catch {
    return undefined;
  }
}
