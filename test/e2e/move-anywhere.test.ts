/** Programs that are moved to and fro between two stores at random moments come to what they come to where they stay. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Engine, isPerdureError } from "perdure/engine";
import type { LogEntry } from "perdure/engine";
import { allCases } from "./support/cases.ts";
import type { Case } from "./support/cases.ts";
import { seeded } from "./support/seeded.ts";
import { Witness } from "./support/witness.ts";

const program = fileURLToPath(new URL("../fixtures/durable/app.ts", import.meta.url));
const mostMoves = 6;

describe("moved at random moments", { concurrency: 4 }, () => {
  const random = seeded();
  const folder = mkdtempSync(join(tmpdir(), "perdure-move-"));
  const logs: LogEntry[] = [];
  const engines: Engine[] = [];
  let witness: Witness;
  let moves = 0;

  before(async () => {
    console.log(`# PERDURE_SEED=${random.seed}`);
    witness = await Witness.open();
    process.env["WITNESS_URL"] = witness.url;
    const onLog = (log: LogEntry): void => void logs.push(log);
    const common = { program, onLog, closeTimeoutMs: 200 };
    engines.push(await Engine.open({ store: "memory:", ...common }));
    engines.push(await Engine.open({ store: join(folder, "store.db"), ...common }));
  });

  after(async () => {
    for (const engine of engines) await engine.close();
    await witness.close();
    rmSync(folder, { recursive: true, force: true });
    console.log(`# ${moves} moves`);
    assert.ok(moves >= 20, `only ${moves} moves`);
  });

  /** Until it has ended, or often enough. Answers where it is then. */
  async function wander(pid: string, from: Engine): Promise<Engine> {
    let [here, there] = [from, engines.find((engine) => engine !== from) as Engine];
    for (let move = 0; move < mostMoves; move++) {
      await sleep(random.between(0, 60));
      try {
        // Not verified each time: that takes longer than the program.
        await there.import(here.export(pid, { wait: "5s" }), { verify: random.chance(0.2) });
      } catch (error) {
        // It has ended, or is tied to processes of its own at the moment.
        if (isPerdureError(error, "PROCESS_EXITED")) break;
        if (!isPerdureError(error, "EXPORT_REFUSED")) throw error;
        continue;
      }
      moves++;
      [here, there] = [there, here];
    }
    return here;
  }

  /** The first waits for the senders, and the second's end is an error. */
  const leftOut = ["collector", "lostErrors"];
  const needsNobody = (one: Case): boolean => {
    if (one.drive !== undefined || leftOut.includes(one.name)) return false;
    let isAlone = true;
    one.args(() => {
      isAlone = false;
      return "";
    });
    return isAlone;
  };

  for (const one of allCases().filter(needsNobody)) {
    test(
      `${one.name} gives the same result, effects and output as a run that nothing disturbs`,
      { timeout: 60_000 },
      async () => {
        const pid = `${one.name}-moved`;
        const first = engines[random.between(0, 1)] as Engine;
        await first.start(one.entry, [...one.args(() => "")], { id: pid });
        const last = await wander(pid, first);
        const result = await last.get(pid).result();
        const printed = logs.filter((log) => log.pid === pid).map(({ text }) => text);
        await one.check({ result, effects: witness.effectsOf(pid), logs: printed }, pid);
      },
    );
  }
});
