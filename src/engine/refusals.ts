/**
 * Which programs this release cannot run. A process is pinned to its engine binary and turn protocol: another binary gives other heaps, and so
 * another state from the same journal. What a release does not speak it leaves alone, for a node that does.
 */
import { engineHash } from "../machine/engine-binary.ts";
import { turnProtocolOf, turnProtocolVersion } from "../machine/protocol.ts";
import type { ProgramRow, StoreReader } from "../store/port.ts";
import { release } from "./release.ts";

/** In words that follow on "they". Undefined if this release runs them. `prelude`: its text. */
export function refusalOf({ engine }: Pick<ProgramRow, "engine">, prelude: string): string | undefined {
  if (engine !== engineHash) return `run on another engine binary (${engine.slice(0, 12)})`;
  const protocol = turnProtocolOf(prelude);
  if (protocol === turnProtocolVersion) return undefined;
  return protocol === undefined ? "speak no turn protocol that is known here" : `speak turn protocol ${protocol}`;
}

export class Refusals {
  readonly #store: Pick<StoreReader, "blob">;
  readonly #reasons = new Map<string, string>();
  /** The preludes of releases, by hash: there are few. */
  readonly #preludes = new Map<string, string>();

  constructor(store: Pick<StoreReader, "blob">) {
    this.#store = store;
  }

  /** Whether this release runs the program. One whose prelude is not there is looked at when it is run. */
  async admits(program: ProgramRow): Promise<boolean> {
    const reason = await this.#look(program);
    if (reason !== undefined) this.#reasons.set(program.hash, reason);
    return reason === undefined;
  }

  /** Why processes of a program are left alone, in a sentence; undefined if they are not. */
  why(program: string): string | undefined {
    const reason = this.#reasons.get(program);
    if (reason === undefined) return undefined;
    return `It is left alone, as all processes of program ${program.slice(0, 12)}: they ${reason}, and this release (${release}) runs ${engineHash.slice(0, 12)} with turn protocol ${turnProtocolVersion}. What is sent to it waits in its inbox. Start a node of the release that it was started with.`;
  }

  async #look(program: ProgramRow): Promise<string | undefined> {
    if (!this.#preludes.has(program.prelude)) {
      const bytes = await this.#store.blob(program.prelude);
      if (bytes === undefined) return undefined;
      this.#preludes.set(program.prelude, Buffer.from(bytes).toString("utf8"));
    }
    return refusalOf(program, this.#preludes.get(program.prelude) ?? "");
  }
}
