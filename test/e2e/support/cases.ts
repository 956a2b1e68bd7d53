/** The programs of `test/fixtures/durable`, and what must be true of each after any number of kills. */
import assert from "node:assert/strict";
import type { EngineProcess } from "./engine-process.ts";
import type { Expected } from "./oracle.ts";
import { receiptOf } from "./witness.ts";
import type { Effect } from "./witness.ts";

/** What one process came to. */
export interface Outcome {
  readonly result: unknown;
  readonly effects: readonly Effect[];
  /** The log table's lines. */
  readonly logs: readonly string[];
}

export interface Case {
  /** The pid is this and the number of the round. */
  readonly name: string;
  readonly entry: string;
  readonly args: (pidOf: (name: string) => string) => readonly unknown[];
  /** Throws if the outcome is not what it should be. */
  readonly check: (outcome: Outcome, pid: string) => void | Promise<void>;
  /** What the outside does to the process while a node runs it; ends when there is no more to do, or throws. */
  readonly drive?: (node: EngineProcess, pid: string) => Promise<void>;
}

const stepsOf = ({ effects }: Outcome): string[] => effects.map(({ step }) => step);
const payloads = ({ effects }: Outcome): string[] => effects.map(({ payload }) => payload);

/** A program without chance in it: the same result, effects and console output as in plain Node. */
function certain(entry: string, ...args: readonly unknown[]): Case {
  let expected: Promise<Expected> | undefined;
  return {
    name: entry,
    entry,
    args: () => args,
    async check(outcome) {
      expected ??= import("./oracle.ts").then(({ plainRun }) => plainRun(entry, args));
      const { result, effects, logs } = await expected;
      assert.deepEqual(outcome.result, result);
      assert.deepEqual(
        outcome.effects.map(({ step, payload }) => ({ step, payload })),
        effects,
      );
      assert.deepEqual(outcome.logs, logs);
    },
  };
}

function free(entry: string, check: Case["check"], rest: Partial<Case> = {}): Case {
  return { name: entry, entry, args: () => [], check, ...rest };
}

/** Values drawn or read by the program are those that went out, to the last digit. */
const randomness = free("randomness", (outcome) => {
  const drawn = outcome.result as [number, string, number[]][];
  assert.equal(new Set(drawn.map(([number]) => number)).size, 6);
  assert.deepEqual(stepsOf(outcome), ["draw 0", "draw 1", "draw 2", "draw 3", "draw 4", "draw 5"]);
  assert.deepEqual(
    payloads(outcome),
    drawn.map(([number, uuid, bytes]) => `[ ${number}, '${uuid}', [ ${bytes.join(", ")} ] ]`),
  );
});

const dates = free("dates", (outcome) => {
  const seen = outcome.result as number[];
  assert.equal(seen.length, 19);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  for (let i = 1; i < 19; i += 3) {
    assert.equal(seen[i], seen[i + 1], "the time changed within a turn");
    assert.ok((seen[i + 2] ?? 0) - (seen[i + 1] ?? 0) >= 20, "a sleep of 20 ms was shorter");
  }
  assert.deepEqual(
    payloads(outcome),
    [0, 1, 2, 3, 4, 5].map((i) => `[ ${seen.slice(0, 1 + 3 * i).join(", ")} ]`),
  );
});

const raceOfOperations = free("raceOfOperations", (outcome) => {
  const winners = outcome.result as string[];
  assert.ok(winners.length === 5 && winners.every((winner) => "abc".includes(winner)), String(winners));
  assert.deepEqual(
    stepsOf(outcome),
    [0, 1, 2, 3, 4].flatMap((round) => [`a runs ${round}`, `b runs ${round}`, `c runs ${round}`, `winner ${round}`]),
  );
  const said = outcome.effects.filter(({ step }) => step.startsWith("winner")).map(({ payload }) => payload);
  assert.deepEqual(
    said,
    [1, 2, 3, 4, 5].map(
      (count) =>
        `[ ${winners
          .slice(0, count)
          .map((winner) => `'${winner}'`)
          .join(", ")} ]`,
    ),
  );
});

const atMostOnce = free(
  "atMostOnce",
  ({ result, effects }) => {
    const outcomes = result as (number | "uncertain")[];
    assert.equal(outcomes.length, 10);
    for (const [step, outcome] of outcomes.entries()) {
      const times = effects.find((effect) => effect.step === `once ${step}`)?.times ?? 0;
      if (outcome === "uncertain") assert.ok(times <= 1, `step ${step} happened ${times} times`);
      else assert.deepEqual([outcome, times], [receiptOf(`once ${step}`), 1]);
    }
    assert.equal(effects.at(-1)?.step, "tally");
  },
  { args: () => [10] },
);

/** Every message that was acknowledged arrived, none arrived twice, and they came in the order of their sending. */
function dialogue(messages: number): Case {
  const sent = new Map<string, { token: string; last: boolean; acknowledged: boolean }[]>();
  return free(
    "dialogue",
    ({ result, logs }, pid) => {
      const tokens = result as string[];
      const said = sent.get(pid) ?? [];
      assert.equal(new Set(tokens).size, tokens.length, `a message arrived twice: ${tokens.join(" ")}`);
      const lost = said.filter(({ token, last, acknowledged }) => acknowledged && !last && !tokens.includes(token));
      assert.deepEqual(lost, [], "acknowledged messages are lost");
      assert.deepEqual(
        tokens,
        said.flatMap(({ token }) => (tokens.includes(token) ? token : [])),
      );
      assert.deepEqual(
        logs,
        tokens.map((token) => `heard ${token}`),
      );
    },
    {
      async drive(node, pid) {
        const said = sent.get(pid) ?? [];
        sent.set(pid, said);
        for (let last = false; !last;) {
          last = said.filter(({ acknowledged }) => acknowledged).length >= messages;
          const message = { token: `${said.length}`, last, acknowledged: false };
          said.push(message);
          await node.send(pid, { token: message.token, last });
          message.acknowledged = true;
        }
      },
    },
  );
}

const parts = 20;
const collector = free(
  "collector",
  ({ result, effects }) => {
    const all = Array.from({ length: parts }, (_, part) => part);
    assert.deepEqual(result, { a: all, b: all });
    assert.deepEqual(
      new Map(effects.map(({ step, payload }) => [step, payload])),
      new Map([
        ["all of a", "true"],
        ["all of b", "true"],
      ]),
    );
  },
  { args: () => [2] },
);

function sender(name: string): Case {
  return free(
    "sender",
    (outcome) => {
      assert.deepEqual(outcome.result, { received: parts });
      assert.deepEqual(stepsOf(outcome), ["sent 4", "sent 9", "sent 14", "sent 19"]);
    },
    { name, args: (pidOf) => [pidOf("collector"), parts] },
  );
}

/** The error is in the node's answer; here only what happened outside is looked at. */
const lostErrors = free("lostErrors", (outcome) => {
  assert.deepEqual(outcome.result, {
    code: "PROCESS_FAILED",
    cause: "Error: thrown outside",
    itsCause: "TypeError: thrown inside",
  });
  assert.deepEqual(stepsOf(outcome), ["inner", "outer"]);
});

/** Cases remember what they did to their processes: each store needs its own. */
export function allCases(): Case[] {
  return [
    // A receiver comes before those that send to it: what is sent to nobody is lost.
    collector,
    sender("sender-a"),
    sender("sender-b"),
    dialogue(12),
    certain("loop", 16),
    certain("failures"),
    lostErrors,
    certain("retries"),
    certain("values"),
    atMostOnce,
    certain("allOfThem"),
    certain("anyOfThem"),
    certain("raceOfTimers"),
    raceOfOperations,
    certain("closures"),
    certain("generators"),
    certain("asyncGenerators"),
    certain("classes"),
    certain("collections"),
    certain("nested"),
    certain("syntax"),
    randomness,
    dates,
    certain("timeouts"),
    certain("intervals"),
    certain("compute"),
    certain("manyTurns", 100),
  ];
}
