/** A node in the foreground: what `run` and `resume` have in common. */
import { PerdureError } from "../base/errors.ts";
import { nodeName } from "../engine/defaults.ts";
import { Engine } from "../engine/engine.ts";
import { openingHealth } from "../engine/health.ts";
import type { NodeView } from "../engine/node-view.ts";
import type { EngineOptions, LogEntry } from "../engine/options.ts";
import type { KernelNotice } from "../kernel/ports.ts";
import { serveHealth } from "../http/health.ts";
import { defaultMachineLimits } from "../machine/image.ts";
import { defaultPoolLimits } from "../machine/pool.ts";
import { engineOptions } from "./config.ts";
import type { Context } from "./context.ts";
import { failureOf, NodeFailure, printFailure } from "./failure.ts";
import { formatGuestError } from "./guest-error.ts";
import type { NodeFlags } from "./node-options.ts";
import { onStopSignal } from "./signals.ts";
import type { StopSignal } from "./signals.ts";

/** Why a node stopped before what it was started for had happened. */
export type Stop =
  { readonly kind: "signal"; readonly signal: StopSignal } | { readonly kind: "failure"; readonly error: unknown };

export interface Node {
  readonly engine: Engine;
  /** Resolves when someone or something stops the node. Never rejects. */
  readonly stopped: Promise<Stop>;
  /** Stops it in good order, and lets go of signals. Says so if that takes a while. */
  close(): Promise<void>;
}

export interface NodeOptions extends Pick<EngineOptions, "onLog" | "onExit"> {
  /** Which notices to print. Default all. */
  readonly concerns?: (notice: KernelNotice) => boolean;
  readonly program?: string;
  readonly env?: readonly string[];
  readonly flags: NodeFlags;
  /** Waits for the store if another node owns it. Default false. */
  readonly standby?: boolean;
}

/** Long enough that a quick stop needs no words. */
const slowCloseMs = 1000;

export async function openNode(context: Context, options: NodeOptions): Promise<Node> {
  const { config, terminal } = context;
  const stopping = Promise.withResolvers<Stop>();
  // Standard output belongs to the document; what host code prints goes where all else goes.
  if (context.json) terminal.reserveOutput();
  // Whoever sees that it stands by may stop it.
  const forget = onStopSignal((signal) => stopping.resolve({ kind: "signal", signal }));
  let opened: Engine | undefined;
  await answerProbes(context, options.flags, () => opened);
  const engine = await Engine.open({
    ...engineOptions(config, { limits: defaultMachineLimits, pool: defaultPoolLimits }),
    store: context.store,
    ...(context.archive === undefined ? {} : { archive: context.archive }),
    env: [...(config.env ?? []), ...(options.env ?? [])],
    ...(options.program === undefined ? {} : { program: options.program }),
    ...(options.onLog === undefined ? {} : { onLog: options.onLog }),
    ...(options.onExit === undefined ? {} : { onExit: options.onExit }),
    onNotice: (notice) => {
      if (options.concerns?.(notice) === false) return;
      const about = notice.pid === "" ? "" : `process ${notice.pid}: `;
      terminal.note(`${terminal.err.yellow("perdure:")} ${about}${notice.message}`);
    },
    ...(options.flags.name === undefined ? {} : { nodeName: options.flags.name }),
    labels: options.flags.labels,
    ...(options.standby === undefined ? {} : { standby: options.standby }),
    ...(options.standby === true ? { onNode: noteNodes(context) } : {}),
    onFailure: (error) => stopping.resolve({ kind: "failure", error }),
  });
  opened = engine;
  process.on("uncaughtException", (error) => hostCodeFailed(context, error));
  return {
    engine,
    stopped: stopping.promise,
    close: async () => {
      const slow = setTimeout(
        () => terminal.note("perdure: stopping; running operations are given time to end (Ctrl-C again does not wait)"),
        slowCloseMs,
      );
      try {
        await engine.close();
      } finally {
        clearTimeout(slow);
        forget();
      }
    },
  };
}

/** Before the node is opened, and until this process has ended. */
async function answerProbes(
  { terminal }: Context,
  { name, health }: NodeFlags,
  engine: () => Engine | undefined,
): Promise<void> {
  if (health === undefined) return;
  const opening = openingHealth(nodeName(name), Date.now());
  const { url } = await serveHealth({ ...health, health: () => engine()?.health() ?? opening });
  terminal.note(terminal.err.dim(`perdure: health at ${url}/livez and ${url}/readyz`));
}

/** A node that is active from the start has other things to say. */
function noteNodes({ terminal }: Context): (node: NodeView) => void {
  const { yellow, dim } = terminal.err;
  let hasWaited = false;
  return ({ state, message }) => {
    if (state === "standing-by") terminal.note(dim(`perdure: standing by: ${message}`));
    else if (state === "unreachable") terminal.note(`${yellow("perdure:")} waiting for the database: ${message}`);
    else if (state === "active" && hasWaited) terminal.note(dim("perdure: this node owns the store now"));
    hasWaited = state !== "active";
  };
}

/** The first of a node's work and its stopping. Throws NodeFailure if the node failed. */
export async function untilStopped<T>(
  node: Node,
  work: Promise<T>,
): Promise<{ readonly done: T } | { readonly signal: StopSignal }> {
  const stopped = node.stopped.then((stop) => {
    if (stop.kind === "failure") throw new NodeFailure(stop.error);
    return { signal: stop.signal };
  });
  const done = work.then(
    (value) => ({ done: value }),
    // A failing node fails whatever is waited for; the cause is worth more than the symptom.
    (error: unknown) => (node.engine.failure === undefined ? Promise.reject(error as Error) : stopped),
  );
  return await Promise.race([done, stopped]);
}

/** Outside an operation nobody hears an error of host code, and Node would not go on after it either. */
function hostCodeFailed(context: Context, thrown: unknown): void {
  const { terminal } = context;
  const message =
    "Host code threw an error outside of any operation, so the node stops. Nothing committed is lost; its processes go on with the next node.";
  const failure = failureOf(new NodeFailure(new PerdureError("ENGINE_FAILED", message)));
  printFailure(failure, terminal);
  const shown = formatGuestError(thrown);
  // Without a frame of its own it may well be Perdure's fault: then the whole stack is wanted.
  terminal.note(/^ +at /m.test(shown) || !(thrown instanceof Error) ? shown : (thrown.stack ?? shown));
  process.exit(failure.exitCode);
}

/** Console output of programs, as it is: warnings and errors on standard error, the rest on standard output. */
export function printLog({ level, text }: LogEntry, prefix = ""): void {
  const stream = level === "error" || level === "warn" ? process.stderr : process.stdout;
  stream.write(prefix === "" ? `${text}\n` : `${text.replace(/^/gm, prefix)}\n`);
}
