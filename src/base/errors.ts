/**
 * The error catalogue. Every error Perdure itself raises carries one of these codes; `docs/errors.md` explains each,
 * and a test holds that page to this list.
 *
 * A code is stable: programs may compare it. A message names the offending value and says what to do.
 */
export const errorCodes = {
  // Programs and bundling
  PROGRAM_NOT_FOUND: "the program file does not exist or cannot be read",
  PROGRAM_SYNTAX: "the program does not parse",
  PROGRAM_RESOLVE: "an import of the program cannot be resolved",
  PROGRAM_NODE_BUILTIN: "the program imports a Node built-in inside the sandbox",
  PROGRAM_HOST_EXPORT: 'an export of a "use host" module is neither an async function nor an operation',
  PROGRAM_EVALUATION: "the program threw while its modules were evaluated",
  ENTRY_NOT_FOUND: "the program has no such exported function",
  ENTRY_NOT_EXPORTED: "only what the program's modules export can be spawned",
  // Values at the border
  VALUE_NOT_CLONEABLE: "a value cannot cross the sandbox's border",
  VALUE_TOO_LARGE: "a value is larger than the border allows",
  VALUE_CORRUPT: "an encoded value does not decode",
  // Arguments
  ARGUMENT_INVALID: "an argument or option is malformed",
  DURATION_INVALID: "a duration cannot be read",
  // Processes
  PROCESS_NOT_FOUND: "no process has this pid",
  PROCESS_ID_CONFLICT: "a process with this id was started with another entry or other arguments",
  PROCESS_EXITED: "the process has already exited",
  PROCESS_ELSEWHERE: "the process is on another node",
  PROCESS_EXPORTED: "the process was exported from this store",
  PROCESS_FAILED: "the process exited with an error",
  PROCESS_CANCELLED: "the process was cancelled",
  PROCESS_KILLED: "the process was killed",
  PROCESS_PRUNED: "the process has ended, and what is asked for was pruned",
  PROCESS_SHUTDOWN: "the process was shut down, or gave up in good order",
  PROCESS_DIVERGED: "replaying the process gave other commands than its journal holds",
  PROCESS_BROKEN: "the process cannot be loaded: its journal is damaged",
  KEY_CONFLICT: "a key was used before with another message or call",
  NAME_TAKEN: "another process is registered under this name",
  DEAD_LETTER_NOT_FOUND: "there is no dead letter of this number",
  // Behaviours
  START_FAILED: "a process ended before it had started",
  CALL_TIMEOUT: "a call was not answered in time",
  CALL_REFUSED: "the process does not answer such a call",
  QUERY_FORBIDDEN: "a method that is listed as read-only did more than read",
  QUERY_FAILED: "a read-only method threw, or ran into a limit",
  CALL_FORGOTTEN: "a server went back to before it took the call, and will not answer it",
  CALL_LOST: "a server moved to another node while it was being called",
  SERVER_GONE: "the process called has ended, or never was",
  TASK_FAILED: "a task ended without a result",
  SAGA_CLOSED: "a step was given to a saga that has ended or is being undone",
  SAGA_INCOMPLETE: "compensations of a saga were given up",
  // Operations
  OPERATION_FAILED: "an operation failed",
  OPERATION_TIMEOUT: "an operation took longer than its timeout",
  OPERATION_ABORTED: "an operation was aborted",
  OPERATION_UNCERTAIN: "an at-most-once operation was interrupted; whether it happened is unknown",
  OPERATION_UNAVAILABLE: "the deployment has no such host function",
  OPERATION_QUARANTINED: "an operation was running at several node deaths and waits for a person",
  OPERATION_OUTSIDE: "a function that needs a running operation was called outside one",
  TRANSACTION_FORBIDDEN: "SQL of a transactional operation reached for what is not its own",
  TRANSACTION_AWAITED: "a transactional operation awaited something other than its transaction",
  TRANSACTION_ENDED: "a transaction was used after its operation had ended",
  // Store
  STORE_IN_USE: "another engine owns the store",
  STORE_NOT_FOUND: "there is no store at this place",
  STORE_UNREADABLE: "the store cannot be opened or is not a Perdure store",
  STORE_CORRUPT: "the store's database is damaged",
  STORE_NEWER: "the store was written by a newer release",
  STORE_RESTORED: "an older copy of the store was put in its place",
  STORE_FULL: "the disk is full",
  STORE_READ_ONLY: "the store cannot be written",
  STORE_FENCED: "this node lost its lease of the store",
  STORE_MOVED: "the store was moved to another place, or is being moved",
  STORE_INCOMPLETE: "the store is still being filled from another one",
  STORE_UNREACHABLE: "the database cannot be reached",
  STORE_FAILED: "the store failed",
  MIGRATION_FAILED: "a store that was moved does not hold what it held before",
  JOURNAL_CORRUPT: "a journal row is damaged",
  SNAPSHOT_CORRUPT: "a snapshot is damaged",
  // Archives
  ARCHIVE_FAILED: "an archive cannot be written or read",
  ARCHIVE_DAMAGED: "an archive does not hold what was written",
  // Process files
  EXPORT_REFUSED: "the process cannot be exported as it is",
  IMPORT_REFUSED: "the process file cannot be imported into this store",
  FILE_FAILED: "a process file cannot be written or read",
  FILE_DAMAGED: "a process file does not hold what was written",
  FILE_UNSEALED: "a process file was not completed",
  // Engine
  ENGINE_CLOSED: "the engine is closed",
  ENGINE_FAILED: "the engine stopped because of a failure",
  NODE_NOT_FOUND: "there is no such node, or it owns nothing",
  NODE_UNFIT: "the node lacks the label that the process needs",
  MOVE_TIMEOUT: "a process has not gone to another node in time",
  NODE_STANDING_BY: "this node stands by: another one owns the store",
  ENGINE_BINARY: "the engine binary is not the one this release was built for",
  NODE_VERSION: "Node is too old",
  LISTEN_FAILED: "the node cannot listen on this address",
  CONFIG_INVALID: "the configuration file is invalid",
  GUEST_THREAD_FAILED: "a guest thread could not be started or died again and again",
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface PerdureErrorOptions {
  cause?: unknown;
  /** Facts a program may use: pid, file, line, column, path … */
  details?: Readonly<Record<string, unknown>>;
}

/** Every error that Perdure raises by itself. `code` is stable; see `docs/errors.md`. */
export class PerdureError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: PerdureErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  override get name(): string {
    return "PerdureError";
  }
}

export function isPerdureError(value: unknown, code?: ErrorCode): value is PerdureError {
  return value instanceof PerdureError && (code === undefined || value.code === code);
}
