/** A node of a cluster that knows when processes gave signs of life on it. */
import { Engine } from "perdure/engine";
import { serve } from "../child.ts";
import { forEachOf, programFile } from "../harness.ts";
import { signs } from "../programs/signs.ts";

/** Of one process on this node: by a clock that all nodes of the machine share, in ms. */
export interface Beats {
  readonly firstMs: number;
  readonly lastMs: number;
}

let engine: Engine | undefined;
const beats = new Map<string, Beats>();

const nowMs = (): number => performance.timeOrigin + performance.now();

signs.on = (_what, pid) => {
  const atMs = nowMs();
  beats.set(pid, { firstMs: beats.get(pid)?.firstMs ?? atMs, lastMs: atMs });
};

function opened(): Engine {
  if (engine === undefined) throw new Error("the engine is not open");
  return engine;
}

const methods = {
  open: async (store: string, nodeName: string): Promise<void> => {
    const quiet = { onLog: () => undefined, onNode: () => undefined, onNotice: () => undefined };
    engine = await Engine.open({ store, nodeName, standby: true, program: programFile("beats"), ...quiet });
  },

  /** Their pids. */
  start: async (count: number, pauseMs: number): Promise<string[]> => {
    const pids: string[] = [];
    const start = async (): Promise<void> => void pids.push((await opened().start("beats", [pauseMs])).pid);
    await forEachOf(count, count, start);
    return pids;
  },

  /** Since they were forgotten. */
  beats: (): ReadonlyMap<string, Beats> => beats,
  forget: (): void => beats.clear(),

  /** To another node; resolves when it is that one's. */
  move: async (pid: string, node: string): Promise<void> => void (await opened().get(pid).move(node)),

  kill: async (pids: readonly string[]): Promise<void> => {
    await Promise.all(pids.map((pid) => opened().get(pid).kill()));
  },

  close: async (): Promise<void> => await engine?.close(),
};

export type BeatsMethods = typeof methods;
serve(methods);
