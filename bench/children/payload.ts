/** A node that runs `programs/payload.ts` up to a point and is then closed, so that its file can be measured. */
import { Engine } from "perdure/engine";
import { serve } from "../child.ts";
import { forEachOf, programFile } from "../harness.ts";
import { gates } from "../programs/payload-text.ts";

const startsAtOnce = 500;

/** Runs until `count` processes wait at the gate, which none of them passes; closes the node then. */
async function until(
  gate: "in" | "out",
  store: string,
  count: number,
  begin: (engine: Engine) => Promise<void>,
): Promise<number> {
  const { promise: allArrived, resolve } = Promise.withResolvers<void>();
  let arrived = 0;
  gates.pass = (which) => {
    if (which !== gate) return Promise.resolve();
    if (++arrived === count) resolve();
    return new Promise(() => undefined);
  };
  const engine = await Engine.open({
    store,
    program: programFile("payload"),
    operationConcurrency: Infinity,
    closeTimeoutMs: 10,
  });
  const before = performance.now();
  await begin(engine);
  await allArrived;
  const elapsedMs = performance.now() - before;
  await engine.close();
  return elapsedMs;
}

const methods = {
  /** Starts the processes; they are not let in. */
  prepare: (store: string, count: number, steps: number): Promise<number> =>
    until("in", store, count, (engine) => forEachOf(count, startsAtOnce, () => engine.start("worker", [steps]))),

  /** Lets them in; they do all their steps. Tells how long that took, in ms. */
  work: (store: string, count: number): Promise<number> => until("out", store, count, async () => undefined),
};

export type PayloadMethods = typeof methods;
serve(methods);
