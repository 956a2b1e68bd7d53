/**
 * A host with a notebook: it asks for a number of things under keys, writes down each answer, and begins again from the notebook when
 * it was killed. Started by `keyed-host.test.ts`; its arguments are the store, the notebook and how many things to ask for.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Engine } from "perdure/engine";

// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../../fixtures/idempotency/app.ts");

export interface Entry {
  readonly number: number;
  readonly answer: unknown;
}

const [store = "", notebook = "", count = "0"] = process.argv.slice(2);
const answers = new Map<number, unknown>();
if (existsSync(notebook)) {
  for (const line of readFileSync(notebook, "utf8").split("\n").slice(0, -1)) {
    const { number, answer } = JSON.parse(line) as Entry;
    answers.set(number, answer);
  }
}

const engine = await Engine.open<App>({
  store,
  program: new URL("../../fixtures/idempotency/app.ts", import.meta.url),
  onLog: () => undefined,
});
const inbox = await engine.start("collect", [], { id: "inbox" });
const counter = engine.at("Counter", "keyed");

async function ask(number: number): Promise<void> {
  await inbox.send({ number }, { key: `message ${number}` });
  const key = `call ${number}`;
  const call = counter.with({ key, timeout: "1 min" });
  const answer = number % 10 === 9 ? await call.refuse(key).catch(String) : await call.add(key, number);
  if (!answers.has(number)) appendFileSync(notebook, `${JSON.stringify({ number, answer } satisfies Entry)}\n`);
  else if (!isDeepStrictEqual(answers.get(number), answer)) {
    throw new Error(`${key} was answered ${JSON.stringify(answers.get(number))}, and now ${JSON.stringify(answer)}`);
  }
}

/** What stands in the notebook it asks again, too: it may have been killed before it wrote. */
const side = 8;
for (let first = 0; first < Number(count); first += side) {
  // So many have been answered; 0 says that it is open.
  process.send?.(first);
  await Promise.all(Array.from({ length: side }, (_, index) => ask(first + index)));
}
await engine.close();
process.disconnect?.();
