/** `examples/player`, run as its first lines say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { frames } from "../examples/player/film.ts";
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

  // On a slow machine the film has run for longer, or anew. The second damaged frame is behind it by then.
  const next = [1, 2, 3].map((more) => (before.at(-1)! + more) % frames.length);
  const later = Math.max(26, ...next.filter((number) => !damaged.includes(number)));
  const second = shop.start("serve", program);
  await second.printed(`${String(later).padStart(3)} |`);
  second.kill("SIGINT");
  const { code, stdout } = await second.ended;
  assert.equal(code, 130);
  assert.ok(next.includes(framesIn(stdout)[0]!), "it went on, and not from the start");

  const lines = (await shop.run("logs", "--json")).stdout.trim().split("\n");
  const shown = framesIn(lines.map((line) => (JSON.parse(line) as { text: string }).text).join("\n"));
  const whole = frames.flatMap((_, number) => (damaged.includes(number) ? [] : [number]));
  assert.deepEqual(
    shown,
    shown.map((_, at) => whole[at % whole.length]),
    "each whole frame once",
  );
  const [letter] = await shop.json<{ message: unknown }[]>("dead-letters");
  assert.deepEqual(letter?.message, { chapter: 9 });
});
