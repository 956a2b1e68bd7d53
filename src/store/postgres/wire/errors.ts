/** What can go wrong between a client and a server. */
import { readFields } from "./messages.ts";

/** The server refused a statement, and says why. */
export class ServerError extends Error {
  /** Five characters that mean the same in every language: "23505" is a violated key. */
  readonly sqlState: string;
  readonly constraint: string;
  /** The first line of what the server says. */
  readonly primary: string;
  /** The server ends the connection with it. */
  readonly isFatal: boolean;
  /** All that it says, by the letters of the protocol. */
  readonly fields: ReadonlyMap<string, string>;

  constructor(fields: ReadonlyMap<string, string>) {
    const more = ["D", "H"].flatMap((field) => fields.get(field) ?? []);
    super([fields.get("M") ?? "unknown error", ...more].join("; "));
    this.fields = fields;
    this.sqlState = fields.get("C") ?? "";
    this.primary = fields.get("M") ?? "";
    this.constraint = fields.get("n") ?? "";
    this.isFatal = ["FATAL", "PANIC"].includes(fields.get("V") ?? fields.get("S") ?? "");
  }

  override get name(): string {
    return "ServerError";
  }

  static of(content: Buffer): ServerError {
    return new ServerError(readFields(content));
  }
}

/** The connection could not be made, or ended: what was under way may have taken effect or not. */
export class ConnectionLost extends Error {
  override get name(): string {
    return "ConnectionLost";
  }
}
