import { createMemoryStore } from "./memory/index.ts";
import type { MemoryStore } from "./memory/index.ts";
import { testStore } from "./suite.ts";

testStore("memory", async () => {
  const root = createMemoryStore();
  return {
    open: async () => root.open(),
    openReader: async () => root.open(),
    crash: async (store) => void (store as MemoryStore).crash(),
    usurp: async () => root.usurp(),
    dispose: async () => {},
  };
});
