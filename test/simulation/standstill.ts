/**
 * Time stands still while a run waits for what takes real time, and the answer is taken up when nothing else moves: so it makes
 * no difference how long it took.
 */
export class Standstill {
  #awaited = 0;
  readonly #answers: (() => void)[] = [];

  get isOn(): boolean {
    return this.#awaited > 0;
  }

  /** Gives what the answer is to be handed to, once. */
  await<T>(take: (answer: T) => void): (answer: T) => void {
    this.#awaited++;
    return (answer) => {
      this.#awaited--;
      this.#answers.push(() => take(answer));
    };
  }

  /** Takes up an answer. False if none has come. */
  settle(): boolean {
    const answer = this.#answers.shift();
    answer?.();
    return answer !== undefined;
  }
}
