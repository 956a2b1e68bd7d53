/**
 * One connection to a PostgreSQL server, made for pipelining: whatever is asked is sent at once, and answers are taken in the order
 * of the questions.
 *
 * Statements go in segments, each closed by a Sync message. When a statement fails the server skips the rest of its segment. So a
 * transaction is two segments sent as one piece: `BEGIN` and all that is to be done, then `COMMIT`, which ends the transaction
 * whatever became of the first, and is a `ROLLBACK` if that failed. What is queued behind it is not touched by the failure.
 *
 * Where statements are not kept prepared there may be a pooler, and one that does not count requests hands the server's connection on while
 * answers to a client that has died are still to come: then another client gets them. So nothing is sent there behind what would leave the
 * connection idle: a transaction, or a segment outside of one, waits until the one before is answered.
 *
 * Every way this can end settles all that was asked: with its results, with the server's error, or with `ConnectionLost`.
 */
import type { Socket } from "node:net";
import type { Row } from "../../columns.ts";
import type { Address } from "./address.ts";
import { dial } from "./dial.ts";
import { ConnectionLost, ServerError } from "./errors.ts";
import {
  bind,
  bindTexts,
  describePortal,
  describeStatement,
  execute,
  MessageStream,
  parse,
  readColumns,
} from "./messages.ts";
import { readTexts, sync, terminate } from "./messages.ts";
import type { Column } from "./messages.ts";
import { decodeColumn } from "./values.ts";
import type { Type, Value } from "./values.ts";

/** A statement as it is known by: the same object is prepared once for each connection. In its text `~.` stands for the schema. */
export interface Statement {
  readonly sql: string;
  readonly types: readonly Type[];
  /** Made for one use, so not to be kept prepared. */
  readonly once?: boolean;
  /**
   * Somebody else's SQL, sent as it is: strings go as text that the server reads as whatever type it wants, and each column is read by this, from
   * the server's text. It must be `once`.
   */
  readonly foreign?: (text: string, typeId: number) => unknown;
}

export function statement(sql: string, ...types: readonly Type[]): Statement {
  return { sql, types };
}

export interface Step {
  readonly statement: Statement;
  readonly values: readonly Value[];
}

export function step(of: Statement, ...values: readonly Value[]): Step {
  return { statement: of, values };
}

export interface Result {
  readonly rows: readonly Row[];
  /** Rows inserted, changed, deleted or selected. */
  readonly count: number;
  /** What was done, as the server says it: `INSERT 0 1`. */
  readonly tag: string;
}

export interface SessionOptions {
  readonly address: Address;
  readonly schema: string;
  /** Whether statements are kept prepared by the server. Off where connections are handed from client to client. */
  readonly prepare: boolean;
  readonly connectTimeoutMs: number;
  /** A server that is silent for so long while something was asked is given up. */
  readonly responseTimeoutMs: number;
  readonly onNotification?: (payload: string) => void;
}

export const begin: Statement = statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
/** All that is read is of one moment. */
export const beginReading: Statement = statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
export const commit: Statement = statement("COMMIT");
export const rollback: Statement = statement("ROLLBACK");

interface Prepared {
  readonly name: string;
  columns: readonly Column[] | undefined;
}

interface Segment {
  readonly kind: "prepare" | "steps";
  readonly statements: readonly Statement[];
  /** The segment in which its statements were prepared. */
  readonly before: Segment | undefined;
  readonly results: Result[];
  readonly askedAtMs: number;
  rows: Row[];
  columns: readonly Column[];
  error: ServerError | undefined;
  readonly resolve: (segment: Segment) => void;
  readonly reject: (error: Error) => void;
}

/** Below this, one copy is cheaper than many pieces. */
const copyBytes = 1 << 18;

export class Session {
  /** Of the server: `server_version` and its like. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly #options: SessionOptions;
  readonly #socket: Socket;
  readonly #stream = new MessageStream();
  readonly #prepared = new Map<Statement, Prepared>();
  readonly #pending: Segment[] = [];
  readonly #onEnd: (() => void)[] = [];
  /** Without prepared statements: segments that were sent and not answered, and what waits for them. */
  #unanswered = 0;
  readonly #waiting: { readonly parts: readonly Uint8Array[]; readonly segments: number }[] = [];
  #status = "I";
  #heardAtMs = performance.now();
  #watch: NodeJS.Timeout | undefined;
  #lost: ConnectionLost | undefined;
  #fatal: ServerError | undefined;

  /** Throws ConnectionLost, LoginRefused, ServerError. */
  static async open(options: SessionOptions): Promise<Session> {
    const { address, connectTimeoutMs } = options;
    const { socket, parameters } = await dial(address, connectTimeoutMs);
    return new Session(options, socket, parameters);
  }

  private constructor(options: SessionOptions, socket: Socket, parameters: ReadonlyMap<string, string>) {
    this.#options = options;
    this.#socket = socket;
    this.parameters = parameters;
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
    socket.once("error", (error) => this.#lose(error.message));
    socket.once("close", () => this.#lose("the server closed the connection"));
    socket.resume();
  }

  get isOpen(): boolean {
    return this.#lost === undefined;
  }

  /** Whether it is in a transaction, by the last answer: `no`, `yes`, or one that has `failed`. */
  get transaction(): "no" | "yes" | "failed" {
    return this.#status === "I" ? "no" : this.#status === "T" ? "yes" : "failed";
  }

  /** How much is under way. */
  get pending(): number {
    return this.#pending.length;
  }

  onEnd(fn: () => void): void {
    if (this.#lost === undefined) this.#onEnd.push(fn);
    else fn();
  }

  /** Runs statements in one segment. Outside a transaction each is of its own moment, and the segment is all or nothing. */
  async run(steps: readonly Step[]): Promise<readonly Result[]> {
    const parts: Uint8Array[] = [];
    const before = this.#prepare(steps, parts);
    const done = this.#segment(steps, before, parts);
    this.#send(parts);
    return (await done).results;
  }

  /** Runs statements in one transaction, sent as one piece. Throws what made it roll back. */
  async transact(steps: readonly Step[], how: Statement = begin): Promise<readonly Result[]> {
    const parts: Uint8Array[] = [];
    const all = [step(how), ...steps];
    const end = [step(commit)];
    const before = this.#prepare([...all, ...end], parts);
    const body = this.#segment(all, before, parts);
    const ending = this.#segment(end, before, parts);
    this.#send(parts, 2);
    const [work, ended] = await Promise.allSettled([body, ending]);
    if (work.status === "rejected") throw work.reason;
    if (ended.status === "rejected") throw ended.reason;
    if (ended.value.results[0]?.tag !== "COMMIT")
      throw new ServerError(new Map([["M", "the transaction was rolled back"]]));
    return work.value.results.slice(1);
  }

  /** In good order, if nothing is under way. */
  close(): void {
    if (this.#lost !== undefined) return;
    this.#socket.end(Buffer.concat(terminate));
    this.#lose("it was closed");
  }

  destroy(reason: string): void {
    this.#lose(reason);
  }

  #prepare(steps: readonly Step[], parts: Uint8Array[]): Segment | undefined {
    if (!this.#options.prepare) return undefined;
    const fresh: Statement[] = [];
    for (const { statement: one } of steps) {
      if (one.once === true || this.#prepared.has(one)) continue;
      const name = `p${this.#prepared.size + 1}`;
      this.#prepared.set(one, { name, columns: undefined });
      parts.push(...parse(name, this.#sql(one), one.types), ...describeStatement(name));
      fresh.push(one);
    }
    if (fresh.length === 0) return undefined;
    parts.push(...sync);
    const segment = this.#enqueue("prepare", fresh, undefined);
    // Who uses the statements hears of it.
    segment.done.catch(() => undefined);
    return segment.segment;
  }

  #segment(steps: readonly Step[], before: Segment | undefined, parts: Uint8Array[]): Promise<Segment> {
    for (const { statement: one, values } of steps) {
      if (one.foreign !== undefined) {
        parts.push(...parse("", one.sql, []), ...bindTexts(values as readonly (string | Uint8Array | null)[]));
        parts.push(...describePortal, ...execute);
        continue;
      }
      const name = one.once === true ? undefined : this.#prepared.get(one)?.name;
      if (name === undefined) parts.push(...parse("", this.#sql(one), one.types));
      parts.push(...bind(name ?? "", values, one.types));
      if (name === undefined) parts.push(...describePortal);
      parts.push(...execute);
    }
    parts.push(...sync);
    const statements = steps.map((one) => one.statement);
    const { done } = this.#enqueue("steps", statements, before);
    done.catch(() => undefined);
    return done;
  }

  #sql({ sql }: Statement): string {
    return sql.replaceAll("~.", `"${this.#options.schema.replaceAll('"', '""')}".`);
  }

  #enqueue(
    kind: Segment["kind"],
    statements: readonly Statement[],
    before: Segment | undefined,
  ): { readonly segment: Segment; readonly done: Promise<Segment> } {
    const { promise: done, resolve, reject } = Promise.withResolvers<Segment>();
    const segment: Segment = {
      kind,
      statements,
      before,
      results: [],
      askedAtMs: performance.now(),
      rows: [],
      columns: [],
      error: undefined,
      resolve,
      reject,
    };
    if (this.#lost === undefined) {
      this.#pending.push(segment);
      this.#keepWatch();
    } else reject(this.#lost);
    return { segment, done };
  }

  #send(parts: readonly Uint8Array[], segments = 1): void {
    if (this.#lost !== undefined) return;
    if (!this.#options.prepare && this.#unanswered > 0) {
      this.#waiting.push({ parts, segments });
      return;
    }
    this.#unanswered += segments;
    this.#write(parts);
  }

  #write(parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    if (length <= copyBytes) {
      this.#socket.write(Buffer.concat(parts, length));
      return;
    }
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }

  #hear(chunk: Buffer): void {
    this.#heardAtMs = performance.now();
    try {
      this.#stream.push(chunk, (kind, content) => this.#take(kind, content));
    } catch (error) {
      this.#lose(error instanceof Error ? error.message : String(error));
    }
  }

  #take(kind: string, content: Buffer): void {
    const segment = this.#pending[0];
    switch (kind) {
      case "A":
        this.#options.onNotification?.(readTexts(content, 4)[1] ?? "");
        return;
      case "E":
        this.#refuse(ServerError.of(content), segment);
        return;
      case "Z":
        this.#status = content.toString("latin1");
        if (segment !== undefined) this.#finish(segment);
        return;
      default:
        if (segment !== undefined) this.#fill(segment, kind, content);
    }
  }

  #refuse(error: ServerError, segment: Segment | undefined): void {
    if (error.isFatal) this.#fatal = error;
    if (segment !== undefined) segment.error ??= error;
  }

  #fill(segment: Segment, kind: string, content: Buffer): void {
    switch (kind) {
      case "T":
      case "n": {
        const columns = kind === "n" ? [] : readColumns(content);
        if (segment.kind === "steps") segment.columns = columns;
        else this.#describe(segment, columns);
        return;
      }
      case "D":
        segment.rows.push(this.#row(segment, content));
        return;
      case "C":
      case "I": {
        const tag = kind === "C" ? (readTexts(content)[0] ?? "") : "";
        segment.results.push({ rows: segment.rows, count: Number(/\d+$/.exec(tag)?.[0] ?? 0), tag });
        segment.rows = [];
        segment.columns = [];
        return;
      }
      default:
      // Parse complete, bind complete, notices, changed settings: nothing to be done.
    }
  }

  #describe(segment: Segment, columns: readonly Column[]): void {
    const one = segment.statements.find((each) => this.#prepared.get(each)?.columns === undefined);
    const prepared = one === undefined ? undefined : this.#prepared.get(one);
    if (prepared !== undefined) prepared.columns = columns;
  }

  #row(segment: Segment, content: Buffer): Row {
    const one = segment.statements[segment.results.length];
    const known = one === undefined || one.once === true ? undefined : this.#prepared.get(one)?.columns;
    const row: Record<string, Row[string]> = {};
    const read = one?.foreign;
    let at = 2;
    for (const { name, typeId } of known ?? segment.columns) {
      const length = content.readInt32BE(at);
      at += 4;
      const value = content.subarray(at, at + Math.max(length, 0));
      if (length === -1) row[name] = null;
      else if (read === undefined) row[name] = decodeColumn(value, typeId);
      // Whoever reads it so knows what it is.
      else row[name] = read(value.toString("utf8"), typeId) as Row[string];
      if (length > 0) at += length;
    }
    return row;
  }

  #finish(segment: Segment): void {
    this.#pending.shift();
    this.#keepWatch();
    this.#sendNext();
    const error = segment.before?.error ?? segment.error;
    if (error === undefined) {
      segment.resolve(segment);
      return;
    }
    if (segment.kind === "prepare") {
      // They may be sent again.
      for (const one of segment.statements) if (this.#prepared.get(one)?.columns === undefined) this.#forget(one);
    }
    segment.reject(error);
  }

  #sendNext(): void {
    if (this.#options.prepare || --this.#unanswered > 0) return;
    const next = this.#waiting.shift();
    if (next !== undefined) this.#send(next.parts, next.segments);
  }

  /** The name stays taken: the next one has to be another. */
  #forget(one: Statement): void {
    const prepared = this.#prepared.get(one);
    this.#prepared.delete(one);
    if (prepared !== undefined) this.#prepared.set(statement(`-- ${prepared.name}`), prepared);
  }

  #keepWatch(): void {
    if (this.#watch !== undefined || this.#pending.length === 0) return;
    const check = (): void => {
      this.#watch = undefined;
      const [first] = this.#pending;
      if (first === undefined || this.#lost !== undefined) return;
      const silentMs = performance.now() - Math.max(this.#heardAtMs, first.askedAtMs);
      if (silentMs >= this.#options.responseTimeoutMs) {
        this.#lose(`the server did not answer for ${Math.round(silentMs)} ms`);
      } else this.#watch = setTimeout(check, this.#options.responseTimeoutMs - silentMs);
    };
    this.#watch = setTimeout(check, this.#options.responseTimeoutMs);
  }

  #lose(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new ConnectionLost(this.#fatal?.message ?? reason, { cause: this.#fatal });
    clearTimeout(this.#watch);
    // What a closed one still has to send is sent.
    if (reason !== "it was closed") this.#socket.destroy();
    for (const segment of this.#pending.splice(0)) segment.reject(this.#lost);
    for (const fn of this.#onEnd.splice(0)) fn();
  }
}
