import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store } from "../store/port.ts";
import { Stage } from "./batch.ts";
import type { Committer } from "./batch.ts";
import { Names } from "./names.ts";

test("when the store could not be asked for names, whoever looks next asks it anew, and misses no change", async () => {
  let failures = 2;
  let hasChanged = true;
  const namesChanged = (): Promise<boolean> => {
    if (failures === 2) return Promise.reject(new Error(`failure ${failures--}`));
    // It tells of a change once.
    const answer = Promise.resolve(hasChanged);
    hasChanged = false;
    return answer;
  };
  const names = new Names({
    committer: { stage: new Stage() } as Committer,
    store: {
      sharing: { namesChanged } as unknown as NonNullable<Store["sharing"]>,
      names: () =>
        failures > 0
          ? Promise.reject(new Error(`failure ${failures--}`))
          : Promise.resolve([{ name: "a", process: 1, pid: "p1" }]),
      groups: () => Promise.resolve([]),
    },
  });
  await assert.rejects(names.refresh(), /failure 2/);
  await assert.rejects(names.refresh(), /failure 1/);
  await names.refresh();
  assert.equal(names.pidOf("a"), "p1");
});
