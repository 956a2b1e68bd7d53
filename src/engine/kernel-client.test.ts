import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelClient } from "./kernel-client.ts";

test("who asks a kernel that turns out not to open hears why", async () => {
  const heard: Error[] = [];
  const node = { name: "a", host: "here", pid: 1, release: "0", labels: [], file: "", operations: [] };
  // Nobody listens there.
  const data = { store: "postgres://ann:secret@127.0.0.1:1/app", node };
  const kernel = new KernelClient(
    data,
    () => undefined,
    (error) => heard.push(error),
  );
  const asked = kernel.call("ping");
  await Promise.all([
    assert.rejects(kernel.opened(), { code: "STORE_UNREACHABLE" }),
    assert.rejects(asked, { code: "STORE_UNREACHABLE" }),
  ]);
  await assert.rejects(kernel.call("ping"), { code: "STORE_UNREACHABLE" });
  assert.deepEqual(heard, []);
});
