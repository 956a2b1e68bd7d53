/**
 * What a program should do: what it does as ordinary TypeScript in plain Node, where nothing dies. The same files are
 * imported, with "perdure" and the host functions replaced.
 */
import { registerHooks } from "node:module";
import { format } from "node:util";
import { recorder } from "./plain-effects.ts";
import type { Recording } from "./plain-effects.ts";

const program = new URL("../../fixtures/durable/app.ts", import.meta.url);
const folder = new URL(".", program).href;
const replaced: Readonly<Record<string, string>> = {
  perdure: new URL("plain-perdure.ts", import.meta.url).href,
  "./effects.ts": new URL("plain-effects.ts", import.meta.url).href,
};

registerHooks({
  resolve(specifier, context, next) {
    const stub = context.parentURL?.startsWith(folder) === true ? replaced[specifier] : undefined;
    return stub === undefined
      ? next(specifier, context)
      : { url: stub, format: "module-typescript", shortCircuit: true };
  },
});

const entries = (await import(program.href)) as Readonly<
  Record<string, (...args: readonly unknown[]) => Promise<unknown>>
>;

export interface Expected extends Recording {
  readonly result: unknown;
}

export async function plainRun(entry: string, args: readonly unknown[]): Promise<Expected> {
  const run = entries[entry];
  if (run === undefined) throw new Error(`the program has no entry ${entry}`);
  const recording: Recording = { effects: [], logs: [] };
  const result = await recorder.run(recording, () => run(...args));
  return { ...recording, result };
}

const print = console.log;
console.log = (...values: unknown[]) => {
  const recording = recorder.getStore();
  if (recording === undefined) print(...values);
  else recording.logs.push(format(...values));
};
