/**
 * Queries: a call of a server's read-only method, answered by the heap as it is. They run in a copy of the process's memory, which
 * nobody sees afterwards; so whatever they do, the process's own memory is untouched.
 */
import type { Payload } from "../base/value.ts";
import type { Command } from "../journal/types.ts";
import { dispatchKind } from "./protocol.ts";
import type { QueryOutcome, QueryRequest } from "./port.ts";
import type { Slices, Stop } from "./scheduler.ts";
import { classify, Commands, head, settle, stopFor } from "./turn.ts";
import type { Vm } from "./vm.ts";

export type QueryEnd = Extract<QueryOutcome, { kind: "answered" | "refused" | "forbidden" | "fatal" }>;

/** After a fatal end the Vm's memory is ruined, as after a turn's. */
export function runQuery(
  vm: Vm,
  { body, replyTo, timeMs }: Pick<QueryRequest, "body" | "replyTo" | "timeMs">,
  maxCommandBytes: number,
  slices: Slices,
): Promise<QueryEnd> {
  const commands = new Commands(maxCommandBytes);
  vm.nowMs = timeMs;
  return new Promise((resolve) => {
    const stop: Stop = (reason, detail) => resolve({ kind: "fatal", reason, detail });
    vm.hooks = commands.hooks(slices, stop);
    const run = async (): Promise<void> => {
      const word = await ask(vm, body);
      // Preludes that know no queries fail at them, as at any input they do not know.
      if (word !== "runs") return resolve({ kind: "refused", why: word === "busy" ? "busy" : "not-read-only" });
      await settle(vm, commands);
      resolve(judge(commands.list, replyTo));
    };
    run().catch((error: unknown) => {
      const { reason, detail } = classify(error);
      stop(reason, detail);
    });
  });
}

/** What the prelude says to the query. */
async function ask(vm: Vm, { text, chunks = [] }: Payload): Promise<string | undefined> {
  const buffers = chunks.map((chunk) => vm.newArrayBuffer(chunk));
  const done = await vm.dispatch([...head(vm, dispatchKind.query, 0, "", text), ...buffers]);
  if (done.threw) throw await stopFor(vm, done);
  const word = vm.exports.qjs_is_string(done.value) === 0 ? undefined : vm.readString(done.value);
  vm.exports.qjs_free_value(done.value);
  return word;
}

/** The answer has to be all that comes of it. */
function judge(commands: readonly Command[], replyTo: string): QueryEnd {
  const isAnswer = (command: Command): boolean => command.kind === "send" && command.to === replyTo;
  const other = commands.find((command) => !isAnswer(command));
  if (other !== undefined) return { kind: "forbidden", detail: describe(other) };
  const answer = commands.find(({ kind }) => kind === "send");
  if (answer?.kind !== "send")
    return { kind: "forbidden", detail: "it did not answer at once: it waits for something" };
  return { kind: "answered", body: answer.body };
}

function describe(command: Command): string {
  switch (command.kind) {
    case "operation":
      return `it called ${command.name}`;
    case "send":
      return `it sent something to ${command.to}`;
    case "log":
      return "it printed something";
    case "timer":
      return "it set a timer";
    case "exit":
      return "it ended the process, or something failed beside it";
    default:
      return `it issued the command "${command.kind}"`;
  }
}
