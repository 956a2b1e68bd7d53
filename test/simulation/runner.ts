/**
 * The runner of a simulated node, with the manners of the real one: an at-most-once operation is begun only when that is
 * on record, what is taken back may go on unheard, and every now and then a report comes late or twice.
 */
import { encodeValue } from "../../src/base/value.ts";
import type { Payload } from "../../src/base/value.ts";
import type { OperationReport, OperationRequest, OperationRunner } from "../../src/kernel/ports.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import { operationResult, uncertainResult } from "./process.ts";
import type { Deed, Outside } from "./outside.ts";
import { outcomeValue, uncertain } from "./program.ts";
import type { Scope, Timeline } from "./timeline.ts";

export interface SimulatedRunnerPorts {
  readonly timeline: Timeline;
  readonly scope: Scope;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly outside: Outside;
  /** Number of this node, from 1: what is missing from one deployment is there in the next. */
  readonly node: number;
  /** Tells the kernel. False if it did not take it, since it is closing or has failed. */
  report(reports: readonly OperationReport[]): boolean;
  /** Whether the start of the operation is on the disk. */
  startedOnRecord(request: OperationRequest): boolean;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** An attempt is taken back. */
  aborted(request: OperationRequest): void;
  /** An operation takes its node down. */
  kill(): void;
}

export interface Job {
  readonly request: OperationRequest;
  readonly deed: Deed;
  state: "queued" | "beginning" | "running" | "ended";
  isWanted: boolean;
}

export class SimulatedRunner implements OperationRunner {
  readonly #ports: SimulatedRunnerPorts;
  readonly #jobs = new Map<string, Job>();
  #reports: { readonly report: OperationReport; readonly job: Job | undefined }[] = [];

  constructor(ports: SimulatedRunnerPorts) {
    this.#ports = ports;
  }

  /** Attempts that somebody waits for, or should have taken back. */
  get pending(): readonly Job[] {
    return [...this.#jobs.values()].filter(({ state, isWanted }) => state !== "ended" && isWanted);
  }

  start(requests: readonly OperationRequest[]): void {
    const { outside, complain, note, timeline, dice, scope } = this.#ports;
    for (const request of requests) {
      note("dispatch", request.pid, request.number, request.token, request.attempt);
      if (this.#jobs.has(request.token)) complain(`two attempts have the token ${request.token}`);
      const deed = outside.dispatched(request);
      if (deed === undefined) continue;
      const job: Job = { request, deed, state: "queued", isWanted: true };
      this.#jobs.set(request.token, job);
      if (dice.chance(0.1)) this.#admit(job);
      else timeline.after(dice.delay(0, 60), () => this.#admit(job), scope);
    }
  }

  proceed(token: string): void {
    const job = this.#jobs.get(token);
    this.#ports.note("proceed", token);
    if (job?.state === "beginning") this.#run(job);
  }

  abort(token: string): void {
    const job = this.#jobs.get(token);
    this.#ports.note("abort", token);
    if (job === undefined) return;
    if (job.state !== "ended") this.#ports.aborted(job.request);
    job.isWanted = false;
    job.deed.running.delete(token);
    // Host code may not listen to its AbortSignal.
    if (job.state !== "running" || this.#ports.dice.chance(0.7)) job.state = "ended";
    else this.#ports.faults.count("operation heard no abort");
  }

  #admit(job: Job): void {
    const { request, deed } = job;
    if (job.state !== "queued") return;
    const { step } = deed;
    if (step.unavailable && this.#ports.node % 2 === 1) {
      this.#ports.faults.count("operation not deployed");
      return this.#end(job, { token: request.token, kind: "unavailable", error: "not deployed" });
    }
    if (request.doubt !== "none" && step.mode === "at-most-once") {
      this.#ports.outside.gives(deed, false, uncertain);
      return this.#end(job, { token: request.token, kind: "done", ...uncertainResult });
    }
    if (step.mode === "at-least-once" && !request.watched) return this.#run(job);
    job.state = "beginning";
    this.#say({ token: request.token, kind: "begin" });
  }

  #run(job: Job): void {
    const { request, deed } = job;
    const { timeline, scope, dice, outside, faults } = this.#ports;
    if (job.state === "beginning" && !this.#ports.startedOnRecord(request)) {
      this.#ports.complain(
        `operation ${request.number} of ${request.pid} was to proceed before its start was on record`,
      );
    }
    job.state = "running";
    outside.begins(deed, request.token);
    if (deed.step.killer && !deed.mended && faults.mayKill()) {
      timeline.after(dice.delay(0, 30), () => job.state === "running" && this.#ports.kill(), scope);
      return;
    }
    timeline.after(dice.delay(0, dice.chance(0.1) ? 2_000 : 100), () => this.#complete(job), scope);
  }

  #complete(job: Job): void {
    const { request, deed } = job;
    const { step, occurrence } = deed;
    if (job.state !== "running") return;
    const { token, attempt } = request;
    deed.running.delete(token);
    if (attempt <= step.failures) {
      this.#ports.faults.count("operation failed and tried again");
      const delayMs = this.#ports.dice.delay(0, 400);
      return this.#end(job, { token, kind: "retry", delayMs, error: `attempt ${attempt} failed` });
    }
    const { ok, value } = operationResult(step, occurrence);
    this.#ports.outside.gives(deed, ok, outcomeValue(step.site, occurrence));
    this.#end(job, { token, kind: "done", ok, value });
  }

  #end(job: Job, report: OperationReport): void {
    job.state = "ended";
    const { dice, timeline, scope } = this.#ports;
    this.#say(report, job);
    if (!dice.chance(0.1)) return;
    this.#ports.faults.count("operation reported twice or late");
    // What must not be believed any more.
    const value: Payload = encodeValue("a stale report");
    const { token } = report;
    const stale: OperationReport = dice.chance(0.7)
      ? { token, kind: "done", ok: true, value }
      : { token, kind: "retry", delayMs: 0, error: "a stale report" };
    timeline.after(1 + dice.delay(0, 300), () => this.#say(stale), scope);
  }

  #say(report: OperationReport, job?: Job): void {
    const { timeline, scope, dice } = this.#ports;
    this.#ports.note("report", report);
    this.#reports.push({ report, job });
    if (this.#reports.length > 1) return;
    const flush = (): void => {
      const said = this.#reports;
      this.#reports = [];
      if (!this.#ports.report(said.map(({ report }) => report))) return;
      for (const { report, job } of said) {
        if (report.kind === "done" && job?.isWanted === true) job.deed.toldNode = this.#ports.node;
      }
    };
    if (dice.chance(0.05)) flush();
    else timeline.after(dice.chance(0.8) ? 0 : dice.delay(0, 50), flush, scope);
  }
}
