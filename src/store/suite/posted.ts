/** What other nodes, and callers beside them, put into inboxes: how their owner finds it. */
import assert from "node:assert/strict";
import type { InboxRow } from "../port.ts";
import type { SharedSetup } from "./fixture.ts";
import { away, inputsOf, join, pair, posted, sharedRule, text } from "./shared.ts";
import { deadLetter, message, process, program, startMs } from "./samples.ts";

const atMs = startMs;

export function testPosted(setup: SharedSetup): void {
  testOnce(setup);
  testFound(setup);
}

function testOnce(setup: SharedSetup): void {
  sharedRule(setup, "what others put is handed out once, in order; what the owner puts is not", async (fixture) => {
    const [one, two] = await pair(fixture);
    const reader = await fixture.openReader();
    const put = (key: number, what: string) => ({ process: key, input: text(what), atMs });
    await two.store.commit({ atMs, inbox: [put(1, "a"), put(11, "own"), put(2, "b")] });
    await one.store.commit({ atMs, inbox: [put(1, "own"), put(11, "for two")] });
    await reader.post("p1", text("c"), atMs);
    await one.store.post("p2", text("d"), atMs);
    await two.store.commit({ atMs, inbox: [put(1, "e")] });
    assert.deepEqual(await posted(one, 2), ["a", "b"].map(text));
    assert.deepEqual(await posted(one, 2), ["c", "d"].map(text));
    assert.deepEqual(await posted(one), [text("e")]);
    assert.deepEqual(await posted(one), []);
    assert.deepEqual(await posted(two), [text("for two")]);
    assert.deepEqual(inputsOf(await one.store.inbox(1)), ["a", "own", "c", "e"].map(text));
  });

  sharedRule(setup, "rows come with their seqs, and those that were consumed do not come", async (fixture) => {
    const [one, two] = await pair(fixture);
    const inbox = ["a", "b", "c"].map((each) => ({ process: 1, input: text(each), atMs: atMs + 3 }));
    const { inboxSeqs } = await two.store.commit({ atMs, inbox });
    await one.store.commit({ atMs, inboxGone: inboxSeqs.slice(1, 2) });
    const rows = inbox.map((row, i) => ({ seq: inboxSeqs[i], ...row }));
    assert.deepEqual(await one.sharing.posted(9), [rows[0], rows[2]]);
  });

  sharedRule(setup, "what was put before a shard was acquired is found by recovery alone", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, inbox: [{ process: 1, input: text("before"), atMs }] });
    await one.store.commit(away({ yielded: [1] }));
    await one.store.post("p1", text("between"), atMs);
    await two.sharing.acquire([1], atMs);
    assert.deepEqual((await two.store.recover([1])).withInbox, [1]);
    await one.store.commit({ atMs, inbox: [{ process: 1, input: text("after"), atMs }] });
    assert.deepEqual(await posted(two), [text("after")]);
    assert.deepEqual(await posted(one), []);
    assert.deepEqual(inputsOf(await two.store.inbox(1)), ["before", "between", "after"].map(text));
  });
}

function testFound(setup: SharedSetup): void {
  sharedRule(setup, "one letter after the other is handed out, shard by shard", async (fixture) => {
    const one = await join(fixture, [1, 2, 3]);
    const two = await join(fixture);
    await one.store.putProgram(program, []);
    await one.store.commit({ atMs, newProcesses: [1, 2, 3].map((key) => process(key, { shard: key })) });
    const inbox = Array.from({ length: 30 }, (_, i) => ({ process: (i % 3) + 1, input: text(`${i}`), atMs }));
    await two.store.commit({ atMs, inbox });
    const rows: InboxRow[] = [];
    for (;;) {
      const page = await one.sharing.posted(4);
      rows.push(...page);
      if (page.length < 4) break;
    }
    for (const key of [1, 2, 3]) {
      const expected = inbox.filter((row) => row.process === key).map(({ input }) => input);
      assert.deepEqual(inputsOf(rows.filter((row) => row.process === key)), expected);
    }
    assert.equal(rows.length, 30);
  });

  sharedRule(setup, "a dead letter that is sent again reaches the owner", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, deadLetters: [{ ...deadLetter(11, ""), input: text("poison") }] });
    const [letter] = await two.store.deadLetters(11, 0, 9);
    assert.equal(await two.store.takeDeadLetter(letter?.seq ?? 0, "p1", atMs), true);
    assert.deepEqual(await posted(one), [text("poison")]);
  });

  sharedRule(setup, "a node is told soon that others have put something there", async (fixture) => {
    const [one, two] = await pair(fixture);
    const told = new Promise<void>((resolve) => one.sharing.listen(resolve));
    const putting = async (): Promise<void> => {
      await two.store.commit({ atMs, inbox: [{ process: 1, input: message, atMs }] });
    };
    await Promise.all([told, putting()]);
  });
}
