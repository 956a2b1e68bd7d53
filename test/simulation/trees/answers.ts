/** What the kernel's own operations have to answer, by what the reference knows. */
import { decodeValue } from "../../../src/base/value.ts";
import { isPerdureError } from "../../../src/base/errors.ts";
import type { Command, Input, Pid } from "../../../src/journal/types.ts";
import type { Member, Reference } from "./reference.ts";

type Operation = Extract<Command, { kind: "operation" }>;
type Result = Extract<Input, { kind: "result" }>;

/** What is wrong with an answer, or undefined. */
export type CheckAnswer = (result: Result) => string | undefined;

interface Options {
  readonly name: string;
  readonly group: string;
  readonly pid: Pid;
  readonly id: Pid;
  readonly from: "previous" | "checkpoint";
}

/** What the commit at hand tells of an operation: its answer, if that is in it. */
export interface Told {
  answer(number: number): unknown;
  /** Whether the process was put back to its checkpoint once more than is accounted for. */
  restored(pid: Pid): boolean;
  /** Whether a process was born by an operation. */
  isNew(pid: Pid): boolean;
  complain(problem: string): void;
}

export function answer(reference: Reference, operation: Operation, told: Told): CheckAnswer {
  const given = JSON.parse(operation.options) as Options;
  const { names, groups } = reference;
  const subject = given.pid === undefined ? undefined : reference.find(given.pid);
  switch (operation.name) {
    case "perdure:register": {
      const holder = names.get(given.name);
      if (subject === undefined) return refused(operation, "PROCESS_NOT_FOUND");
      if (holder !== undefined && holder !== subject.pid) return refused(operation, "NAME_TAKEN");
      names.set(given.name, subject.pid);
      return is(operation, undefined);
    }
    case "perdure:unregister":
      return is(operation, names.delete(given.name));
    case "perdure:whereis":
      return is(operation, names.get(given.name));
    case "perdure:join":
      if (subject === undefined) return refused(operation, "PROCESS_NOT_FOUND");
      groups.set(given.group, (groups.get(given.group) ?? new Set()).add(subject.pid));
      return is(operation, undefined);
    case "perdure:leave":
      if (subject !== undefined) groups.get(given.group)?.delete(subject.pid);
      return is(operation, undefined);
    case "perdure:members":
      return is(operation, [...(groups.get(given.group) ?? [])].sort());
    case "perdure:alive":
      return is(operation, subject !== undefined);
    case "perdure:start":
      return is(operation, { pid: given.id, created: told.isNew(given.id) });
    case "perdure:revive":
    case "perdure:release":
      if (subject !== undefined) decide(reference, subject, operation, given, told);
      return () => undefined;
    default:
      return () => undefined;
  }
}

function decide(reference: Reference, child: Member, { name, number }: Operation, { from }: Options, told: Told): void {
  const isCheckpoint = name === "perdure:revive" && from === "checkpoint";
  const crash = child.crashes[0];
  const couldBe = crash !== undefined && (name === "perdure:release" || crash.aside !== undefined);
  // If its parent came to its end before it could be told, what happened tells what the answer was.
  const given = told.answer(number);
  const answer = given ?? (isCheckpoint ? told.restored(child.pid) : couldBe);
  if (answer !== true) {
    if (name === "perdure:release" && couldBe && child.knownCrashes > 0 && answer === false)
      told.complain(`${child.pid} has failed and waits, and could not be released`);
    return;
  }
  if (isCheckpoint) {
    if (given === true) told.restored(child.pid);
    const problem = reference.restore(child);
    return problem === undefined ? undefined : told.complain(problem);
  }
  const isKnown = child.knownCrashes > 0;
  if (reference.wake(child) === undefined)
    told.complain(`${name} of ${child.pid} was answered with yes, and it did not wait`);
  if (name === "perdure:release" && isKnown) child.released = true;
}

function is({ name, number }: Operation, expected: unknown): CheckAnswer {
  const text = JSON.stringify(expected);
  return ({ ok, value }) => {
    const given = decodeValue(value);
    const actual = JSON.stringify(Array.isArray(given) ? (given as string[]).toSorted() : given);
    return ok && actual === text ? undefined : `operation ${number} (${name}) was answered with ${actual}, not ${text}`;
  };
}

function refused({ name, number }: Operation, code: "PROCESS_NOT_FOUND" | "NAME_TAKEN"): CheckAnswer {
  return ({ ok, value }) => {
    const error = decodeValue(value) as { code?: string };
    const isExpected = !ok && (isPerdureError(error, code) || error.code === code);
    return isExpected ? undefined : `operation ${number} (${name}) was answered with ${value.text}, not ${code}`;
  };
}
