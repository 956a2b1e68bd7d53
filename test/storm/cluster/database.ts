/** The database under a cluster: it is killed and shut down in the middle of everything, and starts again. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../../simulation/dice.ts";
import { rowsByHand } from "../../support/postgres-place.ts";
import type { Books } from "../books.ts";
import { startPostgres } from "../../support/postgres.ts";
import type { PostgresServer } from "../../support/postgres.ts";

export class Database {
  readonly #server: PostgresServer;
  readonly #dice: Dice;
  readonly url: string;
  /** Of all its processes. */
  kills = 0;
  shutdowns = 0;

  static async open(dice: Dice, leaseMs: number): Promise<Database> {
    // What it has said to be committed is what its files hold when it is killed: on the disk it need not be, since the machine lives.
    const settings = { full_page_writes: "on", deadlock_timeout: "200ms" };
    return new Database(await startPostgres({ settings }), dice, leaseMs);
  }

  private constructor(server: PostgresServer, dice: Dice, leaseMs: number) {
    this.#server = server;
    this.#dice = dice;
    this.url = `${server.url}?lease=${leaseMs}ms`;
  }

  async strike(): Promise<void> {
    const { outage } = this.#server;
    if (outage === undefined) return;
    if (this.#dice.chance(0.5)) {
      this.kills++;
      await outage.crash();
    } else {
      this.shutdowns++;
      await outage.down();
    }
    await sleep(this.#dice.delay(1, 6_000));
    await outage.up();
  }

  /** Nodes that were declared dead, and what others took over from them; and how many there ever were. */
  async nodes(): Promise<{ readonly dead: number; readonly all: number }> {
    const rows = await rowsByHand(this.#server.url, "SELECT state FROM perdure.node");
    return { dead: rows.filter(({ state }) => state === "dead").length, all: rows.length };
  }

  async books(): Promise<Books> {
    const [entries, accounts] = await Promise.all([
      rowsByHand(this.#server.url, "SELECT transfer, what, cents FROM bank.entry"),
      rowsByHand(this.#server.url, "SELECT id::bigint, cents FROM bank.account"),
    ]);
    return { entries, accounts } as unknown as Books;
  }

  async close(): Promise<void> {
    await this.#server.stop();
  }
}
