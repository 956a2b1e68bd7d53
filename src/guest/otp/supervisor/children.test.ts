import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckedChild } from "./check.ts";
import { newChild } from "./child.ts";
import type { Child } from "./child.ts";
import { Children } from "./children.ts";

function child(id: string, pid: string | undefined, restart: CheckedChild["restart"] = "permanent"): Child {
  return newChild({ id, restart } as CheckedChild, pid);
}

const ids = (children: readonly Child[]): string[] => children.map(({ spec }) => spec.id);

test("children keep the order in which they were added; one that comes back comes last", () => {
  const children = new Children();
  const [a, b, c] = [child("a", "1"), child("b", "2"), child("c", undefined)];
  for (const each of [a, b, c]) children.add(each);
  children.setPid(a, "3");
  assert.deepEqual(ids(children.all()), ["a", "b", "c"]);
  assert.deepEqual(ids(children.from(b)), ["b", "c"]);
  children.remove(a);
  children.add(a);
  assert.deepEqual(ids(children.all()), ["b", "c", "a"]);
});

test("a child is found by its process, and by none that it had before", () => {
  const children = new Children();
  const a = child("a", "1");
  children.add(a);
  assert.equal(children.of("1"), a);
  children.setPid(a, "2");
  assert.deepEqual([children.of("1"), children.of("2")], [undefined, a]);
  a.restarting = true;
  children.setPid(a, undefined);
  assert.deepEqual([children.of("2"), a.restarting], [undefined, false]);
});

test("without its process a temporary child leaves the list, and no other does", () => {
  const children = new Children();
  for (const restart of ["permanent", "transient", "temporary"] as const) {
    const each = child(restart, restart, restart);
    children.add(each);
    children.stopped(each);
    assert.equal(children.of(restart), undefined);
  }
  assert.deepEqual(ids(children.all()), ["permanent", "transient"]);
});
