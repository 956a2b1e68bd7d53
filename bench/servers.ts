import { join } from "node:path";
import { Child } from "./child.ts";
import type { Answered, SigningMethods, Told } from "./children/signing.ts";
import type { Spent } from "./children/cpu.ts";
import { fixed, interleave, mebibytes, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";
import { fdatasyncsPerSecond } from "./raw.ts";
import { rateHead, rateRow } from "./rates.ts";

const atOnce = 32;
const startsAtOnce = 1_000;
const mostAgain = 2_000;

interface Sizes {
  readonly rounds: number;
  readonly oneByOne: number;
  readonly many: number;
  readonly keyed: number;
}

const usual: Sizes = { rounds: 7, oneByOne: 320, many: 3_200, keyed: 10_000 };
const quick: Sizes = { rounds: 3, oneByOne: 96, many: 960, keyed: 1_500 };

export const servers: Benchmark = {
  name: "servers",
  title: "Servers: calls, and one server for each key",
  measures: `A \`Server\` whose only method counts, in the default store (one guest thread, every commit synced). A call takes a turn of the
server's, and from a guest two of the caller's.

- **calls** to one server: by one process, one call after the other, and by ${atOnce} processes at once; from the host, one after the other, and
  ${atOnce} at once. In rounds, with what one page appended and synced takes on the same disk;
- **keyed servers**: \`engine.at("Counter", key).add()\` for ${fixed(usual.keyed)} keys that have no server yet (at most ${fixed(startsAtOnce)} calls at a time): the
  call starts it. Then the node is killed (\`kill -9\`), a new one opens the store, and every key is called again. Each has to
  answer 2: the first call is remembered, whatever became of the node.`,
  limitMs: 300_000,
  run,
};

interface Calls {
  readonly guest: Told[];
  readonly guests: Told[];
  readonly host: Spent[];
  readonly hosts: Spent[];
  readonly fdatasync: number[];
}

interface Keyed {
  readonly started: Answered;
  readonly startedBytes: number;
  readonly openMs: number;
  readonly resumed: Answered;
  readonly resumedBytes: number;
  /** Some of them once more, with all of them known to the node: those that it has called least recently. */
  readonly again: Answered;
}

async function run(context: Context): Promise<Outcome> {
  const sizes = context.quick ? quick : usual;
  const calls = await measureCalls(context, sizes);
  const keyed = await measureKeyed(context, sizes.keyed);
  return outcome(sizes, calls, keyed);
}

async function measureCalls(context: Context, { rounds, oneByOne, many }: Sizes): Promise<Calls> {
  const child = new Child<SigningMethods>("signing");
  await child.call("open", join(context.folder, "calls.db"), "counters");
  const callers = await child.call("start", "callers", [atOnce]);
  // The server of a key is a server like any other.
  await child.call("callOne", "guests", 1, 1);
  const byGuests = (count: number, lanes: number) => (): Promise<Told> =>
    child.call("tell", callers, { server: "Counter:guests", count, atOnce: lanes });
  const variants = {
    guest: byGuests(oneByOne, 1),
    guests: byGuests(many, atOnce),
    host: (): Promise<Spent> => child.call("callOne", "host", oneByOne, 1),
    hosts: (): Promise<Spent> => child.call("callOne", "host", many, atOnce),
  };
  for (const [name, warmUp] of Object.entries(variants)) {
    context.progress(`warming up: ${name}`);
    await warmUp();
  }
  const fdatasync = async (): Promise<number> => fdatasyncsPerSecond(context.folder, 300);
  const found = await interleave(context, rounds, { ...variants, fdatasync });
  await child.call("close");
  await child.kill();
  return found;
}

async function measureKeyed(context: Context, count: number): Promise<Keyed> {
  const store = join(context.folder, "keyed.db");
  const first = new Child<SigningMethods>("signing");
  await first.call("open", store, "counters");
  context.progress(`starting ${fixed(count)} keyed servers`);
  const started = await first.call("callEach", count, startsAtOnce);
  const { nowBytes: startedBytes } = await first.call("memory");
  await first.kill();
  const second = new Child<SigningMethods>("signing");
  context.progress(`calling ${fixed(count)} keyed servers after kill -9`);
  const { elapsedMs: openMs } = await second.call("open", store, "counters");
  const resumed = await second.call("callEach", count, startsAtOnce);
  const { nowBytes: resumedBytes } = await second.call("memory");
  context.progress("calling some of them once more");
  const again = await second.call("callEach", againOf(count), startsAtOnce);
  await second.kill();
  for (const [{ answers }, expected] of [
    [started, 1],
    [resumed, 2],
    [again, 3],
  ] as const) {
    if (answers.join() !== `${expected}`) throw new Error(`keyed servers answered ${answers.join()}, not ${expected}`);
  }
  return { started, startedBytes, openMs, resumed, resumedBytes, again };
}

const againOf = (count: number): number => Math.min(mostAgain, count / 4);

function outcome({ oneByOne, many, keyed: count }: Sizes, calls: Calls, keyed: Keyed): Outcome {
  const { started, startedBytes, openMs, resumed, resumedBytes, again } = keyed;
  const seconds = (ms: number): string => fixed(ms / 1000, 1);
  return {
    verdicts: [],
    tables: [
      {
        caption: `Calls to one server, ${calls.guest.length} rounds: median (least … most); CPU time of single threads: medians.`,
        head: rateHead,
        rows: [
          rateRow("one process, one call after the other", calls.guest, oneByOne),
          rateRow(`${atOnce} processes at once`, calls.guests, many),
          rateRow("the host, one call after the other", calls.host, oneByOne),
          rateRow(`the host, ${atOnce} at once`, calls.hosts, many),
          ["disk, fdatasync", spread(calls.fdatasync), "", "", "", "", ""],
        ],
      },
      {
        caption: `${fixed(count)} keyed servers, each called once from the host.`,
        head: rateHead,
        rows: [
          rateRow("started by the call", [started], count),
          rateRow("after kill -9", [resumed], count),
          rateRow(`${fixed(againOf(count))} of them once more`, [again], againOf(count)),
        ],
      },
      {
        caption: "The same in all.",
        head: ["", "open, s", "until all have answered, s", "together, s", "memory after"],
        rows: [
          ["started by the call", "", seconds(started.elapsedMs), "", mebibytes(startedBytes)],
          [
            "after kill -9",
            seconds(openMs),
            seconds(resumed.elapsedMs),
            seconds(openMs + resumed.elapsedMs),
            mebibytes(resumedBytes),
          ],
        ],
      },
    ],
  };
}
