/** `examples/player`, run as its first lines say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Shop } from "./support/cli.ts";

const program = fileURLToPath(new URL("../examples/player/player.ts", import.meta.url));
/** As `film.ts` says. */
const damaged: readonly number[] = [5, 25];

/** The numbers of the frames that these lines show. */
function framesIn(text: string): number[] {
  return [...text.matchAll(/^(?:decoder \| )? *(\d+) \| *o *\|$/gm)].map(([, number]) => Number(number));
}

test("the player keeps its position when its decoder crashes, when it crashes itself, and when its node is killed", async (t) => {
  const shop = await Shop.open(t, {});
  const first = shop.start("serve", program);
  await first.printed("  7 |");
  await shop.run("send", "player", '{"chapter": 9}');
  await first.printed("goes on from before that turn");
  first.kill("SIGKILL");
  const before = framesIn((await first.ended).stdout);

  const second = shop.start("serve", program);
  await second.printed(" 30 |");
  second.kill("SIGINT");
  const { code, stdout } = await second.ended;
  assert.equal(code, 130);
  assert.ok(framesIn(stdout)[0]! > before.at(-1)!, "it went on, and not from the start");

  const lines = (await shop.run("logs", "--json")).stdout.trim().split("\n");
  const shown = framesIn(lines.map((line) => (JSON.parse(line) as { text: string }).text).join("\n"));
  const all = Array.from({ length: shown.at(-1)! + 1 }, (_, number) => number);
  assert.deepEqual(
    shown,
    all.filter((number) => !damaged.includes(number)),
    "each whole frame once",
  );
  const [letter] = await shop.json<{ message: unknown }[]>("dead-letters");
  assert.deepEqual(letter?.message, { chapter: 9 });
});
