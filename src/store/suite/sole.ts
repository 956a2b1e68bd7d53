/**
 * A store that several nodes own, used by one alone: what holds for a store with one owner holds for it too. Its owner takes all
 * shards; processes are spread over them, and come back as they were put, without the shard.
 */
import type { CommitBatch, Lease, ProcessRow, Store, StoreReader } from "../port.ts";
import type { StoreSetup } from "./fixture.ts";

export function usedByOne(setup: StoreSetup): StoreSetup {
  return async () => {
    const fixture = await setup();
    const real = new Map<Store, Store>();
    const open = async (): Promise<Store> => {
      const store = await fixture.open();
      const shown = soleOwner(store);
      real.set(shown, store);
      return shown;
    };
    const openReader = async (): Promise<StoreReader> => {
      const reader = await fixture.openReader();
      return shownBy(reader, reads(reader));
    };
    return { ...fixture, open, openReader, crash: (store) => fixture.crash(real.get(store) ?? store) };
  };
}

type Rows = readonly { readonly shard?: number }[];

function bare<T extends { readonly shard?: number }>(row: T): Omit<T, "shard"> {
  const { shard, ...others } = row;
  return shard === undefined ? row : others;
}

const allBare = (rows: Rows): Rows => rows.map((row) => bare(row));

function soleOwner(store: Store): Store {
  const { sharing } = store;
  if (sharing === undefined) throw new Error("the store has one owner by itself");
  const changes: Partial<Store> = {
    async claim(nowMs, node): Promise<Lease> {
      const { shared: _, ...lease } = await store.claim(nowMs, node);
      await sharing.reap(nowMs);
      const shards = (await sharing.shards()).map(({ shard }) => shard);
      const acquired = await sharing.acquire(shards, nowMs);
      return { ...lease, cleanShutdown: acquired.every(({ clean }) => clean) };
    },
    commit: async (batch) => store.commit({ ...spread(batch), ...(await told(store, batch)) }),
    ...reads(store),
    load: async (key) => {
      const load = await store.load(key);
      return { ...load, process: bare(load.process) };
    },
  };
  return shownBy(store, changes);
}

function reads(
  store: StoreReader,
): Pick<StoreReader, "findProcess" | "getProcess" | "listProcesses" | "names" | "groups"> {
  return {
    findProcess: async (pid) => shown(await store.findProcess(pid)),
    getProcess: async (process) => shown(await store.getProcess(process)),
    listProcesses: async (filter) => (await store.listProcesses(filter)).map((row) => bare(row)),
    names: async () => allBare(await store.names()) as Awaited<ReturnType<Store["names"]>>,
    groups: async () => allBare(await store.groups()) as Awaited<ReturnType<Store["groups"]>>,
  };
}

function shownBy<T extends StoreReader>(store: T, changes: Partial<T>): T {
  return new Proxy(store, {
    get(target, name: string) {
      const value: unknown = changes[name as keyof T] ?? target[name as keyof T];
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function shown(row: ProcessRow | undefined): ProcessRow | undefined {
  return row === undefined ? undefined : bare(row);
}

/** An owner that is alone has told everyone of an exit itself. */
async function told(
  store: Store,
  { atMs, exits, links = [], monitors = [] }: CommitBatch,
): Promise<Partial<CommitBatch>> {
  if (exits === undefined) return {};
  const notified = await Promise.all(
    exits.map(async ({ process }) => {
      const load = await store.load(process).catch(() => undefined);
      const linked = links.flatMap(({ a, b }) => (a === process ? [b] : b === process ? [a] : []));
      const watching = [...(load?.watchers ?? []), ...monitors.filter(({ target }) => target === process)];
      return {
        process,
        links: [...(load?.links ?? []), ...linked],
        monitors: watching.map(({ watcher, number }) => [watcher, number] as const),
      };
    }),
  );
  return { away: { atMs, links: [], monitors: [], cut: [], refused: [], notified, moved: [], yielded: [] } };
}

function spread(batch: CommitBatch): CommitBatch {
  const { newProcesses } = batch;
  if (newProcesses === undefined) return batch;
  return { ...batch, newProcesses: newProcesses.map((row) => ({ ...row, shard: (row.key % 3) + 1 })) };
}
