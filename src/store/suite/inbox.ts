/** The inbox: order, sequence numbers, and inputs posted by others than the owner. */
import assert from "node:assert/strict";
import type { Input } from "../../journal/types.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { everyInput, exit, message, process, startMs } from "./samples.ts";

const atMs = startMs;

function numbered(number: number): Input {
  return { kind: "message", from: "", body: { text: `j${number}` } };
}

export function testInbox(setup: StoreSetup): void {
  testOrder(setup);
  testPosting(setup);
}

function testOrder(setup: StoreSetup): void {
  ownerRule(
    setup,
    "inputs come back as they were, in the order they were put, with the seqs the commit told",
    async (store) => {
      const inbox = everyInput.map((input, i) => ({ process: 1, input, atMs: atMs + i }));
      const { inboxSeqs } = await store.commit({ atMs, newProcesses: [process(1)], inbox });
      assert.deepEqual(
        await store.inbox(1),
        inbox.map((row, i) => ({ seq: inboxSeqs[i], ...row })),
      );
      assert.deepEqual(
        inboxSeqs,
        inboxSeqs.toSorted((a, b) => a - b),
      );
    },
  );

  ownerRule(setup, "inputs are consumed by their seq, and those of other processes stay", async (store) => {
    const inbox = [1, 2, 1].map((process, i) => ({ process, input: numbered(i), atMs }));
    const { inboxSeqs } = await store.commit({ atMs, newProcesses: [process(1), process(2)], inbox });
    await store.commit({ atMs, inboxGone: inboxSeqs.slice(0, 1) });
    assert.deepEqual(
      (await store.inbox(1)).map((row) => row.input),
      [numbered(2)],
    );
    assert.equal((await store.inbox(2)).length, 1);
  });

  ownerRule(
    setup,
    "a seq never comes twice, even when the newest rows are gone and the store was reopened",
    async (store, { open }) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      const put = { atMs, inbox: [{ process: 1, input: message, atMs }] };
      const first = (await store.commit(put)).inboxSeqs[0] ?? 0;
      const second = (await store.commit({ ...put, inboxGone: [first] })).inboxSeqs[0] ?? 0;
      await store.commit({ atMs, inboxGone: [second] });
      await store.release(atMs);
      await store.close();
      const again = await open();
      await again.claim(atMs);
      const third = (await again.commit(put)).inboxSeqs[0] ?? 0;
      assert.ok(first > 0 && second > first && third > second, `${first} ${second} ${third}`);
      assert.equal((await again.inboxAfter(second, 10)).length, 1);
    },
  );

  ownerRule(setup, "inboxAfter pages through the inputs of all processes in their order", async (store) => {
    const inbox = Array.from({ length: 7 }, (_, i) => ({ process: (i % 2) + 1, input: numbered(i), atMs }));
    const { inboxSeqs } = await store.commit({ atMs, newProcesses: [process(1), process(2)], inbox });
    const pages: number[][] = [];
    for (let after = 0; ;) {
      const page = await store.inboxAfter(after, 3);
      if (page.length === 0) break;
      pages.push(page.map((row) => row.seq));
      after = page.at(-1)?.seq ?? 0;
    }
    assert.deepEqual(pages, [inboxSeqs.slice(0, 3), inboxSeqs.slice(3, 6), inboxSeqs.slice(6)]);
    assert.deepEqual(await store.inboxAfter(0, 0), []);
  });
}

function testPosting(setup: StoreSetup): void {
  ownerRule(
    setup,
    "a reader posts beside the owner, in order with the owner's own inputs",
    async (store, { openReader }) => {
      await store.commit({ atMs, newProcesses: [process(1)], inbox: [{ process: 1, input: numbered(1), atMs }] });
      const reader = await openReader();
      await reader.post("p1", numbered(2), atMs + 5);
      await store.commit({ atMs, inbox: [{ process: 1, input: numbered(3), atMs }] });
      await store.post("p1", numbered(4), atMs);
      const rows = await store.inbox(1);
      assert.deepEqual(
        rows.map((row) => row.input),
        [1, 2, 3, 4].map(numbered),
      );
      assert.equal(rows[1]?.atMs, atMs + 5);
      assert.deepEqual(await reader.inbox(1), rows);
    },
  );

  ownerRule(setup, "posting works without an owner, and the next one finds it", async (store, { open, openReader }) => {
    await store.commit({ atMs, newProcesses: [process(1)] });
    await store.release(atMs);
    await store.close();
    await (await openReader()).post("p1", message, atMs);
    const next = await open();
    await next.claim(atMs);
    assert.deepEqual((await next.recover()).withInbox, [1]);
  });

  ownerRule(setup, "posting reaches paused, crashed and broken processes", async (store, { openReader }) => {
    const states = ["paused", "crashed", "broken"] as const;
    await store.commit({ atMs, newProcesses: states.map((state, i) => process(i + 1, { state, problem: "x" })) });
    const reader = await openReader();
    for (const pid of ["p1", "p2", "p3"]) await reader.post(pid, message, atMs);
    assert.deepEqual((await store.recover()).withInbox, [1, 2, 3]);
  });

  ownerRule(setup, "inputs of every kind may be posted", async (store, { openReader }) => {
    await store.commit({ atMs, newProcesses: [process(1)] });
    const reader = await openReader();
    for (const input of everyInput) await reader.post("p1", input, atMs);
    assert.deepEqual(
      (await store.inbox(1)).map((row) => row.input),
      everyInput,
    );
  });

  ownerRule(
    setup,
    "posting to nobody or to an exited process is refused and leaves nothing",
    async (store, { openReader }) => {
      await store.commit({ atMs, newProcesses: [process(1)], exits: [{ process: 1, exit }] });
      const reader = await openReader();
      await assert.rejects(reader.post("nobody", message, atMs), { code: "PROCESS_NOT_FOUND" });
      await assert.rejects(reader.post("p1", message, atMs), { code: "PROCESS_EXITED" });
      assert.deepEqual(await store.inboxAfter(0, 10), []);
    },
  );
}

/** Of stores that have one owner. */
export function testNoticing(setup: StoreSetup): void {
  ownerRule(
    setup,
    "the owner notices others' writes, once each time, and not its own",
    async (store, { openReader }) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      const reader = await openReader();
      await store.changedByOthers();
      const noticed: boolean[] = [await store.changedByOthers()];
      await store.commit({ atMs, inbox: [{ process: 1, input: message, atMs }] });
      noticed.push(await store.changedByOthers());
      await reader.post("p1", message, atMs);
      noticed.push(await store.changedByOthers(), await store.changedByOthers());
      await reader.post("p1", message, atMs);
      await store.commit({ atMs });
      noticed.push(await store.changedByOthers(), await store.changedByOthers());
      assert.deepEqual(noticed, [false, false, true, false, true, false]);
    },
  );
}
