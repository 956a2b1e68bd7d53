/** `examples/bank`, run as its first lines say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine, Refusal } from "perdure/engine";
import type * as bank from "../examples/bank/bank.ts";
import { Shop } from "./support/cli.ts";

const program = fileURLToPath(new URL("../examples/bank/bank.ts", import.meta.url));

test("a node is killed twice while money is on its way, and slips crash: in the end there is as much as before", async (t) => {
  const shop = await Shop.open(t, {});
  const words = ["run", program, "default", "30", "--id", "day"];
  const first = shop.start(...words);
  await first.printed("under way");
  first.kill("SIGKILL");
  const [, inAccounts] = /30 transfers under way, (\d+) cents in the accounts/.exec((await first.ended).stdout) ?? [];
  assert.ok(Number(inAccounts) < 400_000, `${inAccounts}: some is on its way`);

  const second = shop.start(...words);
  await second.printed("going on with process day");
  second.kill("SIGKILL");
  await second.ended;

  const { code, stdout } = await shop.run(...words);
  assert.equal(code, 0);
  assert.match(stdout, /in the evening: 400000 cents\n$/);
  const [done, refused, crashed] = /(\d+) done, (\d+) refused, (\d+) crashed/.exec(stdout)!.slice(1).map(Number);
  assert.deepEqual([done! + refused!, crashed], [29, 1]);
  assert.equal((await shop.json("run", program, "total")).value, 400_000);
});

test("what an account will not do is refused, and changes nothing", async (t) => {
  const engine = await Engine.open<typeof bank>({ store: "memory:", program });
  t.after(() => engine.close());
  const ann = engine.at("Account", "ann");
  await ann.deposit(100);
  await assert.rejects(ann.withdraw(101), (error) => {
    assert.ok(error instanceof Refusal);
    assert.deepEqual([error.message, error.details], ["not enough money", { balance: 100 }]);
    return true;
  });
  await assert.rejects(ann.deposit(-1), Refusal);
  await assert.rejects(ann.deposit(Number.NaN), Refusal);
  const tooMuch = await engine.start("transfer", ['{"from":"ann","to":"bob","cents":101}']);
  assert.equal(await tooMuch.result(), "not enough money");
  assert.deepEqual([await ann.balance(), await engine.at("Account", "bob").balance()], [100, 0]);
});
