/** Specifications as a supervisor works with them: checked as OTP checks them, with every default filled in. */
import { durationMs } from "../../../base/duration.ts";
import { lookUp } from "../../entries.ts";
import { isPlainObject } from "../../plain.ts";
import { isServerClass } from "../server-loop.ts";
import { portableChild, portableFlags, supervisorEntry } from "./portable.ts";
import { SupervisorSpecification } from "./types.ts";
import type { Recover, Restart, SpecProblem, Strategy } from "./types.ts";

export interface CheckedChild {
  readonly id: string;
  readonly entry: string;
  readonly args: readonly unknown[];
  readonly type: "worker" | "supervisor";
  /** It says when it has started; a plain function has as soon as it is spawned. */
  readonly acknowledges: boolean;
  readonly restart: Restart;
  readonly shutdown: "brutal_kill" | "infinity" | number;
  readonly significant: boolean;
  readonly recover: Recover;
  readonly backoff: CheckedBackoff | undefined;
  readonly needs: string | undefined;
}

export interface CheckedBackoff {
  readonly delayMs: number;
  readonly factor: number;
  readonly capMs: number;
  readonly jitter: number;
}

export interface CheckedFlags {
  readonly strategy: Strategy;
  readonly intensity: number;
  readonly periodMs: number;
  readonly autoShutdown: AutoShutdown;
  readonly recovery: CheckedLadder | undefined;
  /** Of a pool, the template alone. */
  readonly children: readonly CheckedChild[];
}

export interface CheckedLadder {
  readonly previous: number;
  readonly checkpoint: number;
  readonly withinMs: number;
}

type AutoShutdown = "never" | "any_significant" | "all_significant";

const strategies: readonly unknown[] = [
  "one_for_one",
  "one_for_all",
  "rest_for_one",
  "simple_one_for_one",
] satisfies Strategy[];
const restarts: readonly unknown[] = ["permanent", "transient", "temporary"] satisfies Restart[];
const recovers: readonly unknown[] = ["previous", "checkpoint", "fresh"] satisfies Recover[];
const autoShutdowns: readonly unknown[] = ["never", "any_significant", "all_significant"] satisfies AutoShutdown[];

/** Carries a problem out of the checks. */
class Invalid {
  readonly problem: SpecProblem;

  constructor(problem: SpecProblem) {
    this.problem = problem;
  }
}

type Checked<T> = { readonly ok: T; readonly problem?: undefined } | { readonly problem: SpecProblem };

export function checkFlags(given: unknown): Checked<CheckedFlags> {
  return collected(() => flagsOf(portableFlags(given)));
}

export function checkChild(given: unknown, autoShutdown: AutoShutdown): Checked<CheckedChild> {
  return collected(() => childOf(portableChild(given), autoShutdown));
}

function collected<T>(check: () => T): Checked<T> {
  try {
    return { ok: check() };
  } catch (error) {
    if (error instanceof Invalid) return { problem: error.problem };
    throw error;
  }
}

function flagsOf(given: unknown): CheckedFlags {
  if (!isPlainObject(given)) throw new Invalid({ invalid_child_spec: given });
  const { strategy = "one_for_one", intensity = 1, period = 5000, autoShutdown = "never" } = given;
  if (!strategies.includes(strategy)) throw new Invalid({ invalid_strategy: strategy });
  if (!isCount(intensity)) throw new Invalid({ invalid_intensity: intensity });
  const periodMs = milliseconds(period) ?? 0;
  if (!(periodMs > 0)) throw new Invalid({ invalid_period: period });
  if (!autoShutdowns.includes(autoShutdown)) throw new Invalid({ invalid_auto_shutdown: autoShutdown });
  const isPool = strategy === "simple_one_for_one";
  if (isPool && autoShutdown !== "never") {
    throw new Invalid({ bad_combination: { strategy, auto_shutdown: autoShutdown } });
  }
  return {
    strategy: strategy as Strategy,
    intensity,
    periodMs,
    autoShutdown: autoShutdown as AutoShutdown,
    recovery: ladderOf(given["recovery"], periodMs),
    children: isPool
      ? [templateOf(given["template"])]
      : childrenOf(given["children"] ?? [], autoShutdown as AutoShutdown),
  };
}

function childrenOf(given: unknown, autoShutdown: AutoShutdown): CheckedChild[] {
  if (!Array.isArray(given)) throw new Invalid({ invalid_child_spec: given });
  const ids = new Set<string>();
  return given.map((each: unknown) => {
    const child = childOf(each, autoShutdown);
    if (ids.has(child.id)) throw new Invalid({ duplicate_child_name: child.id });
    ids.add(child.id);
    return child;
  });
}

function templateOf(given: unknown): CheckedChild {
  if (!isPlainObject(given)) throw new Invalid({ invalid_child_spec: given });
  return childOf({ id: "child", ...given }, "never");
}

function childOf(given: unknown, autoShutdown: AutoShutdown): CheckedChild {
  if (!isPlainObject(given)) throw new Invalid({ invalid_child_spec: given });
  const { id, restart = "permanent", significant = false, recover = "fresh", backoff, needs } = given;
  if (typeof id !== "string" || id === "") throw new Invalid({ missing_id: given });
  if (!restarts.includes(restart)) throw new Invalid({ invalid_restart: restart });
  if (typeof significant !== "boolean") throw new Invalid({ invalid_significant: significant });
  if (!recovers.includes(recover)) throw new Invalid({ invalid_recover: recover });
  if (needs !== undefined && typeof needs !== "string") throw new Invalid({ invalid_needs: needs });
  const start = startOf(given);
  if (significant && autoShutdown === "never") {
    throw new Invalid({ bad_combination: { auto_shutdown: autoShutdown, significant } });
  }
  if (significant && restart === "permanent") throw new Invalid({ bad_combination: { restart, significant } });
  if (recover !== "fresh" && restart === "temporary") throw new Invalid({ bad_combination: { restart, recover } });
  return {
    id,
    ...start,
    restart: restart as Restart,
    shutdown: shutdownOf(given["shutdown"], start.type),
    significant,
    recover: recover as Recover,
    backoff: backoff === undefined ? undefined : backoffOf(backoff),
    needs,
  };
}

type CheckedStart = Pick<CheckedChild, "entry" | "args" | "type" | "acknowledges">;

function startOf(given: Record<string, unknown>): CheckedStart {
  const { supervisor } = given;
  if (supervisor === undefined) return entryStart(given["start"], "worker");
  if (isPlainObject(supervisor) && "entry" in supervisor) return entryStart(supervisor, "supervisor");
  return { entry: supervisorEntry, args: [supervisor], type: "supervisor", acknowledges: true };
}

function entryStart(start: unknown, type: CheckedChild["type"]): CheckedStart {
  if (!isPlainObject(start)) throw new Invalid({ invalid_start: start });
  const { entry, args = [] } = start;
  const value = typeof entry === "string" ? lookUp(entry) : undefined;
  const isSupervisor = type === "supervisor" || value instanceof SupervisorSpecification;
  const isStartable = typeof value === "function" || value instanceof SupervisorSpecification;
  if (!isStartable || !Array.isArray(args)) throw new Invalid({ invalid_start: start });
  return {
    entry: entry as string,
    args,
    type: isSupervisor ? "supervisor" : "worker",
    acknowledges: isSupervisor || isServerClass(value),
  };
}

function shutdownOf(given: unknown, type: CheckedChild["type"]): CheckedChild["shutdown"] {
  if (given === undefined) return type === "supervisor" ? "infinity" : 5000;
  if (given === "brutal_kill" || given === "infinity") return given;
  const timeoutMs = milliseconds(given);
  if (timeoutMs === undefined) throw new Invalid({ invalid_shutdown: given });
  return timeoutMs;
}

function backoffOf(given: unknown): CheckedBackoff {
  if (!isPlainObject(given)) throw new Invalid({ invalid_backoff: given });
  const { factor = 2, jitter = 0 } = given;
  const delayMs = milliseconds(given["delay"]);
  const capMs = milliseconds(given["cap"] ?? 60_000);
  const isValid = typeof factor === "number" && factor >= 1 && typeof jitter === "number" && jitter >= 0 && jitter <= 1;
  if (delayMs === undefined || capMs === undefined || !isValid) throw new Invalid({ invalid_backoff: given });
  return { delayMs, capMs, factor, jitter };
}

function ladderOf(given: unknown, periodMs: number): CheckedLadder | undefined {
  if (given === undefined) return undefined;
  if (!isPlainObject(given)) throw new Invalid({ invalid_recovery: given });
  const { previous = 0, checkpoint = 0, within = periodMs } = given;
  const withinMs = milliseconds(within);
  if (!isCount(previous) || !isCount(checkpoint) || withinMs === undefined)
    throw new Invalid({ invalid_recovery: given });
  return { previous, checkpoint, withinMs };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function milliseconds(duration: unknown): number | undefined {
  if (typeof duration !== "number" && typeof duration !== "string") return undefined;
  try {
    return durationMs(duration);
  } catch {
    return undefined;
  }
}
