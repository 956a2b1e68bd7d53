/** Between the main thread (host code, callers) and the kernel thread (kernel, store, lease). */
import type { KernelLog, KernelNotice, Loan, OperationReport, OperationRequest } from "../kernel/ports.ts";
import type { Pid } from "../journal/types.ts";
import type { ProcessExit } from "../store/port.ts";
import type { NodeView } from "./node-view.ts";
import type { OffersQuestion } from "./offers.ts";
import type { EngineService, ServiceOptions } from "./service.ts";
import type { WireError } from "./wire-error.ts";

type Methods = Pick<
  EngineService,
  | "deploy"
  | "offered"
  | "start"
  | "send"
  | "cancel"
  | "shutdown"
  | "kill"
  | "retry"
  | "control"
  | "move"
  | "whereis"
  | "keyed"
  | "call"
  | "deadLetters"
  | "resend"
  | "dropDeadLetter"
  | "tree"
  | "exit"
  | "details"
  | "list"
  | "history"
  | "sourceMap"
  | "programOf"
  | "programFile"
  | "ping"
  | "exportBegin"
  | "exportNext"
  | "exportEnd"
  | "exportSeal"
  | "importBegin"
  | "importRows"
  | "importFinish"
  | "importCancel"
  | "drain"
  | "close"
>;

export type ServiceMethod = keyof Methods;
export type ServiceArgs<M extends ServiceMethod> = Parameters<Methods[M]>;
export type ServiceResult<M extends ServiceMethod> = Awaited<ReturnType<Methods[M]>>;

export type KernelThreadData = ServiceOptions;

export type ToKernel =
  | { readonly kind: "call"; readonly id: number; readonly method: ServiceMethod; readonly args: readonly unknown[] }
  | { readonly kind: "reports"; readonly reports: readonly OperationReport[] };

export type FromKernel =
  /** The store is open and recovered; or could not be. */
  | { readonly kind: "opened"; readonly error?: WireError }
  /** What the node has become. Always after `opened`, or just before it. */
  | { readonly kind: "node"; readonly node: Omit<NodeView, "sinceMs"> }
  | { readonly kind: "answer"; readonly id: number; readonly value?: unknown; readonly error?: WireError }
  | { readonly kind: "operations"; readonly requests: readonly OperationRequest[] }
  /** Whether all of these host operations are offered here. */
  | { readonly kind: "offers"; readonly question: OffersQuestion }
  | { readonly kind: "proceed" | "abort"; readonly token: string }
  | { readonly kind: "transact"; readonly loan: Loan }
  | { readonly kind: "logs"; readonly logs: readonly KernelLog[] }
  | { readonly kind: "exited"; readonly exits: readonly { readonly pid: Pid; readonly exit: ProcessExit }[] }
  | { readonly kind: "notice"; readonly notice: KernelNotice }
  | { readonly kind: "failed"; readonly error: WireError };
