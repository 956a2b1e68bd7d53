/** Exports and imports on the host's side. */
import { fileURLToPath } from "node:url";
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import { newPid } from "../base/ids.ts";
import type { Pid, ProcessKey } from "../journal/types.ts";
import type { MachineLimits } from "../machine/image.ts";
import { fileId } from "./files/decode.ts";
import { importProcess } from "./files/import.ts";
import type { Imported, ImportTarget } from "./files/import.ts";
import type { ExportRequest } from "./files/moving.ts";
import { fileBytes, readProcessFile } from "./files/read.ts";
import { Scratch } from "./files/scratch.ts";
import { systemRandom } from "./system.ts";
import type { KernelClient } from "./kernel-client.ts";

export interface ExportOptions {
  /**
   * Cut the process's links and monitors, and take away its names, when it leaves. By default a process that others would miss is
   * refused: EXPORT_REFUSED.
   */
  readonly detach?: boolean;
  /**
   * Do not wait for an operation that must not be begun twice and is under way: whether it happened is unknown then, as after a crash.
   * Default false: EXPORT_REFUSED.
   */
  readonly force?: boolean;
  /** How long operations under way may take to end. Those that may be begun again are, where the process arrives. Default "30s". */
  readonly wait?: Duration;
  /** The file's id: 20 lower-case letters and digits, never used before. Default: a new one. */
  readonly id?: string;
  /** Put the engine binary into the file. Default false. */
  readonly withEngine?: boolean;
  /**
   * Called when all of the file but its seal was handed out. When it resolves the process leaves the store, so make what there is
   * durable first. Default: what was handed out is taken to be safe as soon as the next piece is asked for.
   */
  readonly written?: () => Promise<void> | void;
}

export interface ImportOptions {
  /** The process stays paused until it is resumed. Default: as it was. */
  readonly paused?: boolean;
  /** Replay it in a store of its own before it can run, on the calling thread. Default true. */
  readonly verify?: boolean;
}

/** What a process file is read from: a path, or its bytes in pieces. */
export type FileSource = string | URL | AsyncIterable<Uint8Array>;

const defaultWait = "30s";

/** Throws ARGUMENT_INVALID, DURATION_INVALID. */
export function exportRequest({ id, detach, force, wait, withEngine }: ExportOptions): ExportRequest {
  if (id !== undefined && !fileId.test(id))
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `${JSON.stringify(id)} cannot be the id of a process file. Use 20 lower-case letters and digits, or leave it out.`,
    );
  return {
    file: id ?? newPid(systemRandom),
    detach: detach ?? false,
    force: force ?? false,
    waitMs: durationMs(wait ?? defaultWait),
    withEngine: withEngine ?? false,
  };
}

export async function* exportFrom(
  kernel: KernelClient,
  pid: Pid,
  options: ExportOptions,
): AsyncGenerator<Uint8Array, void> {
  const request = exportRequest(options);
  const { file } = request;
  await kernel.call("exportBegin", pid, request);
  try {
    for (;;) {
      const part = await kernel.call("exportNext", file);
      if (part === undefined) return;
      if (part.kind === "bytes") yield part.bytes;
      else await options.written?.();
    }
  } finally {
    await kernel.call("exportEnd", file);
  }
}

export async function importInto(
  kernel: KernelClient,
  source: FileSource,
  { paused = false, verify = true }: ImportOptions,
  limits: MachineLimits | undefined,
): Promise<Imported> {
  const bytes = typeof source === "string" || source instanceof URL ? fileBytes(pathOf(source)) : source;
  const scratch = verify ? await Scratch.create(limits) : undefined;
  const arriving = new Arriving(kernel);
  try {
    const targets = scratch === undefined ? [arriving] : [scratch, arriving];
    return await importProcess(readProcessFile(bytes), targets, paused);
  } catch (error) {
    await arriving.cancel();
    throw error;
  } finally {
    await scratch?.remove();
  }
}

function pathOf(source: string | URL): string {
  return source instanceof URL ? fileURLToPath(source) : source;
}

/** The store of a node. */
class Arriving implements ImportTarget {
  readonly #kernel: KernelClient;
  #begun: { readonly file: string; readonly key: ProcessKey } | undefined;

  constructor(kernel: KernelClient) {
    this.#kernel = kernel;
  }

  readonly begin: ImportTarget["begin"] = async (file, row, program) => {
    const key = await this.#kernel.call("importBegin", file, row, program);
    this.#begun = { file, key };
    return key;
  };

  readonly put: ImportTarget["put"] = (rows) => this.#kernel.call("importRows", rows);

  readonly finish: ImportTarget["finish"] = async (file, rows, serviceMs) => {
    await this.#kernel.call("importFinish", file, rows, serviceMs);
    this.#begun = undefined;
  };

  /** What was put goes again. If the engine has ended meanwhile, it goes when the file is imported again. */
  async cancel(): Promise<void> {
    if (this.#begun === undefined) return;
    const { file, key } = this.#begun;
    await this.#kernel.call("importCancel", file, key).catch(() => undefined);
  }
}
