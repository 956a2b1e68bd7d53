/** Inputs from the command line: rows in the inbox, which a running node takes at once and any other one when it starts. */
import type { Input, Pid } from "../journal/types.ts";
import type { Context } from "./context.ts";
import { goOnCommand, isNodeRunning, locate, withReader } from "./reader.ts";

/** What they are called on the command line. */
const words: Partial<Record<Input["kind"], string>> = { fatal: "kill", resume: "unpause" };

/**
 * `to` is a pid or a registered name. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. `done` says what has happened, of a pid:
 * "Message sent to order-7".
 */
export async function post(context: Context, to: string, input: Input, done: (pid: Pid) => string): Promise<void> {
  const { json, terminal } = context;
  const { pid, goOn } = await withReader(context, async (reader) => {
    const row = await locate(reader, to);
    await reader.post(row.pid, input, Date.now());
    return { pid: row.pid, goOn: await goOnCommand(context, reader) };
  });
  const nodeRunning = isNodeRunning(context);
  if (json) terminal.print(JSON.stringify({ pid, posted: words[input.kind] ?? input.kind, nodeRunning }));
  else if (nodeRunning) terminal.note(`${done(pid)}. A node is running: it takes effect now.`);
  else terminal.note(`${done(pid)}. No node is running: it takes effect with the next one, such as: ${goOn}`);
}
