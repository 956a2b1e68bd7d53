/** A PgBouncer in transaction mode before a server, where this machine has one. It is gone when the process that started it is. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";
import { parseAddress } from "../../src/store/postgres/wire/address.ts";
import { freePort, unprivilegedUser } from "./postgres.ts";
import type { PostgresServer } from "./postgres.ts";

// Debian has it where an ordinary user does not look.
const places = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
const program = places.map((folder) => join(folder, "pgbouncer")).find((path) => existsSync(path));

/** For `skip` of tests. */
export const noPgBouncer: string | false = program === undefined ? "there is no pgbouncer on this machine" : false;

/** The URL that leads through it says that no statements are kept prepared: not every release knows of them. */
export async function pgBouncer(
  t: TestContext,
  server: Pick<PostgresServer, "url">,
  connections: number,
): Promise<string> {
  if (program === undefined) throw new Error(String(noPgBouncer));
  const { host, port, user, password, database } = parseAddress(server.url);
  const folder = mkdtempSync(join(tmpdir(), "perdure-pgbouncer-"));
  const own = await freePort();
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: own,
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: join(folder, "users"),
    pool_mode: "transaction",
    default_pool_size: connections,
    max_client_conn: 200,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const paths = { file: join(folder, "pgbouncer.ini"), users: settings.auth_file };
  writeFileSync(paths.file, `[databases]\n${database} = host=${host} port=${port}\n[pgbouncer]\n${lines.join("\n")}\n`);
  writeFileSync(paths.users, `${quoted(user)} ${quoted(password)}\n`, { mode: 0o600 });
  const unprivileged = unprivilegedUser();
  if (unprivileged !== undefined)
    for (const path of [folder, ...Object.values(paths)]) chownSync(path, unprivileged.uid, unprivileged.gid);
  const child = spawn(program, [paths.file], { ...unprivileged, stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(child, "exit");
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  t.after(async () => {
    process.off("exit", kill);
    kill();
    await gone;
    rmSync(folder, { recursive: true });
  });
  let said = "";
  const up = new Promise<void>((resolve) => {
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("process up")) resolve();
    });
  });
  await Promise.race([
    up,
    gone.then(() => {
      throw new Error(`pgbouncer ended: ${said}`);
    }),
  ]);
  const url = new URL(server.url);
  url.host = `127.0.0.1:${own}`;
  url.search = "?prepare=no";
  return url.href;
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
