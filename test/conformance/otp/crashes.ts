/** When the node dies or is closed, as a seed says. */
import { Dice } from "../../simulation/dice.ts";

/** More than this many in one case would take long and show nothing new. */
const maxCrashes = 40;

export class Crashes {
  readonly #dice: Dice;
  readonly #rate: number;
  /** How often it has died. */
  count = 0;

  /** The same seed kills the node at other moments in another case. */
  constructor(seed: number, name: string) {
    this.#dice = new Dice(seed, name);
    this.#rate = this.#dice.pick([0.03, 0.1, 0.4]);
  }

  atCommit(): "crash-before" | "crash-after" | undefined {
    if (!this.#strikes(this.#rate)) return undefined;
    return this.#dice.pick(["crash-before", "crash-after"] as const);
  }

  betweenActions(): "die" | "close" | undefined {
    return this.#strikes(0.3) ? this.#dice.pick(["die", "die", "close"] as const) : undefined;
  }

  /** In good order, a moment after a commit. */
  closes(): boolean {
    return this.#strikes(this.#rate / 5);
  }

  /** Mostly it is back at once; now and then it is an hour. */
  downtimeMs(): number {
    return this.#dice.pick([0, 0, 10, 3_000, 3_600_000]);
  }

  /** So little that no timeout of a case is passed because of it. */
  turnMs(): number {
    return this.#dice.unit() / 8;
  }

  #strikes(rate: number): boolean {
    if (this.count === maxCrashes || !this.#dice.chance(rate)) return false;
    this.count++;
    return true;
  }
}
