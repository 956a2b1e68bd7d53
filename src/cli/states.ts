/** The states a process is shown in: its own, or how it ended. */
import type { ProcessView } from "../engine/views.ts";
import type { Colors } from "./terminal.ts";

export function stateOf({ state, exit }: Pick<ProcessView, "state" | "exit">): string {
  return exit?.reason ?? state;
}

export function paintState(view: Pick<ProcessView, "state" | "exit">, colors: Colors): (text: string) => string {
  switch (stateOf(view)) {
    case "running":
      return colors.cyan;
    case "normal":
    case "shutdown":
      return colors.green;
    case "paused":
    case "moving":
    case "cancelled":
    case "killed":
      return colors.yellow;
    default:
      return colors.red;
  }
}
