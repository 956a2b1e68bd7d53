/** `perdure accept-restored`: says that a store may go on, although it is an older copy of what it was. */
import type { Command } from "commander";
import { shownPlace } from "../../store/place.ts";
import { claimed } from "../claimed.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { count } from "../text.ts";

export function acceptRestoredCommand(): Command {
  const command = defineCommand(
    "accept-restored",
    "Lets a store go on that was restored from a backup. Until then no node starts on it (STORE_RESTORED).",
    ["perdure ps                          # look first at what would go on", "perdure accept-restored"],
  );
  return act(command, acceptRestored);
}

async function acceptRestored(context: Context): Promise<void> {
  const { json, terminal } = context;
  const path = shownPlace(context.store);
  const { running } = await claimed(context, { acceptRestored: true }, (store) => store.countProcesses());
  if (json) return terminal.print(JSON.stringify({ store: path, running }));
  terminal.note(
    `The store ${path} may go on, as it is. When a node starts, ${count(running, "process goes on", "processes go on")} from where the copy was made, and may do again what was done since.`,
  );
}
