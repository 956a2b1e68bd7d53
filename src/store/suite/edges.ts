/** What was asked under keys: once, and with one answer. */
import assert from "node:assert/strict";
import type { EdgeEnd, EdgeRow, Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { edge, exit, message, process, startMs } from "./samples.ts";

const atMs = startMs;
const answer = { text: "v[[1],[]]", chunks: [new Uint8Array([0, 255]), new Uint8Array(0)] };

function ended({ process, key, digest }: EdgeRow, state: "set-aside" | "forgotten" | "answered"): EdgeEnd {
  return state === "answered" ? { process, key, digest, state, answer } : { process, key, digest, state };
}

/** As it is put in. */
function asked({ process, key, digest, about, atMs: asAtMs }: EdgeRow, state: "sent" | "open" = "open") {
  return { process, key, digest, about, atMs: asAtMs, state };
}

async function stateOf(store: Store, key: string): Promise<string | undefined> {
  return (await store.edge(1, key))?.state;
}

export function testEdges(setup: StoreSetup): void {
  testKeeping(setup);
  testEnds(setup);
  testPostingOnce(setup);
  testSuperseding(setup);
  testPruning(setup);
}

function testKeeping(setup: StoreSetup): void {
  ownerRule(setup, "edges come back as they were, by process and key, and after a crash", async (store, fixture) => {
    const rows = [edge(1, "b"), edge(1, "a", { state: "sent", about: "the message 'ä\u{1f600}'" }), edge(2, "b")];
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      edges: rows.map((row) => asked(row, row.state as "open")),
    });
    await fixture.crash(store);
    const next = await fixture.open();
    assert.deepEqual(await next.edge(1, "b"), rows[0]);
    assert.deepEqual(await next.edge(2, "b"), rows[2]);
    assert.equal(await next.edge(2, "a"), undefined);
    assert.equal(await next.edge(9, "a"), undefined);
    assert.deepEqual(await next.edges(1, "", 10), [rows[1], rows[0]]);
    assert.deepEqual(await (await fixture.openReader()).edges(1, "a", 10), [rows[0]]);
  });

  ownerRule(setup, "a process's edges are listed by code points, page by page", async (store) => {
    const keys = ["Z", "a", "é", "\uffee", "\u{1f600}", "10", "9"];
    await store.commit({ atMs, newProcesses: [process(1)], edges: keys.map((key) => asked(edge(1, key))) });
    const found: string[] = [];
    for (let page = await store.edges(1, "", 3); page.length > 0; page = await store.edges(1, found.at(-1) ?? "", 3)) {
      found.push(...page.map(({ key }) => key));
    }
    assert.deepEqual(found, ["10", "9", "Z", "a", "é", "\uffee", "\u{1f600}"]);
    assert.deepEqual(await store.edges(1, "", 0), []);
  });

  ownerRule(setup, "an edge of nobody is refused with all of its commit", async (store) => {
    const batch = { atMs, newProcesses: [process(1)], edges: [asked(edge(7, "a"))] };
    await assert.rejects(store.commit(batch), { code: "PROCESS_NOT_FOUND" });
    assert.equal(await store.getProcess(1), undefined);
  });

  ownerRule(setup, "edges stay when their process exits", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)], edges: [asked(edge(1, "a")), asked(edge(1, "b"))] });
    await store.commit({ atMs, edgeEnds: [ended(edge(1, "a"), "answered")], exits: [{ process: 1, exit }] });
    assert.deepEqual(await store.edges(1, "", 10), [edge(1, "a", { state: "answered", answer }), edge(1, "b")]);
  });
}

function testEnds(setup: StoreSetup): void {
  ownerRule(setup, "the first answer to a call stays its answer", async (store) => {
    const row = edge(1, "a");
    await store.commit({ atMs, newProcesses: [process(1)], edges: [asked(row)], edgeEnds: [ended(row, "answered")] });
    const { process: key, digest } = row;
    const other: EdgeEnd = { process: key, key: "a", digest, state: "answered", answer: { text: "j2" } };
    await store.commit({ atMs, edgeEnds: [other, ended(row, "forgotten"), ended(row, "set-aside")] });
    assert.deepEqual(await store.edge(1, "a"), { ...row, state: "answered", answer });
  });

  ownerRule(setup, "what a call came to may still be followed by its answer, and by nothing else", async (store) => {
    const edges = [asked(edge(1, "set-aside")), asked(edge(1, "forgotten"))];
    await store.commit({ atMs, newProcesses: [process(1)], edges });
    for (const state of ["set-aside", "forgotten"] as const) {
      await store.commit({ atMs, edgeEnds: [ended(edge(1, state), state)] });
      const other = state === "forgotten" ? "set-aside" : "forgotten";
      await store.commit({ atMs, edgeEnds: [ended(edge(1, state), other)] });
      assert.equal(await stateOf(store, state), state);
      await store.commit({ atMs, edgeEnds: [ended(edge(1, state), "answered")] });
      assert.deepEqual((await store.edge(1, state))?.answer, answer);
    }
  });

  ownerRule(
    setup,
    "an end of nothing changes nothing: of a message, of another digest, key or process",
    async (store) => {
      const message = edge(1, "message", { state: "sent" });
      const call = edge(1, "call");
      await store.commit({ atMs, newProcesses: [process(1)], edges: [asked(message, "sent"), asked(call)] });
      const edgeEnds = [
        ended(message, "answered"),
        ended({ ...call, digest: "f".repeat(32) }, "answered"),
        ended({ ...call, key: "none" }, "answered"),
        ended({ ...call, process: 9 }, "answered"),
      ];
      await store.commit({ atMs, edgeEnds });
      assert.deepEqual(await store.edges(1, "", 10), [call, message]);
    },
  );
}

const once = { key: "a", digest: edge(1, "a").digest, about: "x", state: "sent" } as const;

function testPostingOnce(setup: StoreSetup): void {
  ownerRule(
    setup,
    "what is posted under a key is posted once, also after its process has exited",
    async (store, fixture) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      const reader = await fixture.openReader();
      assert.equal(await reader.post("p1", message, atMs + 5, once), true);
      assert.equal(await store.post("p1", message, atMs + 6, once), false);
      assert.equal((await store.inbox(1)).length, 1);
      assert.deepEqual(await store.edge(1, "a"), { ...once, process: 1, atMs: atMs + 5, answer: undefined });
      await store.commit({ atMs, exits: [{ process: 1, exit }] });
      assert.equal(await reader.post("p1", message, atMs + 7, once), false);
      await assert.rejects(reader.post("p1", message, atMs, { ...once, key: "b" }), { code: "PROCESS_EXITED" });
      assert.equal(await store.edge(1, "b"), undefined);
      await assert.rejects(reader.post("p9", message, atMs, once), { code: "PROCESS_NOT_FOUND" });
    },
  );

  ownerRule(setup, "what is posted without a key is posted each time", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)] });
    assert.deepEqual([await store.post("p1", message, atMs), await store.post("p1", message, atMs)], [true, true]);
    assert.equal((await store.inbox(1)).length, 2);
  });

  ownerRule(setup, "something else under the same key is KEY_CONFLICT, which names both", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)], edges: [asked(edge(1, "a", { about: "add(3)" }))] });
    const other = { ...once, digest: "e".repeat(32), about: "add(4)" };
    await assert.rejects(store.post("p1", message, atMs, other), {
      code: "KEY_CONFLICT",
      message: /"a" was used before with p1, for add\(3\) at 2025-.* and now for add\(4\)/,
    });
    assert.deepEqual(await store.inbox(1), []);
  });
}

function testSuperseding(setup: StoreSetup): void {
  ownerRule(
    setup,
    "the owner's message takes the place of the same one that was posted meanwhile",
    async (store, fixture) => {
      await store.commit({ atMs, newProcesses: [process(1), process(2)] });
      const reader = await fixture.openReader();
      await reader.post("p2", message, atMs, once);
      await reader.post("p1", message, atMs, once);
      const seq = (await store.inbox(1))[0]?.seq;
      const edges = [{ ...asked(edge(1, "a", { atMs: atMs + 9 })) }];
      const { inboxSeqs, superseded } = await store.commit({
        atMs,
        inbox: [{ process: 1, input: message, atMs }],
        edges,
      });
      assert.deepEqual(superseded, [seq]);
      assert.deepEqual(
        (await store.inbox(1)).map((row) => row.seq),
        inboxSeqs,
      );
      assert.equal((await store.inbox(2)).length, 1);
      assert.deepEqual(await store.edge(1, "a"), { ...once, process: 1, atMs, answer: undefined });
    },
  );

  ownerRule(setup, "a posted message that was taken, or another one, is not superseded", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)] });
    await store.post("p1", message, atMs, once);
    await store.post("p1", message, atMs, { ...once, key: "b", digest: "e".repeat(32) });
    const [first] = await store.inbox(1);
    await store.commit({ atMs, inboxGone: [first?.seq ?? 0] });
    const { superseded } = await store.commit({ atMs, edges: [asked(edge(1, "a")), asked(edge(1, "b"))] });
    assert.deepEqual(superseded, []);
    assert.equal((await store.inbox(1)).length, 1);
    assert.equal((await store.edge(1, "b"))?.digest, "e".repeat(32));
  });

  ownerRule(
    setup,
    "a posted message that is taken in the same commit is not superseded, and none is twice",
    async (store) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      await store.post("p1", message, atMs, once);
      await store.post("p1", message, atMs, { ...once, key: "b", digest: edge(1, "b").digest });
      const [first, second] = await store.inbox(1);
      const edges = [asked(edge(1, "a")), asked(edge(1, "b")), asked(edge(1, "b"))];
      const { superseded } = await store.commit({ atMs, inboxGone: [first?.seq ?? 0], edges });
      assert.deepEqual(superseded, [second?.seq]);
      assert.deepEqual(await store.inbox(1), []);
    },
  );
}

function testPruning(setup: StoreSetup): void {
  ownerRule(setup, "old edges are pruned oldest first, but for open ones of those who live", async (store) => {
    const rows = [
      edge(1, "open", { atMs: 1 }),
      edge(1, "sent", { atMs: 2 }),
      edge(2, "open", { atMs: 3 }),
      edge(1, "answered", { atMs: 4 }),
      edge(1, "young", { atMs: 5 }),
    ];
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      edges: rows.map((row) => asked(row, row.key === "sent" ? "sent" : "open")),
      edgeEnds: [ended(edge(1, "answered"), "answered"), ended(edge(1, "young"), "answered")],
      exits: [{ process: 2, exit }],
    });
    assert.equal(await store.pruneEdges(5, 1), 1);
    assert.deepEqual([await stateOf(store, "sent"), (await store.edge(2, "open"))?.state], [undefined, "open"]);
    assert.equal(await store.pruneEdges(5, 10), 2);
    assert.deepEqual(
      (await store.edges(1, "", 10)).map(({ key }) => key),
      ["open", "young"],
    );
    assert.deepEqual([await store.edges(2, "", 10), await store.pruneEdges(5, 10)], [[], 0]);
  });

  ownerRule(setup, "only the owner prunes", async (store, fixture) => {
    await fixture.usurp();
    await assert.rejects(store.pruneEdges(5, 1), { code: "STORE_FENCED" });
  });
}
