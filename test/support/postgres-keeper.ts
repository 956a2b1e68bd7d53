/**
 * Runs one PostgreSQL server for a test, and ends with whoever started it: however that one dies, its end of our standard input is
 * closed, and then the server is stopped and its folder removed. Says what the server says on standard error. Told "down", it kills the
 * server as an immediate shutdown does, and says so; told "crash", it kills all its processes at once; told "up", it starts it again.
 *
 *     node postgres-keeper.ts '{"folder": …, "postgres": …, "args": […], "uid": …, "gid": …, "env": {…}}'
 */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

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

/** False if there is no such process. */
function reach(pid: number, what: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, what);
  } catch {
    return false;
  }
}

/** A new server does not start while one of the old one's processes is there. */
async function allGone(pids: readonly number[]): Promise<void> {
  const untilMs = performance.now() + patienceMs;
  while (pids.some((pid) => reach(pid, 0)) && performance.now() < untilMs) await sleep(10);
}

/** Processes that a process has started; none where the platform does not tell. */
function childrenOf(parent: number): number[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const rows = (stdout ?? "").split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  return rows.flatMap(([pid = 0, of]) => (of === parent ? pid : []));
}

if (import.meta.main) {
  const { folder, postgres, args, env, ...user } = JSON.parse(process.argv[2] ?? "") as KeeperOrder;
  let isWanted = true;
  let isStopping = false;
  const dying: number[] = [];
  const start = (): ChildProcess => {
    const started = spawn(postgres, args, { ...user, env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    started.stderr.pipe(process.stderr, { end: false });
    started.once("error", end);
    started.once("exit", () => {
      if (isWanted || isStopping) end();
      else void allGone(dying.splice(0)).then(() => process.stderr.write(`${downAnswer}\n`));
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
  const crash = (): void => {
    // It must not start more of them meanwhile.
    server.kill("SIGSTOP");
    dying.push(...childrenOf(server.pid ?? 0));
    for (const pid of dying) reach(pid, "SIGKILL");
    server.kill("SIGKILL");
  };
  const stop = (): void => {
    isStopping = true;
    if (server.exitCode !== null || server.signalCode !== null) end();
    // Immediately: nothing in it is needed any more.
    kill();
  };
  const obey = (words: string): void => {
    const word = words.trim();
    isWanted = word === "up";
    if (isWanted) server = start();
    else if (word === "crash") crash();
    else kill();
  };
  process.stdin.setEncoding("utf8").on("data", obey).once("end", stop).once("error", stop);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
}
