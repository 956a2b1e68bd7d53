/** The main thread knows host functions, and the kernel thread asks it whether a program's are among them. */
import type { ProgramRow } from "../store/port.ts";

export type OffersQuestion = Pick<ProgramRow, "hash" | "operations">;

export class Offers {
  readonly #ask: (question: OffersQuestion) => void;
  readonly #waiting = new Map<string, (isOffered: boolean) => void>();

  constructor(ask: (question: OffersQuestion) => void) {
    this.#ask = ask;
  }

  /** Whether this node offers all host operations of a program. */
  offers({ hash, operations }: OffersQuestion): Promise<boolean> {
    return new Promise((resolve) => {
      this.#waiting.set(hash, resolve);
      this.#ask({ hash, operations });
    });
  }

  answered(hash: string, isOffered: boolean): void {
    this.#waiting.get(hash)?.(isOffered);
    this.#waiting.delete(hash);
  }
}
