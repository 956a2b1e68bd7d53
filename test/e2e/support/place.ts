/** What a test of the programs in `test/fixtures/durable` needs. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { EngineProcess } from "./engine-process.ts";
import { Witness } from "./witness.ts";

const program = fileURLToPath(new URL("../../fixtures/durable/app.ts", import.meta.url));

export interface Place {
  readonly folder: string;
  readonly store: string;
  readonly witness: Witness;
  /** A new node on the store; resolves when it is open. */
  readonly node: () => Promise<EngineProcess>;
}

/** A store of its own (in `folder`, if given), a witness, and nodes on demand; all gone when the test ends. */
export async function place(
  t: TestContext,
  folder: string = mkdtempSync(join(tmpdir(), "perdure-test-")),
): Promise<Place> {
  mkdirSync(folder, { recursive: true });
  const witness = await Witness.open();
  const nodes: EngineProcess[] = [];
  t.after(async () => {
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    await witness.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const store = join(folder, "store.db");
  const node = async (): Promise<EngineProcess> => {
    const started = new EngineProcess({ store, program }, { WITNESS_URL: witness.url });
    nodes.push(started);
    await started.opened;
    return started;
  };
  return { folder, store, witness, node };
}
