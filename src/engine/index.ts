/** `import { Engine } from "perdure/engine"`: Perdure inside your own Node program. */
export { Engine } from "./engine.ts";
export type { ProcessHandle } from "./handle.ts";
export type { EngineOptions, LogEntry, StartOptions } from "./options.ts";
export type { EntryArgs, EntryName, EntryResult } from "./types.ts";
export type { HistoryOptions, LogView, OperationView, ProcessDetails, ProcessView, TurnView } from "./views.ts";
export { isPerdureError, PerdureError } from "../base/errors.ts";
export type { ErrorCode } from "../base/errors.ts";
export type { Duration } from "../base/duration.ts";
export type { ExitReason, Pid } from "../journal/types.ts";
export type { ProcessFilter } from "../store/port.ts";
export type { KernelNotice } from "../kernel/ports.ts";
