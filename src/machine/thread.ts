/** A guest thread: a local machine behind a message port. Disposable: it may be terminated at any moment. */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { compileEngine } from "./engine-binary.ts";
import { createLocalMachine } from "./local.ts";
import type { TurnRequest } from "./port.ts";
import { pulseSlot } from "./pulse.ts";
import { resultsAsText } from "./thread-text.ts";
import type { FromThread, GuestThreadData, ToThread } from "./thread-messages.ts";

const port = parentPort;
if (port === null) throw new Error("this file is a guest thread's and cannot run by itself");

const data = workerData as GuestThreadData;
const pulse = new Int32Array(data.pulse);
const asked = new Map<string, PromiseWithResolvers<never>>();

const post = (message: FromThread): void => port.postMessage(message);

/** One question under way for each subject: whoever else wants to know waits for the same answer. */
function ask<T>(message: FromThread & { readonly subject: string }): Promise<T> {
  const waiting = asked.get(message.subject) ?? Promise.withResolvers<never>();
  if (!asked.has(message.subject)) {
    asked.set(message.subject, waiting);
    post(message);
  }
  return waiting.promise;
}

/** Takes the question off the list. */
function answered(subject: string): PromiseWithResolvers<never> | undefined {
  const waiting = asked.get(subject);
  asked.delete(subject);
  return waiting;
}

const machine = createLocalMachine({
  engine: compileEngine(data.engine),
  programs: {
    source: (program) => ask({ kind: "need-source", subject: program }),
    loadImage: (key) => ask({ kind: "need-image", subject: key }),
    saveImage: (key, encoded) => post({ kind: "save-image", key, encoded }),
  },
  events: {
    turns(results) {
      const text = resultsAsText(results);
      post(text === undefined ? { kind: "turns", results } : { kind: "turns-text", text });
      linger();
    },
    snapshots: (results) => post({ kind: "snapshots", results }),
    failed: (error) => {
      throw error;
    },
  },
  ...data.options,
  pulse: {
    beat(process, input) {
      Atomics.add(pulse, pulseSlot.beats, 1);
      Atomics.store(pulse, pulseSlot.process, process);
      Atomics.store(pulse, pulseSlot.input, input);
    },
  },
});

/** How long an instance that waits for reuse may wait, roughly. */
const trimEveryMs = 5_000;
setInterval(() => machine.trim(), trimEveryMs).unref();

/**
 * The answer to a turn is often another turn, within some tens of microseconds. To go to sleep and be woken takes as long, so
 * the thread looks out for it a little.
 */
const lingerMs = 0.08;
let lingering = false;

function linger(): void {
  if (lingering || !machine.idle || port === null) return;
  lingering = true;
  machine.prepare();
  const untilMs = performance.now() + lingerMs;
  while (performance.now() < untilMs) {
    const received: { readonly message: ToThread } | undefined = receiveMessageOnPort(port);
    if (received === undefined) continue;
    handle(received.message);
    break;
  }
  lingering = false;
}

port.on("message", handle);

function handle(message: ToThread): void {
  switch (message.kind) {
    case "run":
      return machine.run(message.requests);
    case "run-text":
      return machine.run(JSON.parse(message.text) as TurnRequest[]);
    case "query": {
      const { id } = message.request;
      return void machine.query(message.request).then((outcome) => post({ kind: "query", id, outcome }));
    }
    case "snapshot":
      return machine.snapshot(message.process);
    case "kill":
      return machine.kill(message.process);
    case "drop":
      return machine.drop(message.process);
    case "close":
      // Of this thread, not of the node.
      return process.exit();
    case "answer":
      return answered(message.subject)?.resolve(message.value as never);
    case "refusal":
      return answered(message.subject)?.reject(new Error(message.message));
  }
}
