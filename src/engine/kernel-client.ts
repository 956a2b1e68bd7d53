/** The kernel thread as the main thread sees it: calls with answers, and events. */
import { Worker } from "node:worker_threads";
import { PerdureError } from "../base/errors.ts";
import type { OperationReport } from "../kernel/ports.ts";
import type { FromKernel, KernelThreadData, ServiceArgs, ServiceMethod, ServiceResult, ToKernel } from "./messages.ts";
import { fromWireError } from "./wire-error.ts";

export type KernelEvent = Exclude<FromKernel, { kind: "opened" | "answer" | "failed" }>;

export class KernelClient {
  readonly #worker: Worker;
  readonly #calls = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  readonly #onEvent: (event: KernelEvent) => void;
  readonly #onFailed: (error: Error) => void;
  #ids = 0;
  /** Why nothing can be called any more. */
  #ended: Error | undefined;
  readonly #opened = Promise.withResolvers<void>();

  constructor(data: KernelThreadData, onEvent: (event: KernelEvent) => void, onFailed: (error: Error) => void) {
    this.#onEvent = onEvent;
    this.#onFailed = onFailed;
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#worker = new Worker(new URL(`./kernel-thread.${extension}`, import.meta.url), {
      workerData: data,
      name: "perdure kernel",
    });
    this.#worker.on("message", (message: FromKernel) => this.#heard(message));
    this.#worker.on("error", (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on("exit", () =>
      this.#fail(
        new PerdureError("ENGINE_FAILED", "The kernel thread ended. Nothing committed is lost; open the engine again."),
      ),
    );
  }

  /**
   * Resolves when the store is open and recovered; throws what kept it from being so. Events may come before: recovery
   * begins operations.
   */
  async opened(): Promise<void> {
    try {
      await this.#opened.promise;
    } catch (error) {
      await this.terminate();
      throw error;
    }
  }

  call<M extends ServiceMethod>(method: M, ...args: ServiceArgs<M>): Promise<ServiceResult<M>> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = ++this.#ids;
    return new Promise<ServiceResult<M>>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#post({ kind: "call", id, method, args });
    });
  }

  reports(reports: readonly OperationReport[]): void {
    this.#post({ kind: "reports", reports });
  }

  /** Ends the thread at once; calls that are under way fail with `reason`. */
  async terminate(reason: Error = new PerdureError("ENGINE_CLOSED", "The engine is closed.")): Promise<void> {
    this.#end(reason);
    await this.#worker.terminate();
  }

  #post(message: ToKernel): void {
    if (this.#ended === undefined) this.#worker.postMessage(message);
  }

  #heard(message: FromKernel): void {
    switch (message.kind) {
      case "opened":
        return message.error === undefined ? this.#opened.resolve() : this.#refuse(fromWireError(message.error));
      case "answer": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        return message.error === undefined
          ? call?.resolve(message.value as never)
          : call?.reject(fromWireError(message.error));
      }
      case "failed":
        return this.#fail(fromWireError(message.error));
      default:
        return this.#ended === undefined ? this.#onEvent(message) : undefined;
    }
  }

  /** It did not open, and its thread may be gone before anybody has heard of that: whoever has asked it something hears the reason now. */
  #refuse(error: Error): void {
    this.#opened.reject(error);
    this.#end(error);
  }

  #fail(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#opened.reject(error);
    this.#end(error);
    this.#onFailed(error);
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    for (const call of this.#calls.values()) call.reject(this.#ended);
    this.#calls.clear();
  }
}
