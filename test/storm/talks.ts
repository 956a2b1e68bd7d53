/**
 * A conversation: somebody outside and a process talk to another one. It hears every word once; those of the process in their order, and its end
 * last. Those from outside go by several nodes, to one that moves: their order is not promised.
 */
import type { Fleet } from "./fleet.ts";
import type { Heard } from "./program/talk.ts";

const words = 12;

/** What was wrong with it. */
export async function talk(
  fleet: Fleet,
  { listener, talker }: { readonly listener: string; readonly talker: string },
  watches: "link" | "monitor",
): Promise<string[]> {
  await fleet.ask((node) => node.start(listener, "listener", [words, watches]));
  await fleet.ask((node) => node.start(talker, "talker", [listener, words]));
  for (let number = 1; number <= words; number++)
    await fleet.ask((node) => node.send(listener, { from: "outside", number }, `word ${number}`));
  const heard = (await fleet.ask((node) => node.result(listener))) as Heard;
  const said = await fleet.ask((node) => node.result(talker));
  const problems = heard.faults.map((fault) => `${listener} heard ${fault}`);
  if (heard.talker !== words || said !== words)
    problems.push(`${listener} heard ${heard.talker} of ${String(said)} words`);
  const once = heard.outside.toSorted((one, other) => one - other);
  if (once.join() !== Array.from({ length: words }, (_, at) => at + 1).join())
    problems.push(`${listener} heard ${once.join()} from outside`);
  return problems;
}
