/** A store that is moved runs at one place, and is not mixed up with others. */
import assert from "node:assert/strict";
import { abandonMigration } from "../migration/plan.ts";
import type { Mover } from "../migration/port.ts";
import { atMs, failing, filled, Interrupted, leave, move, owner, rest, rule, withEnds } from "./ends.ts";
import type { Ends, MovableFixture, Wrap } from "./ends.ts";
import { edge, message, program } from "./samples.ts";

// -- marks ------------------------------------------------------------------------------------------------------

export function testMarks(ends: Ends): void {
  rule(ends, "cannot be used where it was, but read, also by those who had opened it before", async (from, to) => {
    const store = await filled(from);
    await leave(store);
    const [waiting, reader] = [await from.open(), await from.openReader()];
    const elsewhere = await to.open();
    await assert.rejects(move(from, to, { wrap: failing(5, true).wrap }), Interrupted);
    await assert.rejects(waiting.claim(atMs), { code: "STORE_MOVED", message: /is being moved .*--abandon/ });
    await assert.rejects(elsewhere.claim(atMs), { code: "STORE_INCOMPLETE", message: /Run the same command again/ });
    await move(from, to);
    await assert.rejects(waiting.claim(atMs), { code: "STORE_MOVED", message: /was moved to/ });
    await assert.rejects(reader.post("p1", message, atMs), { code: "STORE_MOVED" });
    const asked = { ...edge(1, "another"), state: "open" } as const;
    await assert.rejects(reader.post("p1", message, atMs, asked), { code: "STORE_MOVED" });
    await assert.rejects(reader.takeDeadLetter(1, undefined, atMs), { code: "STORE_MOVED" });
    assert.equal((await reader.findProcess("p1"))?.pid, "p1");
    assert.equal((await reader.turns(1, 1, 10)).length, 3);
    const target = await to.mover();
    assert.equal(await reader.movedTo(), target.place);
    assert.equal(await elsewhere.movedTo(), undefined);
    await elsewhere.claim(atMs);
  });
}

// -- refusals ---------------------------------------------------------------------------------------------------

export function testRefusals(ends: Ends): void {
  rule(ends, "stays as long as an engine owns it, or where it is to go", async (from, to) => {
    const here = await owner(from);
    await assert.rejects(move(from, to), { code: "STORE_IN_USE" });
    await leave(here);
    const there = await owner(to);
    await assert.rejects(move(from, to), { code: "STORE_IN_USE" });
    await leave(there);
    // The refusals have left nothing behind.
    await leave(await owner(from));
    assert.equal((await move(from, to)).outcome, "complete");
  });

  rule(ends, "goes nowhere but into an empty one", async (from, to) => {
    const [here, there] = [await owner(from), await owner(to)];
    await here.putProgram(program, []);
    await there.putProgram(program, []);
    await leave(here);
    await leave(there);
    const refused = { code: "ARGUMENT_INVALID", message: /is not empty.*Nothing was changed/ };
    await assert.rejects(move(from, to), refused);
    await assert.rejects(move(from, from), { code: "ARGUMENT_INVALID", message: /the same store/ });
    await leave(await owner(from));
    await leave(await owner(to));
  });

  rule(ends, "that has begun to go somewhere goes nowhere else, and nothing else goes there", async (from, to) => {
    await leave(await owner(from));
    await assert.rejects(move(from, to, { wrap: failing(4, false).wrap }), Interrupted);
    await withEnds(ends, async (otherFrom, otherTo) => {
      await leave(await owner(otherFrom));
      await assert.rejects(move(from, otherTo), { code: "STORE_MOVED" });
      await assert.rejects(move(otherFrom, to), { code: "STORE_INCOMPLETE" });
      await assert.rejects(move(to, otherTo), { code: "STORE_INCOMPLETE" });
      assert.equal((await move(from, to)).outcome, "complete");
      await assert.rejects(move(from, otherTo), { code: "STORE_MOVED" });
      await assert.rejects(move(otherTo, from), { code: "STORE_MOVED" });
      assert.equal((await move(to, otherTo)).outcome, "complete");
    });
  });
  testAbandoning(ends);
}

function testAbandoning(ends: Ends): void {
  rule(ends, "can stay after all, until it has arrived", async (from, to) => {
    const store = await filled(from);
    const before = await rest(store);
    await leave(store);
    const abandon = (): Promise<boolean> => abandoning(from, to);
    assert.equal(await abandon(), false);
    for (const n of [2, 6, Infinity]) {
      const { wrap, count } = failing(n, true);
      const stopped: Wrap = (mover, role) =>
        n === Infinity && role === "target" ? withoutEnd(wrap(mover, role)) : wrap(mover, role);
      await assert.rejects(move(from, to, { wrap: stopped }), Interrupted, String(count()));
      assert.equal(await abandon(), true);
      const [here, there] = [await owner(from), await owner(to)];
      assert.deepEqual(await rest(here), before);
      assert.deepEqual(await there.programs(), []);
      await leave(here);
      await leave(there);
    }
    assert.equal((await move(from, to)).outcome, "complete");
    await assert.rejects(abandon(), { code: "STORE_MOVED" });
  });
}

/** The last word does not come. */
function withoutEnd(mover: Mover): Mover {
  return new Proxy(mover, {
    get(target, name: keyof Mover) {
      const value: unknown = target[name];
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (name === "complete") return Promise.reject(new Interrupted());
        return value.apply(target, args);
      };
    },
  });
}

async function abandoning(from: MovableFixture, to: MovableFixture): Promise<boolean> {
  const [source, target] = [await from.mover(), await to.mover()];
  try {
    return await abandonMigration(source, target);
  } finally {
    await source.close();
    await target.close();
  }
}
