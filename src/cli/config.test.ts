import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { writeProject } from "../../test/support/project.ts";
import { checkConfig, engineOptions, loadConfig } from "./config.ts";

test("without a file there is no configuration", async (t) => {
  const folder = await writeProject(t, { "app.ts": "" });
  assert.deepEqual(await loadConfig(folder), { file: undefined, config: {} });
});

test("the nearest configuration counts, whatever its kind", async (t) => {
  const files = {
    "perdure.config.json": '{"store": "json.db"}',
    "ts/perdure.config.ts": 'export default { store: "ts.db" as string, closeTimeout: "2s" };',
    "js/perdure.config.js": 'module.exports = { store: "js.db" };',
    "mjs/perdure.config.mjs": 'export default { store: "mjs.db" };',
  };
  const root = await writeProject(t, files);
  for (const kind of ["ts", "js", "mjs"]) {
    const folder = path.join(root, kind);
    const { file, config } = await loadConfig(folder);
    assert.equal(file, path.join(folder, `perdure.config.${kind}`));
    assert.equal(config.store, `${kind}.db`);
  }
  await mkdir(path.join(root, "some/where"), { recursive: true });
  const { file, config } = await loadConfig(path.join(root, "some/where"));
  assert.equal(file, path.join(root, "perdure.config.json"));
  assert.equal(config.store, "json.db");
});

test("two configurations side by side are one too many", async (t) => {
  const folder = await writeProject(t, { "perdure.config.json": "{}", "perdure.config.ts": "export default {}" });
  await assert.rejects(
    loadConfig(folder),
    (error) => isPerdureError(error, "CONFIG_INVALID") && /Keep one of them/.test(error.message),
  );
});

test("a configuration that cannot be read says so and where", async (t) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["perdure.config.json", "{", /it is not JSON/],
    ["perdure.config.ts", "export const store = 1;", /no default export/],
    ["perdure.config.mjs", 'throw new Error("no such secret")', /cannot be loaded: no such secret/],
    ["perdure.config.json", "[]", /it is a list; it must be an object/],
  ];
  for (const [name, text, message] of cases) {
    const folder = await writeProject(t, {});
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, name), text);
    await assert.rejects(loadConfig(folder), (error) => {
      assert.ok(isPerdureError(error, "CONFIG_INVALID"));
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(path.join(folder, name)), error.message);
      return true;
    });
  }
});

test("each key is checked, and the message names it and what it must be", () => {
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    [{ store: 5 }, "store", /it is 5; it must be a text/],
    [{ keep: "a while" }, "keep", /it must be a duration/],
    [{ keep: { ages: "7d" } }, "keep.ages", /one of the keys there are: age, count, failures/],
    [{ keep: { count: -1 } }, "keep.count", /a whole number from 0/],
    [{ tombstones: true }, "tombstones", /it must be a duration/],
    [{ archive: "" }, "archive", /it must be a text/],
    [{ stores: "x" }, "stores", /it must be one of the keys there are: store, env/],
    [{ env: "HOME" }, "env", /it must be a list of texts/],
    [{ env: ["HOME", 5] }, "env[1]", /it is 5; it must be a text/],
    [{ operationConcurrency: 0 }, "operationConcurrency", /a whole number from 1/],
    [{ operationConcurrency: 1.5 }, "operationConcurrency", /a whole number from 1/],
    [{ guestThreads: 65 }, "guestThreads", /a whole number from 1 to 64/],
    [{ fetchPolicy: { hosts: [] } }, "fetchPolicy.hosts", /origins, methods/],
    [{ fetchPolicy: { allowPrivate: "10.0.0.0/8" } }, "fetchPolicy.allowPrivate", /a list of texts/],
    [{ fetchPolicy: { allowPrivate: ["localhost"] } }, "fetchPolicy", /an address or a block/],
    [{ fetchPolicy: { maxRequestBytes: "1 MiB" } }, "fetchPolicy.maxRequestBytes", /a whole number from 0 to 33554432/],
    [{ fetchPolicy: { maxResponseBytes: 33_554_433 } }, "fetchPolicy.maxResponseBytes", /to 33554432/],
    [{ fetchPolicy: { origins: ["example.com"] } }, "fetchPolicy", /an origin like/],
    [
      { limits: { limits: { memoryBytes: "1 GiB" } } },
      "limits.limits.memoryBytes",
      /it is "1 GiB"; it must be a whole number/,
    ],
    [{ limits: { pool: null } }, "limits.pool", /it is null; it must be an object/],
    [{ closeTimeout: "soon" }, "closeTimeout", /it must be a duration/],
    [{ toString: 1 }, "toString", /one of the keys/],
  ];
  for (const [value, key, message] of cases) {
    assert.throws(
      () => checkConfig("perdure.config.json", value),
      (error) => {
        assert.ok(isPerdureError(error, "CONFIG_INVALID"));
        assert.equal(error.details["key"], key);
        assert.ok(error.message.startsWith(`perdure.config.json: ${key}: `), error.message);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

test("an engine gets what was configured, limits completed by the defaults, and nothing else", () => {
  const defaults = { limits: { memoryBytes: 1, stackBytes: 2 }, pool: { instanceBytes: 3, pageCacheBytes: 4 } };
  assert.deepEqual(engineOptions({ store: "x.db", env: ["HOME"] }, defaults), {});
  const config = checkConfig("c", {
    operationConcurrency: 7,
    guestThreads: 2,
    fetchPolicy: { origins: ["https://api.example.com"], allowPrivate: ["10.0.0.0/8"], maxResponseBytes: 1000 },
    closeTimeout: "2s",
    keep: { age: "7 days", count: 10, failures: "forever" },
    tombstones: "1 week",
    limits: { fuelInterrupts: 9, limits: { memoryBytes: 64 << 20 } },
  });
  assert.deepEqual(engineOptions(config, defaults), {
    operationConcurrency: 7,
    guestThreads: 2,
    fetchPolicy: { origins: ["https://api.example.com"], allowPrivate: ["10.0.0.0/8"], maxResponseBytes: 1000 },
    closeTimeoutMs: 2000,
    keep: { age: "7 days", count: 10, failures: "forever" },
    tombstones: "1 week",
    limits: { fuelInterrupts: 9, limits: { memoryBytes: 64 << 20, stackBytes: 2 }, pool: defaults.pool },
  });
});
