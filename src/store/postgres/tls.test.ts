/** Encrypted connections: what each `sslmode` accepts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { skip as unavailable } from "../../../test/support/postgres-place.ts";
import { rowsByHand } from "../../../test/support/postgres-place.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import type { PostgresServer } from "../../../test/support/postgres.ts";
import { openPostgresStore } from "./index.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const skip = unavailable || (hasOpenssl ? false : "no openssl to make a certificate with");

describe("TLS", { skip }, () => {
  let folder = "";
  let certificate = "";
  let encrypted: PostgresServer;
  let plain: PostgresServer;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "perdure-tls-"));
    certificate = join(folder, "certificate.pem");
    const key = join(folder, "key.pem");
    const subject = ["-subj", "/CN=a test", "-addext", "subjectAltName=IP:127.0.0.1"];
    const made = spawnSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate, ...subject],
      { encoding: "utf8" },
    );
    assert.equal(made.status, 0, made.stderr);
    [encrypted, plain] = await Promise.all([startPostgres({ tls: { certificate, key } }), startPostgres()]);
  });

  after(async () => {
    await Promise.all([encrypted.stop(), plain.stop()]);
    rmSync(folder, { recursive: true });
  });

  const isEncrypted = async (url: string): Promise<unknown> => {
    const [row] = await rowsByHand(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    return row?.["ssl"];
  };

  const accepted: Readonly<Record<string, readonly [onEncrypted: unknown, onPlain: unknown]>> = {
    disable: [0, 0],
    prefer: [1, 0],
    require: [1, "STORE_UNREADABLE"],
    "verify-ca": ["STORE_UNREADABLE", "STORE_UNREADABLE"],
    "verify-full": ["STORE_UNREADABLE", "STORE_UNREADABLE"],
  };
  for (const [mode, expected] of Object.entries(accepted)) {
    test(`sslmode ${mode} with a certificate that nobody vouches for`, async () => {
      for (const [i, server] of [encrypted, plain].entries()) {
        const url = `${server.url}?sslmode=${mode}`;
        const want = expected[i];
        if (typeof want === "number") assert.equal(await isEncrypted(url), want);
        else await assert.rejects(openPostgresStore(url), { code: want });
      }
    });
  }

  test("a certificate that is trusted passes verify-full if it names the host, and verify-ca whomever it names", async () => {
    const trust = `sslrootcert=${encodeURIComponent(certificate)}`;
    assert.equal(await isEncrypted(`${encrypted.url}?sslmode=verify-full&${trust}`), 1);
    const other = encrypted.url.replace("127.0.0.1", "localhost");
    assert.equal(await isEncrypted(`${other}?sslmode=verify-ca&${trust}`), 1);
    await assert.rejects(openPostgresStore(`${other}?sslmode=verify-full&${trust}`), {
      code: "STORE_UNREADABLE",
      message: /not to be trusted/,
    });
    const store = await openPostgresStore(`${encrypted.url}?sslmode=verify-full&${trust}`);
    // Large values in both directions.
    await store.claim(1);
    await store.putBlob("x", new Uint8Array(3_000_000).fill(5));
    assert.deepEqual(await store.blob("x"), new Uint8Array(3_000_000).fill(5));
    await store.close();
  });
});
