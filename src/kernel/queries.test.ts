import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeValue } from "../base/value.ts";
import type { QueryOutcome } from "../machine/port.ts";
import { process } from "../store/suite/samples.ts";
import { newLive } from "./live.ts";
import { Queries } from "./queries.ts";
import type { QueriesPorts } from "./queries.ts";

test("a query that comes back without an answer from a process that is on its way to another node does not keep it here", async () => {
  const asked: ((outcome: QueryOutcome) => void)[] = [];
  const queries = new Queries({
    machine: { query: () => new Promise((resolve) => asked.push(resolve)) },
    events: { notice: () => undefined },
    runs: { load: () => Promise.resolve({ tail: [] }), ready: () => undefined },
    failed: (error) => assert.fail(error),
  } satisfies QueriesPorts);
  const live = newLive(process(1));
  live.lastTurn = 1;
  const answer = queries.ask(live, { method: "read", body: encodeValue(null), replyTo: "caller" }, () => assert.fail());
  const refused = assert.rejects(answer, { code: "PROCESS_ELSEWHERE" });
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  assert.equal(live.pins, 1);
  live.leaving = true;
  queries.leaving(live);
  await refused;
  asked[0]?.({ kind: "absent" });
  for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  assert.deepEqual([live.pins, asked.length], [0, 1]);
});
