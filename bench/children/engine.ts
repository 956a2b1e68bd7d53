/** A node: an engine with host code on its main thread, driven by calls. */
import { Engine } from "perdure/engine";
import type { EngineOptions } from "perdure/engine";
import { serve } from "../child.ts";
import { forEachOf } from "../harness.ts";
import { spent } from "./cpu.ts";
import type { Spent } from "./cpu.ts";

let engine: Engine | undefined;
/** On this node since it was opened. */
let ended = 0;
let onExit: (pid: string, reason: string) => void = () => undefined;

function opened(): Engine {
  if (engine === undefined) throw new Error("the engine is not open");
  return engine;
}

/** Resolves when `count` processes have ended from now on; rejects if one of them ended badly. */
function exits(count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const before = ended;
    onExit = (pid, reason) => {
      if (reason !== "normal") reject(new Error(`process ${pid} ended with ${reason}`));
      if (ended - before === count) resolve();
    };
  });
}

const methods = {
  /** How long opening takes. */
  open: async (options: EngineOptions): Promise<Spent> =>
    await spent(async () => {
      engine = await Engine.open({
        ...options,
        onExit: ({ pid, reason }) => {
          ended++;
          onExit(pid, reason);
        },
      });
    }),

  close: async (): Promise<Spent> => await spent(async () => await engine?.close()),

  /** Starts `count` processes, at most `atOnce` starts at a time, and waits until all have ended. */
  run: async (entry: string, args: readonly unknown[], count: number, atOnce: number): Promise<Spent> =>
    await spent(async () => {
      const allEnded = exits(count);
      await Promise.all([allEnded, forEachOf(count, atOnce, () => opened().start(entry, [...args]))]);
    }),

  /** Starts `count` processes and waits until the starts are durable. */
  start: async (entry: string, args: readonly unknown[], count: number, atOnce: number): Promise<Spent> =>
    await spent(async () => await forEachOf(count, atOnce, () => opened().start(entry, [...args]))),

  /** How many processes have ended on this node, whichever started them. */
  ended: (): number => ended,

  /** ms from each start to its result, one after the other. */
  latencies: async (entry: string, args: readonly unknown[], count: number): Promise<number[]> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const before = performance.now();
      const handle = await opened().start(entry, [...args]);
      await handle.result();
      times.push(performance.now() - before);
    }
    return times;
  },

  /** CPU time of all its threads so far. */
  cpuMicros: (): number => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },

  /** Resident set: now, and the most it ever was. */
  memory: (): { readonly nowBytes: number; readonly mostBytes: number } => ({
    nowBytes: process.memoryUsage.rss(),
    mostBytes: process.resourceUsage().maxRSS * 1024,
  }),
};

export type EngineMethods = typeof methods;
serve(methods);
