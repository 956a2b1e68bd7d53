import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StoreReader } from "./port.ts";
import { openSqliteStore } from "./sqlite/index.ts";
import { testStore } from "./suite.ts";
import { makeFolder } from "./suite/scratch.ts";

testStore("sqlite", async () => {
  const folder = makeFolder();
  const path = join(folder, "store.db");
  const handles: StoreReader[] = [];
  const kept = <T extends StoreReader>(handle: T): T => {
    handles.push(handle);
    return handle;
  };
  return {
    open: async () => kept(await openSqliteStore(path)),
    openReader: async () => kept(await openSqliteStore(path, { mode: "reader" })),
    // What the operating system does to a dead process: its locks and handles go, and nothing else is written.
    crash: (store) => store.close(),
    usurp: async () => {
      const db = new DatabaseSync(path);
      db.exec("UPDATE meta SET incarnation = incarnation + 1");
      db.close();
    },
    dispose: async () => {
      for (const handle of handles) await handle.close();
      rmSync(folder, { recursive: true });
    },
  };
});
