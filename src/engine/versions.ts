/** Which version of a program is the newest: the one that was deployed last from the same file. */
import type { ProgramRow } from "../store/port.ts";

export class Versions {
  readonly #files = new Map<string, string>();
  readonly #newest = new Map<string, string>();

  /** In the order in which they were deployed. */
  add({ hash, file }: Pick<ProgramRow, "hash" | "file">): void {
    this.#files.set(hash, file);
    this.#newest.set(file, hash);
  }

  /** It came with a process: the newest only if there is no other of its file. */
  addOther({ hash, file }: Pick<ProgramRow, "hash" | "file">): void {
    this.#files.set(hash, file);
    if (!this.#newest.has(file)) this.#newest.set(file, hash);
  }

  /** The newest of every file. */
  get deployed(): readonly string[] {
    return [...this.#newest.values()];
  }

  newest(hash: string): string {
    const file = this.#files.get(hash);
    return (file === undefined ? undefined : this.#newest.get(file)) ?? hash;
  }
}
