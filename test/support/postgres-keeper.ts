/**
 * Runs one PostgreSQL server for a test, and ends with whoever started it: however that one dies, its end of our standard input is
 * closed, and then the server is stopped and its folder removed. Says what the server says on standard error. Told "down", it kills the
 * server as a crash does, and says so; told "up", it starts it again.
 *
 *     node postgres-keeper.ts '{"folder": …, "postgres": …, "args": […], "uid": …, "gid": …, "env": {…}}'
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
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

/** Said when the server has gone because it was told to. */
export const downAnswer = "the server is down";

/** The server has so long to break off what it does. */
const patienceMs = 5_000;

if (import.meta.main) {
  const { folder, postgres, args, env, ...user } = JSON.parse(process.argv[2] ?? "") as KeeperOrder;
  let isWanted = true;
  let isStopping = false;
  const start = (): ChildProcess => {
    const started = spawn(postgres, args, { ...user, env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    started.stderr.pipe(process.stderr, { end: false });
    started.once("error", end);
    started.once("exit", () => {
      if (isWanted || isStopping) end();
      else process.stderr.write(`${downAnswer}\n`);
    });
    return started;
  };
  const end = (): void => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit(0);
  };
  // Whoever listened may be gone.
  process.stderr.on("error", () => undefined);
  let server = start();
  const kill = (): void => {
    server.kill("SIGQUIT");
    setTimeout((killed: ChildProcess) => killed.kill("SIGKILL"), patienceMs, server).unref();
  };
  const stop = (): void => {
    isStopping = true;
    if (server.exitCode !== null || server.signalCode !== null) end();
    // Immediately: nothing in it is needed any more.
    kill();
  };
  const obey = (words: string): void => {
    isWanted = words.trim() === "up";
    if (isWanted) server = start();
    else kill();
  };
  process.stdin.setEncoding("utf8").on("data", obey).once("end", stop).once("error", stop);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
}
