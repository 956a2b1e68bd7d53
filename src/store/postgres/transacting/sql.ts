/**
 * What can be told of user SQL before it is sent. The server takes one statement at a time, so its first words say for sure whether it would
 * end the transaction: that is refused here. What names the engine's schema is refused too; but what functions, views and rules do on a
 * statement's behalf is not seen from here.
 */
import { endsIt, forbidden } from "../../transaction-errors.ts";

interface Token {
  readonly kind: "word" | "quoted" | "mark" | "string";
  /** A word in capitals, a quoted name without its quotes, or one character. */
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

const blank = /(?:[ \t\r\n\f\v]|--[^\r\n]*)+/y;
const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const plainString = /'(?:[^']|'')*(?:'|$)/y;
const escapeString = /'(?:[^'\\]|''|\\[\s\S])*(?:'|$)/y;
const quotedName = /"((?:[^"]|"")*)(?:"|$)/y;
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const parameter = /\$\d+/y;

/** What `sql` consists of, without what is blank. */
function* tokens(sql: string): Generator<Token> {
  for (let at = 0; at < sql.length;) {
    const blankTo = endOf(blank, sql, at) ?? endOfComment(sql, at);
    if (blankTo === undefined) {
      const token = tokenAt(sql, at);
      at = token.to;
      yield token;
    } else at = blankTo;
  }
}

function tokenAt(sql: string, from: number): Token {
  const wordTo = endOf(word, sql, from);
  const text = sql.slice(from, wordTo).toUpperCase();
  // In E'…' a backslash hides what follows it.
  const isEscape = wordTo !== undefined && text === "E" && sql[wordTo] === "'";
  const stringTo = isEscape
    ? endOf(escapeString, sql, wordTo)
    : (endOf(plainString, sql, from) ?? endOfDollars(sql, from));
  if (stringTo !== undefined) return { kind: "string", text: "", from, to: stringTo };
  if (wordTo !== undefined) return { kind: "word", text, from, to: wordTo };
  quotedName.lastIndex = from;
  const name = quotedName.exec(sql);
  if (name !== null) {
    return { kind: "quoted", text: (name[1] ?? "").replaceAll('""', '"'), from, to: quotedName.lastIndex };
  }
  return { kind: "mark", text: sql.charAt(from), from, to: endOf(parameter, sql, from) ?? from + 1 };
}

function endOf(what: RegExp, sql: string, at: number): number | undefined {
  what.lastIndex = at;
  return what.test(sql) ? what.lastIndex : undefined;
}

/** Comments of this kind may lie in each other. */
function endOfComment(sql: string, from: number): number | undefined {
  if (!sql.startsWith("/*", from)) return undefined;
  let depth = 0;
  for (let at = from; at < sql.length;) {
    const two = sql.slice(at, at + 2);
    depth += two === "/*" ? 1 : two === "*/" ? -1 : 0;
    at += two === "/*" || two === "*/" ? 2 : 1;
    if (depth === 0) return at;
  }
  return sql.length;
}

function endOfDollars(sql: string, from: number): number | undefined {
  const open = endOf(dollarQuote, sql, from);
  if (open === undefined) return undefined;
  const close = sql.indexOf(sql.slice(from, open), open);
  return close === -1 ? sql.length : close + open - from;
}

/** The statements of `sql`, without what is blank. */
export function statements(sql: string): string[] {
  const found: string[] = [];
  let from = 0;
  let isBlank = true;
  const cut = (to: number): void => {
    if (!isBlank) found.push(sql.slice(from, to));
    from = to + 1;
    isBlank = true;
  };
  const nesting = new Nesting();
  for (const token of tokens(sql)) {
    if (token.text === ";" && token.kind === "mark" && nesting.isFlat) {
      cut(token.from);
      nesting.restart();
    } else {
      isBlank = false;
      nesting.take(token);
    }
  }
  cut(sql.length);
  return found;
}

/** Semicolons that are within a statement: in parentheses, and in the body of a function that is written as SQL. */
class Nesting {
  #parentheses = 0;
  #blocks = 0;
  #words: string[] = [];

  get isFlat(): boolean {
    return this.#parentheses <= 0 && this.#blocks === 0;
  }

  restart(): void {
    this.#parentheses = 0;
    this.#words = [];
  }

  take({ kind, text }: Token): void {
    if (kind === "mark") {
      if (text === "(") this.#parentheses++;
      if (text === ")") this.#parentheses--;
      return;
    }
    if (kind !== "word") return;
    if (this.#words.length < 5) this.#words.push(text);
    const isRoutine =
      this.#words[0] === "CREATE" && this.#words.some((each) => each === "FUNCTION" || each === "PROCEDURE");
    if (!isRoutine) return;
    if (text === "BEGIN" || (text === "CASE" && this.#blocks > 0)) this.#blocks++;
    if (text === "END" && this.#blocks > 0) this.#blocks--;
  }
}

const ending = new Set(["ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"]);
/** What outlives the transaction, on a connection that others use, or is no statement for this line. */
const lasting = new Map([
  ["COPY", "COPY: use INSERT"],
  ["DEALLOCATE", "DEALLOCATE: prepared statements are the connection's"],
  ["DISCARD", "DISCARD: the connection is the engine's"],
  ["EXECUTE", "EXECUTE: prepared statements are the connection's"],
  ["LISTEN", "LISTEN: the connection is the engine's"],
  ["PREPARE", "PREPARE: prepared statements, and prepared transactions, would outlive this one"],
  ["RESET", "RESET: settings of the connection are the engine's"],
]);

/** Throws TRANSACTION_FORBIDDEN for a statement that is not the operation's to run. `schema` is the engine's. */
export function check(sql: string, schema: string): void {
  const all = [...tokens(sql)];
  const wordAt = (at: number): string => (all[at]?.kind === "word" ? all[at].text : "");
  judge(wordAt(0), wordAt(1));
  for (const [at, token] of all.entries()) {
    const next = all[at + 1];
    const isSchema = (next?.kind === "mark" && next.text === ".") || wordAt(at - 1) === "SCHEMA";
    if (isSchema && nameOf(token) === schema) throw forbidden(`the schema ${schema}, which is the engine's`);
  }
}

function judge(first: string, second: string): void {
  if (ending.has(first)) throw forbidden(`${first} (${endsIt})`);
  const why = lasting.get(first);
  if (why !== undefined) throw forbidden(why);
  if (first === "SET" && second !== "LOCAL" && second !== "CONSTRAINTS") {
    throw forbidden("SET without LOCAL: settings of the connection are the engine's");
  }
}

function nameOf({ kind, text }: Token): string | undefined {
  if (kind === "quoted") return text;
  return kind === "word" ? text.toLowerCase() : undefined;
}
