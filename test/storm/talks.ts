/**
 * A conversation: somebody outside and a process talk to another one, which hears every word once, and from the process in their order, and its
 * end last. Whoever sends by several nodes, one after the other, is heard in an order of theirs; by one node, in his own.
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
  const senders = new Map<number, object | undefined>();
  for (let number = 1; number <= words; number++) {
    const { by } = await fleet.askWhom((node) => node.send(listener, { from: "outside", number }, `word ${number}`));
    senders.set(number, by);
  }
  const heard = (await fleet.ask((node) => node.result(listener))) as Heard;
  const said = await fleet.ask((node) => node.result(talker));
  const problems = heard.faults.map((fault) => `${listener} heard ${fault}`);
  if (heard.talker !== words || said !== words)
    problems.push(`${listener} heard ${heard.talker} of ${String(said)} words`);
  const once = heard.outside.toSorted((a, b) => a - b).join();
  if (once !== [...senders.keys()].join()) problems.push(`${listener} heard ${once} from outside`);
  for (const [at, number] of heard.outside.entries()) {
    const by = senders.get(number);
    const late = heard.outside
      .slice(at + 1)
      .find((later) => later < number && by !== undefined && senders.get(later) === by);
    if (late !== undefined) problems.push(`${listener} heard ${late} after ${number} from outside, by the same node`);
  }
  return problems;
}
