/**
 * The kernel thread: kernel, store and lease, and nothing a user wrote, so that no user code can cost the lease or delay a
 * commit.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { FromKernel, KernelThreadData, ToKernel } from "./messages.ts";
import { EngineService } from "./service.ts";
import { systemClock, systemRandom } from "./system.ts";
import { toWireError } from "./wire-error.ts";

const port = parentPort;
if (port === null) throw new Error("this file is the kernel thread's and cannot run by itself");

const post = (message: FromKernel): void => port.postMessage(message);

async function main(): Promise<void> {
  const service = await EngineService.open(workerData as KernelThreadData, {
    clock: systemClock,
    random: systemRandom,
    defer: (fn) => void setImmediate(fn),
    offers: (question) => post({ kind: "offers", question }),
    runner: {
      start: (requests) => post({ kind: "operations", requests }),
      proceed: (token) => post({ kind: "proceed", token }),
      transact: (loan) => post({ kind: "transact", loan }),
      abort: (token) => post({ kind: "abort", token }),
    },
    events: {
      logs: (logs) => post({ kind: "logs", logs }),
      exited: (exits) => post({ kind: "exited", exits }),
      notice: (notice) => post({ kind: "notice", notice }),
      node: (node) => post({ kind: "node", node }),
      failed: (error) => post({ kind: "failed", error: toWireError(error) }),
    },
  });
  if (service.incarnation !== undefined)
    post({ kind: "node", node: { state: "active", incarnation: service.incarnation, message: "" } });
  port?.on("message", (message: ToKernel) => {
    if (message.kind === "reports") service.reports(message.reports);
    else void answer(service, message);
  });
  post({ kind: "opened" });
}

async function answer(
  service: EngineService,
  { id, method, args }: Extract<ToKernel, { kind: "call" }>,
): Promise<void> {
  try {
    const call = service[method] as (...args: readonly unknown[]) => unknown;
    post({ kind: "answer", id, value: await call.apply(service, [...args]) });
  } catch (error) {
    post({ kind: "answer", id, error: toWireError(error) });
  }
}

main().catch((error: unknown) => post({ kind: "opened", error: toWireError(error) }));
