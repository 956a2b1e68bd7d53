/** Posting beside the owner, when something happens in the middle of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { place, skip } from "../../../test/support/postgres-place.ts";
import { edge, exit, message, process, program, startMs } from "../suite/samples.ts";
import { Hints } from "./hints.ts";
import { Line } from "./line.ts";
import { lineOptions } from "./open.ts";
import { post } from "./outside.ts";
import { queries } from "./queries.ts";

test(
  "what was asked under a key counts as asked, though its process was asked by another and has exited since one looked",
  { skip },
  async (t) => {
    const at = await place(t);
    const store = await at.direct();
    await store.claim(startMs);
    const shards = (await store.sharing.shards()).map(({ shard }) => shard);
    await store.sharing.acquire(shards);
    await store.putProgram(program, []);
    await store.commit({ atMs: startMs, newProcesses: [process(1, { shard: 1 })] });
    const { pid } = process(1);
    const asked = { key: "a", digest: edge(1, "a").digest, about: "", state: "sent" } as const;

    const line = new Line(lineOptions(at.url, { schema: at.schema }));
    t.after(() => line.close());
    const look = line.get.bind(line);
    let meanwhile = async (): Promise<void> => {
      await store.post(pid, message, startMs, asked);
      await store.commit({ atMs: startMs, exits: [{ process: 1, exit }] });
    };
    line.get = async (of, ...values) => {
      const found = await look(of, ...values);
      if (of !== queries.edge) return found;
      const act = meanwhile;
      meanwhile = () => Promise.resolve();
      await act();
      return found;
    };
    const outside = { line, hints: new Hints(store.id, { notify: false, listen: undefined }) };
    const input = { input: message, atMs: startMs };
    assert.equal(await post(outside, pid, { ...input, asked }), false);
    // What nobody has asked is refused.
    await assert.rejects(post(outside, pid, { ...input, asked: { ...asked, key: "b" } }), { code: "PROCESS_EXITED" });
  },
);
