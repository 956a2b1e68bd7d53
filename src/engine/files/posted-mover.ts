/** Moves a process out of a store where another node owns it: by what is posted to it, as a pause is, and by watching its rows. */
import { setTimeout as sleep } from "node:timers/promises";
import { PerdureError } from "../../base/errors.ts";
import type { Pid, ProcessKey } from "../../journal/types.ts";
import { isHeldFor } from "../../kernel/moves.ts";
import type { HoldRequest } from "../../kernel/moves.ts";
import { postedStep, refusalOf } from "../../kernel/posted.ts";
import type { PostedStep } from "../../kernel/posted.ts";
import type { ExportedRow, StoreReader } from "../../store/port.ts";
import type { Mover } from "./write.ts";

const lookEveryMs = 30;
const pageLogs = 500;
/** Beyond what it is told to wait itself, a node that is alive has answered by then. */
const patienceMs = 30_000;

export class PostedMover implements Mover {
  readonly #reader: StoreReader;
  readonly #pid: Pid;
  readonly #file: string;
  readonly #request: Omit<HoldRequest, "file">;
  readonly #isNodeRunning: () => Promise<boolean>;

  constructor(
    reader: StoreReader,
    pid: Pid,
    about: {
      readonly file: string;
      readonly request: Omit<HoldRequest, "file">;
      readonly isNodeRunning: () => Promise<boolean>;
    },
  ) {
    this.#reader = reader;
    this.#pid = pid;
    this.#file = about.file;
    this.#request = about.request;
    this.#isNodeRunning = about.isNodeRunning;
  }

  async hold(): Promise<void> {
    const { detach, force, waitMs } = this.#request;
    await this.#ask({ step: "hold", detach, force, waitMs }, waitMs, async () => {
      const row = await this.#reader.findProcess(this.#pid);
      return row !== undefined && isHeldFor(row, this.#file) ? row : undefined;
    });
  }

  async leave(body: { readonly sha256: string; readonly inboxSeq: number }): Promise<ExportedRow> {
    const { detach } = this.#request;
    const { sha256, inboxSeq } = body;
    return await this.#ask({ step: "leave", detach, sha256, inboxSeq }, 0, async () => {
      const row = await this.#reader.exported(this.#pid);
      return row?.file === this.#file ? row : undefined;
    });
  }

  async back(): Promise<void> {
    if ((await this.#reader.findProcess(this.#pid)) === undefined) return;
    await this.#reader.post(this.#pid, postedStep(this.#file, { step: "back" }), Date.now());
  }

  async #ask<T>(step: PostedStep, waitMs: number, look: () => Promise<T | undefined>): Promise<T> {
    const key = (await this.#reader.findProcess(this.#pid))?.key ?? 0;
    const after = await this.#lastLog(key);
    await this.#reader.post(this.#pid, postedStep(this.#file, step), Date.now());
    const untilMs = performance.now() + waitMs + patienceMs;
    for (;;) {
      // It may have done as its last deed what is looked for: whether it runs is asked first.
      const isNodeRunning = await this.#isNodeRunning();
      const found = await look();
      if (found !== undefined) return found;
      const refusal = await this.#refusal(key, after);
      if (refusal !== undefined) throw this.#refused(refusal);
      if (!isNodeRunning) throw this.#refused("the node that ran on the store has stopped. Run the same command again");
      if (performance.now() > untilMs) throw this.#refused("the node that runs on the store does not answer");
      await sleep(lookEveryMs);
    }
  }

  async #lastLog(key: ProcessKey): Promise<number> {
    for (let after = 0; ;) {
      const page = await this.#reader.logs(key, after, pageLogs);
      after = page.at(-1)?.seq ?? after;
      if (page.length < pageLogs) return after;
    }
  }

  async #refusal(key: ProcessKey, after: number): Promise<string | undefined> {
    const words = refusalOf(this.#file);
    const line = (await this.#reader.logs(key, after, pageLogs)).find(({ text }) => text.startsWith(words));
    return line?.text.slice(words.length);
  }

  #refused(why: string): PerdureError {
    const begins = "is not exported: ";
    const reason = why.includes(begins) ? why.slice(why.indexOf(begins) + begins.length) : `${why}.`;
    return new PerdureError("EXPORT_REFUSED", `The process ${JSON.stringify(this.#pid)} is not exported: ${reason}`, {
      details: { pid: this.#pid, file: this.#file },
    });
  }
}
