/** Whole stores, from every kind of place to every kind. */
import { postgresUnavailable } from "../../test/support/postgres.ts";
import { testMigration } from "./suite/migration.ts";
import type { MovableFixture } from "./suite/ends.ts";
import { memoryFixture, postgresFixture, sharedMemoryFixture, sqliteFixture } from "./suite/places.ts";
import { makeFolder } from "./suite/scratch.ts";
import { usedByOne } from "./suite/sole.ts";

type Setup = () => Promise<MovableFixture>;

const kinds: Readonly<Record<string, Setup>> = {
  memory: async () => memoryFixture(),
  "shared memory": usedByOne(async () => sharedMemoryFixture()) as Setup,
  sqlite: async () => sqliteFixture(makeFolder()),
  ...(postgresUnavailable() === undefined
    ? { postgres: usedByOne(() => postgresFixture({ shards: 4 })) as Setup }
    : {}),
};

/** PostgreSQL takes its time, and what it gives and takes does not depend on the other end: it meets files, and itself. */
const isMet = (here: string, there: string): boolean =>
  ![here, there].includes("postgres") || ![here, there].some((kind) => kind.includes("memory"));

for (const [here, from] of Object.entries(kinds)) {
  for (const [there, to] of Object.entries(kinds))
    if (isMet(here, there)) testMigration(`from ${here} to ${there}`, { from, to });
}
