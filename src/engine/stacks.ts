/** Stack traces of guests in terms of the user's files, wherever they come to light: results, logs, reports. */
import { relatedErrors } from "../base/related-errors.ts";
import { mapStack } from "../program/index.ts";

const maxMaps = 8;

export class StackMapper {
  readonly #preludeMap: string;
  readonly #fetch: (program: string) => Promise<string | undefined>;
  readonly #maps = new Map<string, string | undefined>();
  /** Lines that wait for a source map, so that no line overtakes another. */
  #queue: Promise<void> | undefined;

  constructor(preludeMap: string, fetch: (program: string) => Promise<string | undefined>) {
    this.#preludeMap = preludeMap;
    this.#fetch = fetch;
  }

  /** Fetches the program's source map; it is kept for the programs used last. */
  async prepare(program: string | undefined): Promise<void> {
    if (program === undefined || this.#maps.has(program)) return;
    const map = await this.#fetch(program).catch(() => undefined);
    this.#maps.set(program, map);
    for (const oldest of this.#maps.keys()) if (this.#maps.size > maxMaps) this.#maps.delete(oldest);
  }

  mapText(program: string | undefined, text: string): string {
    if (!text.includes("perdure:")) return text;
    return mapStack(text, {
      programMap: program === undefined ? undefined : this.#maps.get(program),
      preludeMap: this.#preludeMap,
    });
  }

  /** Maps the stack of an error, of its causes and of the errors it collects, in place. */
  mapError(program: string | undefined, error: unknown): void {
    for (const each of relatedErrors(error)) {
      // A program may have made anything of it.
      if (typeof each.stack === "string") each.stack = this.mapText(program, each.stack);
    }
  }

  /** Calls `print` for each line in order, waiting for source maps where a line shows a stack. */
  inOrder<T extends { readonly program: string; readonly text: string }>(
    lines: readonly T[],
    print: (line: T, text: string) => void,
  ): void {
    const ready = (line: T): boolean => !line.text.includes("perdure:") || this.#maps.has(line.program);
    if (this.#queue === undefined && lines.every(ready)) {
      for (const line of lines) print(line, this.mapText(line.program, line.text));
      return;
    }
    const work = (this.#queue ?? Promise.resolve()).then(async () => {
      for (const line of lines) {
        if (!ready(line)) await this.prepare(line.program);
        print(line, this.mapText(line.program, line.text));
      }
    });
    this.#queue = work;
    void work.finally(() => {
      if (this.#queue === work) this.#queue = undefined;
    });
  }

  /** Resolves when all that was handed to `inOrder` until now is printed. */
  async inOrderSoFar(): Promise<void> {
    await this.#queue;
  }
}
