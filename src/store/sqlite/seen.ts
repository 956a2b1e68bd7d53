/**
 * What is remembered of a store beside it, so that an older copy in its place is noticed: how many signs of life its owners had given. The
 * store counts them itself, in the transactions that they are part of, so a store that knows of fewer has forgotten some.
 *
 * The memory is a hint in a file of its own. It is written after what it tells of is durable, and never synced: it may be behind, or missing, but
 * not ahead. Whoever moves or copies a store without it has no memory of it there.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { PerdureError } from "../../base/errors.ts";

export function seenPath(path: string): string {
  return `${path}-seen`;
}

export class Seen {
  readonly #path: string;
  readonly #storeId: string;
  #isAccepted: boolean;

  /** `isAccepted`: someone has said that the store may go on, even if it is an older copy. */
  constructor(path: string, storeId: string, isAccepted: boolean) {
    this.#path = path;
    this.#storeId = storeId;
    this.#isAccepted = isAccepted;
  }

  /** Throws STORE_RESTORED if more than `signs` were remembered. */
  check(signs: number): void {
    if (this.#isAccepted || this.#remembered() <= signs) return;
    throw restored(this.#path);
  }

  /** `signs` are durable. */
  note(signs: number): void {
    this.#isAccepted = false;
    const file = seenPath(this.#path);
    const part = `${file}.part`;
    try {
      writeFileSync(part, `${this.#storeId} ${signs}\n`);
      renameSync(part, file);
    } catch {
      // Where nothing can be written, nothing is noticed. The store has its own say in that.
      rmSync(part, { force: true });
    }
  }

  #remembered(): number {
    try {
      const [id, signs] = readFileSync(seenPath(this.#path), "utf8").split(" ");
      return id === this.#storeId ? Number(signs) || 0 : 0;
    } catch {
      return 0;
    }
  }
}

function restored(path: string): PerdureError {
  return new PerdureError(
    "STORE_RESTORED",
    `The store ${path} is older than it has been: it was replaced by an earlier copy, or the disk has lost what it had reported as written. Its processes would do again what they have done since. Nothing was changed. Read "After a restore" in docs/deploying.md, then let it go on with: perdure accept-restored --store ${path}`,
    { details: { path } },
  );
}
