import { PerdureError } from "../base/errors.ts";

declare const accepts: unique symbol;

/**
 * A process's name for ever: a plain string that can be stored, sent and returned to the host. `Message` is what the process
 * understands, so that the compiler can tell a wrong message; it exists for the compiler alone. The default, and what any string is,
 * accepts everything.
 */
export type Pid<Message = any> = string & { readonly [accepts]?: (message: Message) => void };

/** Throws ARGUMENT_INVALID for what is no text: pids and registered names are. */
export function requirePid(pid: unknown, what: string): asserts pid is string {
  if (typeof pid === "string" && pid !== "") return;
  const shown = pid === "" ? "an empty text" : pid === null ? "null" : `a value of type ${typeof pid}`;
  throw new PerdureError("ARGUMENT_INVALID", `${what} takes a process's pid, which is a string, not ${shown}.`);
}
