/** The operations that the kernel answers itself, within the commit of the turn that asks: names, groups, lives. */
import { PerdureError } from "../base/errors.ts";
import { encodeError, encodeValue } from "../base/value.ts";
import type { Input, Pid, Verdict } from "../journal/types.ts";
import { processExported } from "../store/exports.ts";
import type { ProcessRow } from "../store/port.ts";
import { previousGeneration } from "../store/generations.ts";
import type { Crashes } from "./crashes.ts";
import type { KernelOperation } from "./effects.ts";
import { notFound } from "./errors.ts";
import type { Birth, Live } from "./live.ts";
import type { Names } from "./names.ts";
import type { Ended, Find } from "./peers.ts";
import { requestOf } from "./requests.ts";
import type { Request } from "./requests.ts";

export interface AnswersPorts {
  readonly names: Names;
  readonly find: Find;
  readonly crashes: Crashes;
  /** Whether a process of that pid is in memory, also one whose exit is on its way. */
  held(pid: Pid): boolean;
  deliver(receiver: Live, input: Input): void;
  /** Whether no other node may start a process of that pid. */
  mayBegin(pid: Pid): boolean;
  give(birth: Birth, parent: Live): void;
  control(live: Live, kind: "pause" | "resume"): boolean;
}

const later = Symbol("later");

export class Answers {
  readonly #ports: AnswersPorts;

  constructor(ports: AnswersPorts) {
    this.#ports = ports;
  }

  answer(live: Live, operation: KernelOperation, ended: Ended): void {
    const { number } = operation;
    let result: Input;
    try {
      const answer = this.#answer(live, operation, ended);
      // Another node answers.
      if (answer === later) return;
      const value = encodeValue(answer);
      result = { kind: "result", operation: number, ok: true, value };
    } catch (error) {
      result = { kind: "result", operation: number, ok: false, value: encodeError(error) };
    }
    this.#ports.deliver(live, result);
  }

  #answer(live: Live, operation: KernelOperation, ended: Ended): unknown {
    const { names, find } = this.#ports;
    const { name, args } = operation;
    const given = requestOf(operation);
    switch (name) {
      case "perdure:register":
        if (this.#ports.held(given.name) || ended.has(given.name)) throw nameIsPid(given.name);
        return names.register(given.name, this.#alive(live, given.pid));
      case "perdure:unregister":
        return names.unregister(given.name);
      case "perdure:whereis":
        return names.pidOf(given.name);
      case "perdure:join":
        return names.join(given.group, this.#alive(live, given.pid));
      case "perdure:leave": {
        const found = find(given.pid);
        return found === undefined ? undefined : names.leave(given.group, found.row.key);
      }
      case "perdure:members":
        return [...names.members(given.group)];
      case "perdure:alive":
        return find(given.pid) !== undefined;
      case "perdure:pause":
        return this.#decide(live, operation, given.pid, "pause");
      case "perdure:resume":
        return this.#decide(live, operation, given.pid, "resume");
      case "perdure:start":
        return this.#start(live, given, args, ended);
      case "perdure:revive":
        return this.#decide(live, operation, given.pid, given.from);
      case "perdure:release":
        return this.#decide(live, operation, given.pid, "release");
      default:
        throw new PerdureError("ENGINE_FAILED", `The kernel has no operation ${name}. This is a bug in Perdure.`);
    }
  }

  #decide(live: Live, { number }: KernelOperation, pid: Pid, verdict: Verdict): unknown {
    const { find, crashes } = this.#ports;
    const found = find(pid);
    if (found === undefined) return false;
    if (found.away) {
      crashes.decideAway(found, verdict, { process: live.row.key, operation: number });
      (live.asked ??= new Set()).add(number);
      return later;
    }
    if (verdict === "release") return crashes.letGo(found);
    return verdict === "pause" || verdict === "resume"
      ? this.#ports.control(found, verdict)
      : crashes.revive(found, verdict);
  }

  #alive(live: Live, pid: Pid): Pick<ProcessRow, "key" | "pid" | "shard"> {
    const found = pid === live.row.pid ? live : this.#ports.find(pid);
    if (found === undefined) throw notFound(pid);
    return found.row;
  }

  /** Get or start. What was started by this id before is what it is, whatever its arguments were. */
  #start(live: Live, { id, entry, label, role }: Request, args: KernelOperation["args"], ended: Ended): unknown {
    // Whoever has that pid, or had it: a pid is given once.
    const isKnown = (pid: Pid): boolean =>
      this.#ports.held(pid) || ended.has(pid) || this.#ports.find(pid)?.row.pid === pid;
    const previous = role === "server" ? previousGeneration(id) : undefined;
    const moved = ended.get(id)?.exported ?? (previous === undefined ? undefined : ended.get(previous)?.exported);
    if (moved !== undefined) throw processExported(moved);
    if (isKnown(id)) return { pid: id, created: false };
    // A server follows on one that has ended. Else whoever asks counts on from one that is forgotten, and others began anew.
    const follows = previous === undefined || (isKnown(previous) && this.#ports.find(previous) === undefined);
    if (!follows || !this.#ports.mayBegin(id)) return { pid: id, created: false, recount: true };
    this.#ports.give({ pid: id, entry, args, program: live.row.program, parent: "", label, role }, live);
    return { pid: id, created: true };
  }
}

/** Otherwise whoever writes to that process would be heard by another. */
function nameIsPid(name: string): PerdureError {
  const message = `${JSON.stringify(name)} cannot be registered: it is the pid of a process. Choose another name.`;
  return new PerdureError("NAME_TAKEN", message, { details: { name, pid: name } });
}
