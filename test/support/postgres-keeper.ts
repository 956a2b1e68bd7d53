/**
 * Runs one PostgreSQL server for a test, and ends with whoever started it: however that one dies, its end of our standard input is
 * closed, and then the server is stopped and its folder removed. Says what the server says on standard error.
 *
 *     node postgres-keeper.ts '{"folder": …, "postgres": …, "args": […], "uid": …, "gid": …, "env": {…}}'
 */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";

export interface KeeperOrder {
  /** Removed at the end. */
  readonly folder: string;
  readonly postgres: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Of an unprivileged user, if this is started by root. */
  readonly uid?: number;
  readonly gid?: number;
}

/** The server has so long to break off what it does. */
const patienceMs = 5_000;

if (import.meta.main) {
  const { folder, postgres, args, env, ...user } = JSON.parse(process.argv[2] ?? "") as KeeperOrder;
  const server = spawn(postgres, args, { ...user, env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  // Whoever listened may be gone.
  process.stderr.on("error", () => undefined);
  server.stderr.pipe(process.stderr);
  const stop = (): void => {
    // Immediately: nothing in it is needed any more.
    server.kill("SIGQUIT");
    setTimeout(() => server.kill("SIGKILL"), patienceMs).unref();
  };
  const end = (): void => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit(0);
  };
  server.once("error", end);
  server.once("exit", end);
  process.stdin.resume().once("end", stop).once("error", stop);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
}
