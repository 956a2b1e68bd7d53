/** What CPU time went where, in this operating system process. */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";

export interface Spent {
  readonly elapsedMs: number;
  /** CPU time of all threads of this process. */
  readonly cpuMicros: number;
  /** By group of threads; empty where the operating system does not tell. */
  readonly threads: Readonly<Record<string, ThreadTime>>;
}

export interface ThreadTime {
  readonly cpuMicros: number;
  /** Ready to run, but without a core: a measure of how busy the machine is with other things. */
  readonly waitMicros: number;
}

export async function spent(work: () => Promise<unknown>): Promise<Spent> {
  const threadsBefore = threadTimes();
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  await work();
  const elapsedMs = performance.now() - before;
  const { user, system } = process.cpuUsage(cpuBefore);
  const threads = Object.entries(threadTimes()).map(([name, after]) => {
    const { cpuMicros = 0, waitMicros = 0 } = threadsBefore[name] ?? {};
    return [name, { cpuMicros: after.cpuMicros - cpuMicros, waitMicros: after.waitMicros - waitMicros }] as const;
  });
  return { elapsedMs, cpuMicros: user + system, threads: Object.fromEntries(threads) };
}

/** Linux tells for each thread; threads of V8 and libuv are one group. */
function threadTimes(): Record<string, ThreadTime> {
  if (process.platform !== "linux") return {};
  const times: Record<string, ThreadTime> = {};
  for (const id of readdirSync("/proc/self/task")) {
    const folder = `/proc/self/task/${id}`;
    const group = groupOf(id, readFileSync(`${folder}/comm`, "utf8").trim());
    const [cpuNanos = 0, waitNanos = 0] = readFileSync(`${folder}/schedstat`, "utf8").split(" ").map(Number);
    const { cpuMicros = 0, waitMicros = 0 } = times[group] ?? {};
    times[group] = { cpuMicros: cpuMicros + cpuNanos / 1000, waitMicros: waitMicros + waitNanos / 1000 };
  }
  return times;
}

function groupOf(id: string, name: string): string {
  if (id === String(process.pid)) return "main";
  return name.startsWith("perdure ") ? name.slice("perdure ".length) : "garbage collector, compiler and others";
}
