/** A folder for one test, with what SQLite's tests do to the files in it. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue } from "node:sqlite";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Store } from "../port.ts";
import { openSqliteStore } from "../sqlite/index.ts";
import type { SqliteStoreOptions } from "../sqlite/index.ts";

/** In memory where the platform has such a place: the tests' many small syncs are no test of the disk. */
export function makeFolder(): string {
  return mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "perdure-store-"));
}

export class Scratch {
  readonly folder: string = makeFolder();
  readonly path: string = join(this.folder, "store.db");
  readonly #handles: Store[] = [];

  async open(options?: SqliteStoreOptions, path: string = this.path): Promise<Store> {
    const store = await openSqliteStore(path, options);
    this.#handles.push(store);
    return store;
  }

  /** Runs one statement as a person with a shell would. */
  byHand(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    const db = new DatabaseSync(this.path);
    try {
      return db
        .prepare(sql)
        .all(...values)
        .map((row) => ({ ...row }));
    } finally {
      db.close();
    }
  }

  async dispose(): Promise<void> {
    for (const handle of this.#handles) await handle.close();
    rmSync(this.folder, { recursive: true });
  }
}

export function scratchTest(name: string, run: (scratch: Scratch, t: TestContext) => Promise<void>): void {
  test(name, async (t) => {
    const scratch = new Scratch();
    try {
      await run(scratch, t);
    } finally {
      await scratch.dispose();
    }
  });
}
