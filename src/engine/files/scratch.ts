/** A store that is made for one process file, so that it can be verified before anything of it can run. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { PerdureError } from "../../base/errors.ts";
import type { MachineLimits } from "../../machine/image.ts";
import { arrivingPid } from "../../store/exports.ts";
import type { ProcessRow, Store } from "../../store/port.ts";
import { openSqliteStore } from "../../store/sqlite/index.ts";
import { verifyStore } from "../verify/verify.ts";
import { lastBatch } from "./import.ts";
import type { ImportTarget } from "./import.ts";

const key = 1;

export class Scratch implements ImportTarget {
  readonly #folder: string;
  readonly #store: Store;
  readonly #limits: MachineLimits | undefined;

  /** `limits`: those of the nodes that the process ran on; a heap depends on them. */
  static async create(limits: MachineLimits | undefined): Promise<Scratch> {
    const folder = await mkdtemp(path.join(tmpdir(), "perdure-import-"));
    const store = await openSqliteStore(path.join(folder, "scratch.db"));
    await store.claim(Date.now());
    return new Scratch(folder, store, limits);
  }

  private constructor(folder: string, store: Store, limits: MachineLimits | undefined) {
    this.#folder = folder;
    this.#store = store;
    this.#limits = limits;
  }

  readonly begin: ImportTarget["begin"] = async (file, row, { program, blobs }) => {
    await this.#store.putProgram(program, blobs);
    const arriving: ProcessRow = { ...row, key, pid: arrivingPid(file), state: "moving", problem: "it is verified" };
    await this.#store.commit({ atMs: Date.now(), newProcesses: [arriving] });
    return key;
  };

  readonly put: ImportTarget["put"] = async (rows) => {
    await this.#store.commit({ atMs: Date.now(), ...rows });
  };

  /** Verifies it. Throws FILE_DAMAGED. */
  readonly finish: ImportTarget["finish"] = async (file, rows) => {
    await this.#store.commit(lastBatch(rows, Date.now()));
    const row = await this.#store.getProcess(key);
    if (row === undefined) throw new Error("the scratch store lost its process");
    const limits = this.#limits === undefined ? {} : { limits: this.#limits };
    const { findings, findingsCount } = await verifyStore(this.#store, { processes: [row], ...limits });
    const [first] = findings;
    if (first === undefined) return;
    const more = findingsCount === 1 ? "" : `, and ${findingsCount - 1} more`;
    throw new PerdureError(
      "FILE_DAMAGED",
      `The process file ${file} passes its checksums, but its process is not what its journal says: ${first.detail} (${first.rule}${more}). Look at it where it was exported; with --no-verify (verify: false) it is imported all the same.`,
      { details: { file, pid: row.pid, findings: findings.slice(0, 20) } },
    );
  };

  async remove(): Promise<void> {
    await this.#store.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
