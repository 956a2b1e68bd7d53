import { describeReason } from "../../reason.ts";
import { self } from "../../process.ts";
import { log } from "../../runtime.ts";

/** One line in the log, for people. What failed within a child, with its stack, the child's own report says. */
export function supervisorReport(what: string, reason: unknown): void {
  log("error", `Supervisor ${self()}: ${what}: ${describeReason(reason)}`);
}
