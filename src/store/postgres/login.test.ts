/** Logins as servers ask for them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync, chmodSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { byHand, rowsByHand, skip } from "../../../test/support/postgres-place.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import { openPostgresStore } from "./index.ts";

test("passwords are given in clear text, as MD5 and by SCRAM, as the server asks", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "perdure-login-"));
  t.after(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o755);
  const rules = join(folder, "pg_hba.conf");
  const ways = { clear: "password", hashed: "md5", open: "trust", perdure: "scram-sha-256" };
  writeFileSync(
    rules,
    Object.entries(ways)
      .map(([user, way]) => `host all ${user} 127.0.0.1/32 ${way}\n`)
      .join(""),
  );
  const server = await startPostgres({ settings: { hba_file: rules, password_encryption: "md5" } });
  t.after(() => server.stop());
  for (const user of ["clear", "hashed", "open"]) {
    await byHand(server.url, `CREATE ROLE ${user} LOGIN PASSWORD 'öpen: sésame'`);
    const url = new URL(server.url);
    url.username = user;
    url.password = "öpen: sésame";
    assert.equal((await rowsByHand(url.href, "SELECT CAST(current_user AS text) AS name"))[0]?.["name"], user);
    // Without the right to make a schema.
    await assert.rejects(openPostgresStore(url.href), { code: "STORE_UNREADABLE", message: /permission denied/ });
    if (user === "open") continue;
    url.password = "wrong";
    await assert.rejects(openPostgresStore(url.href), { code: "STORE_UNREADABLE", message: /refuses the login/ });
    url.password = "";
    await assert.rejects(openPostgresStore(url.href), { code: "STORE_UNREADABLE", message: /none was given/ });
  }
  await assert.rejects(openPostgresStore(server.url.replace("perdure:", "stranger:")), { code: "STORE_UNREADABLE" });
});

/** Says `bytes` to whoever connects. */
async function impostor(t: { after(fn: () => void): void }, say: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => undefined));
    socket.once("data", () => say(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `postgres://ann:secret@127.0.0.1:${(server.address() as AddressInfo).port}/db?sslmode=disable`;
}

function message(kind: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(content.length + 4);
  return Buffer.concat([Buffer.from(kind), length, content]);
}

const impostors: Readonly<Record<string, readonly [(socket: Socket) => void, RegExp]>> = {
  "that lets anybody in half-way through the proof": [
    (socket) => {
      socket.write(message("R", Buffer.concat([Buffer.from([0, 0, 0, 10]), Buffer.from("SCRAM-SHA-256\0\0")])));
      socket.once("data", () =>
        socket.write(Buffer.concat([message("R", Buffer.alloc(4)), message("Z", Buffer.from("I"))])),
      );
    },
    /did not prove that it knows the password/,
  ],
  "that speaks another protocol": [(socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"), /does not speak/],
  "that hangs up": [(socket) => void socket.destroy(), /the database is away/],
  "that says nothing": [() => undefined, /no connection within 300 ms/],
};

for (const [what, [say, expected]] of Object.entries(impostors)) {
  test(`a server ${what} is refused, without showing the password`, async (t) => {
    const url = await impostor(t, say);
    await assert.rejects(openPostgresStore(url, { connectTimeoutMs: 300, retryMs: 0 }), (error: Error) => {
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });
}
