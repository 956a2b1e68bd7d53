/** A node whose processes say by `sign` where they are, and that calls servers from the host. */
import { Engine } from "perdure/engine";
import type { ProcessHandle } from "perdure/engine";
import { serve } from "../child.ts";
import { forEachOf, programFile } from "../harness.ts";
import { signs } from "../programs/signs.ts";
import { spent } from "./cpu.ts";
import type { Spent } from "./cpu.ts";

export interface Sign {
  readonly what: string;
  readonly pid: string;
  readonly atMs: number;
}

/** What a node spent until a process was done, and what was heard meanwhile. */
export interface Told extends Spent {
  readonly signs: readonly Sign[];
}

export interface Answered extends Spent {
  /** What the servers answered, each once. */
  readonly answers: readonly number[];
}

interface CounterCalls {
  add(): Promise<number>;
}

let engine: Engine | undefined;
let heard: Sign[] = [];
let waits: { readonly what: string; readonly resolve: (sign: Sign) => void } | undefined;

signs.on = (what, pid) => {
  const sign = { what, pid, atMs: performance.now() };
  heard.push(sign);
  if (waits?.what !== what) return;
  waits.resolve(sign);
  waits = undefined;
};

function opened(): Engine {
  if (engine === undefined) throw new Error("the engine is not open");
  return engine;
}

/** The next sign of this kind. Ask before the process can give it. */
function nextSign(what: string): Promise<Sign> {
  return new Promise((resolve) => (waits = { what, resolve }));
}

/** The same, or the end of the process that should give it. */
async function orItsEnd(sign: Promise<Sign>, handle: ProcessHandle): Promise<Sign> {
  const end = handle.result().then(() => {
    throw new Error(`process ${handle.pid} ended too early`);
  });
  return await Promise.race([sign, end]);
}

function counterOf(key: string): CounterCalls {
  return opened().at("Counter", key).within("infinity") as unknown as CounterCalls;
}

const methods = {
  open: async (store: string, program: string): Promise<Spent> =>
    await spent(async () => {
      // Crashes are reported in the log; a terminal is not what is measured.
      engine = await Engine.open({ store, program: programFile(program), onLog: () => undefined, closeTimeoutMs: 100 });
    }),

  /** Starts a process and waits for its sign. */
  start: async (entry: string, args: readonly unknown[], what = "ready"): Promise<string> => {
    const sign = nextSign(what);
    const handle = await opened().start(entry, [...args]);
    // A supervisor gives none; its child does.
    return (await orItsEnd(sign, handle)).pid;
  },

  /** Tells a process what to do, and waits until it is done. */
  tell: async (pid: string, message: unknown): Promise<Told> => {
    heard = [];
    const handle = opened().get(pid);
    const done = orItsEnd(nextSign("done"), handle);
    const told = await spent(async () => {
      await handle.send(message);
      await done;
    });
    return { ...told, signs: heard };
  },

  /**
   * ms from a message to the child's sign, `count` times; of "fail", to the sign of what comes after it. The child is at `pid`,
   * and wherever its last sign came from.
   */
  signTimes: async (
    pid: string,
    what: string,
    message: string,
    count: number,
  ): Promise<{ pid: string; times: number[] }> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const sign = nextSign(what);
      const before = performance.now();
      const sent = opened().get(pid).send(message);
      // A heap from before the failure has nothing to do by itself.
      if (message === "fail" && what === "previous") await opened().get(pid).send("go on");
      await sent;
      const arrived = await sign;
      times.push(arrived.atMs - before);
      pid = arrived.pid;
    }
    return { pid, times };
  },

  /** Calls one server from the host. */
  callOne: async (key: string, count: number, atOnce: number): Promise<Spent> => {
    const counter = counterOf(key);
    await counter.add();
    return await spent(() => forEachOf(count, atOnce, () => counter.add()));
  },

  /** Calls each of `count` keyed servers once from the host; those that are not there are started by that. */
  callEach: async (count: number, atOnce: number): Promise<Answered> => {
    const answers = new Set<number>();
    const each = async (index: number): Promise<void> => void answers.add(await counterOf(`key ${index}`).add());
    const all = await spent(() => forEachOf(count, atOnce, each));
    return { ...all, answers: [...answers] };
  },

  /** Resident set: now, and the most it ever was. */
  memory: (): { readonly nowBytes: number; readonly mostBytes: number } => ({
    nowBytes: process.memoryUsage.rss(),
    mostBytes: process.resourceUsage().maxRSS * 1024,
  }),

  close: async (): Promise<void> => await engine?.close(),
};

export type SigningMethods = typeof methods;
serve(methods);
