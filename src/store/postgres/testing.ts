/** What tests do to a server beside the store. */
import type { Row } from "../columns.ts";
import { parseAddress } from "./wire/address.ts";
import { Session, step } from "./wire/session.ts";

/** Runs one statement as a person with a shell would. */
export async function byHand(url: string, sql: string): Promise<void> {
  await rowsByHand(url, sql);
}

export async function rowsByHand(url: string, sql: string): Promise<readonly Row[]> {
  const session = await Session.open({
    address: parseAddress(url),
    schema: "public",
    prepare: false,
    connectTimeoutMs: 10_000,
    responseTimeoutMs: 30_000,
  });
  try {
    return (await session.run([step({ sql, types: [], once: true })]))[0]?.rows ?? [];
  } finally {
    session.close();
  }
}
