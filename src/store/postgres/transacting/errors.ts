/** The server's refusals, as the code of an operation sees them. */
import type { PostgresError } from "../../transactions.ts";
import type { ServerError } from "../wire/errors.ts";

const fieldLetters = {
  detail: "D",
  hint: "H",
  schema: "s",
  table: "t",
  column: "c",
  constraint: "n",
} as const;

export function postgresError({ sqlState: code, primary, fields }: ServerError): PostgresError {
  const error = new Error(primary);
  Object.defineProperty(error, "name", { value: "PostgresError", configurable: true, writable: true });
  const said = Object.entries(fieldLetters).flatMap(([name, letter]) => {
    const value = fields.get(letter);
    return value === undefined ? [] : [[name, value] as const];
  });
  const position = fields.get("P");
  const place = position === undefined ? {} : { position: Number(position) };
  return Object.assign(error, { code, ...Object.fromEntries(said), ...place }) as Error as PostgresError;
}
