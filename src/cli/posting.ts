/** Inputs from the command line: rows in the inbox, which a running node takes at once and any other one when it starts. */
import type { Input, Pid } from "../journal/types.ts";
import type { Context } from "./context.ts";
import { isNodeRunning, resumeCommand, withReader } from "./reader.ts";

/** Throws PROCESS_NOT_FOUND, PROCESS_EXITED. `done` says what has happened: "Message sent to order-7". */
export async function post(context: Context, pid: Pid, input: Input, done: string): Promise<void> {
  const { json, terminal } = context;
  await withReader(context, async (reader) => await reader.post(pid, input, Date.now()));
  const nodeRunning = isNodeRunning(context);
  if (json) terminal.print(JSON.stringify({ pid, posted: input.kind === "fatal" ? "kill" : input.kind, nodeRunning }));
  else if (nodeRunning) terminal.note(`${done}. A node is running: it takes effect now.`);
  else
    terminal.note(`${done}. No node is running: it takes effect with the next one, such as: ${resumeCommand(context)}`);
}
