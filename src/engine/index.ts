/** `import { Engine } from "perdure/engine"`: Perdure inside your own Node program. */
export { Engine } from "./engine.ts";
export type { ProcessHandle, SendOptions } from "./handle.ts";
export type { Keep } from "./keep.ts";
export { readArchive } from "./archive/read.ts";
export type { ArchivedProcess } from "./archive/format.ts";
export type { Health } from "./health.ts";
export type { Moved } from "./moving.ts";
export type { NodeState, NodeView } from "./node-view.ts";
export type { EngineOptions, LogEntry, StartOptions } from "./options.ts";
export type { FetchPolicy } from "../operations/fetch-policy.ts";
export type { DeadLetter, DeadLetterFilter } from "./dead-letters.ts";
export type {
  CallOptions,
  HostCasts,
  HostChildSpec,
  KeyedCalls,
  KeyedServerHandle,
  ServerHandle,
  SupervisorHandle,
} from "./servers.ts";
export type { ExportOptions, FileSource, ImportOptions } from "./transfer.ts";
export type { ProcessTree } from "./tree.ts";
export type { AnyServer, EntryArgs, EntryName, EntryResult, KeyedName, ServerName, ServerOf } from "./types.ts";
export type { Ending, HistoryOptions, LogView, OperationView, ProcessDetails, ProcessView, TurnView } from "./views.ts";
export { Refusal } from "../guest/otp/errors.ts";
export { isPerdureError, PerdureError } from "../base/errors.ts";
export type { ErrorCode } from "../base/errors.ts";
export type { Duration } from "../base/duration.ts";
export type { ExitReason, Pid } from "../journal/types.ts";
export type { ProcessFilter } from "../store/port.ts";
export type { KernelNotice } from "../kernel/ports.ts";
