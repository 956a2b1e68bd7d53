import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../journal/types.ts";
import { process, startMs } from "../store/suite/samples.ts";
import { turnEffects } from "./effects.ts";
import { newLive } from "./live.ts";
import { Peers } from "./peers.ts";
import type { PeersPorts } from "./peers.ts";

test("a turn that sends something to a process which has just come to this node waits until that has what was sent before", async () => {
  const receiver = newLive(process(2));
  const settled = Promise.withResolvers<void>();
  let isNew = true;
  const peers = new Peers({
    registry: {
      beginLooking: () => undefined,
      endLooking: () => undefined,
      get: () => receiver,
      named: () => receiver,
      hasLeft: () => false,
      knownOrDamaged: () => Promise.resolve(receiver),
      reach: () => Promise.resolve(receiver),
    },
    names: { pidOf: () => undefined, refresh: () => Promise.resolve() },
    births: { underway: () => undefined },
    shards: { isMine: () => true, newcomer: () => (isNew ? settled.promise : undefined) },
    committed: () => assert.fail("nobody begins"),
  } satisfies PeersPorts);
  const commands: Command[] = [{ kind: "send", to: receiver.row.pid, body: { text: "u" } }];
  const finished = { number: 1, timeMs: startMs, inputs: [], commands, digests: [] };
  const sender = newLive(process(1));
  let isStaged = false;
  const gathered = peers.gather(sender, turnEffects(sender, finished, 0), () => (isStaged = true));
  await new Promise(setImmediate);
  assert.equal(isStaged, false);
  isNew = false;
  settled.resolve();
  await gathered;
  assert.equal(isStaged, true);
});
