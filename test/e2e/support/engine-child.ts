/**
 * A node in a process of its own, which tests may kill: opens an engine and does what its parent asks for. Started by
 * `engine-process.ts`.
 */
import { Engine } from "perdure/engine";
import type { EngineOptions } from "perdure/engine";
import { describe } from "./messages.ts";
import type { Request, Told } from "./messages.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as EngineOptions;
const tell = (told: Told): void => void process.send?.(told);

// A parent that dies takes its nodes along.
const orphaned = (): never => process.exit(1);
process.on("disconnect", orphaned);

const engine = await Engine.open({
  ...options,
  onLog: (log) => tell({ kind: "log", log }),
  onNotice: (notice) => tell({ kind: "notice", notice }),
  onNode: (node) => tell({ kind: "node", node }),
  onFailure: (error) => tell({ kind: "failed", error: describe(error) }),
});

async function answer({ id, method, args }: Request): Promise<void> {
  try {
    tell({ kind: "answer", id, value: await perform(method, args) });
  } catch (error) {
    tell({ kind: "answer", id, error: describe(error) });
  }
}

async function perform(method: Request["method"], args: readonly unknown[]): Promise<unknown> {
  const [pid, argument, more] = args as [string, unknown, unknown];
  switch (method) {
    case "start":
      return (await engine.start(argument as string, more as unknown[], { id: pid })).created;
    case "result":
      return await engine.get(pid).result();
    case "send":
      return await engine.get(pid).send(argument, more === undefined ? {} : { key: more as string });
    case "cancel":
      return await engine.get(pid).cancel(argument as string);
    case "status":
      return await engine.get(pid).status();
    case "retryOperation":
      return await engine.retryOperation(pid, argument as number);
    case "move":
      return await engine.get(pid).move(argument as string);
  }
}

async function close(): Promise<void> {
  await engine.close();
  process.off("disconnect", orphaned);
  process.disconnect();
}

process.on("message", (request: Request) => void answer(request));
process.on("SIGTERM", () => void close());
tell({ kind: "opened" });
