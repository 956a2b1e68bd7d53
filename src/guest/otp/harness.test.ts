/** What the tests of behaviours share: a program run by a real engine, on a store in memory. */
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Engine } from "../../engine/index.ts";
import type { LogEntry } from "../../engine/index.ts";

export class World {
  readonly engine: Engine;
  readonly logs: LogEntry[];

  private constructor(engine: Engine, logs: LogEntry[]) {
    this.engine = engine;
    this.logs = logs;
  }

  static async of(text: string): Promise<World> {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), "perdure-otp-")));
    try {
      const file = path.join(folder, "app.ts");
      await writeFile(file, text);
      const logs: LogEntry[] = [];
      const engine = await Engine.open({ store: "memory:", program: file, onLog: (log) => logs.push(log) });
      return new World(engine, logs);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** The result of an exported function that runs as a process of its own. */
  async run(entry: string, ...args: unknown[]): Promise<any> {
    const handle = await this.engine.start(entry, args);
    return await handle.result();
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}
