/** Inputs from the command line: rows in the inbox, which a running node takes at once and any other one when it starts. */
import { findEver, isPruned } from "../engine/generations.ts";
import type { Input, Pid } from "../journal/types.ts";
import { exited } from "../kernel/errors.ts";
import type { Asked } from "../store/port.ts";
import type { Context } from "./context.ts";
import { goOnCommand, isNodeRunning, locate, withReader } from "./reader.ts";

/** What they are called on the command line. */
const words: Partial<Record<Input["kind"], string>> = { fatal: "kill", resume: "unpause" };

/**
 * `to` is a pid or a registered name. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. `done` says what has happened, of a pid:
 * "Message sent to order-7". With `asked`
 * it happens once. Throws KEY_CONFLICT.
 */
export async function post(
  context: Context,
  to: string,
  input: Input,
  done: (pid: Pid) => string,
  asked?: Asked,
): Promise<void> {
  const { json, terminal } = context;
  const { pid, isNew, goOn } = await withReader(context, async (reader) => {
    if (isPruned(await findEver(reader, to))) throw exited(to);
    const row = await locate(reader, to);
    const isNew = await reader.post(row.pid, input, Date.now(), asked);
    return { pid: row.pid, isNew, goOn: await goOnCommand(context, reader) };
  });
  const nodeRunning = await isNodeRunning(context);
  if (json)
    terminal.print(
      JSON.stringify({
        pid,
        posted: words[input.kind] ?? input.kind,
        nodeRunning,
        ...(asked === undefined ? {} : { key: asked.key, isNew }),
      }),
    );
  else if (!isNew)
    terminal.note(`${pid} was sent this before, under the key ${JSON.stringify(asked?.key)}: nothing was done.`);
  else if (nodeRunning) terminal.note(`${done(pid)}. A node is running: it takes effect now.`);
  else terminal.note(`${done(pid)}. No node is running: it takes effect with the next one, such as: ${goOn}`);
}
