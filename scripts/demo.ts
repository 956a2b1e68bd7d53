/**
 * `npm run demo`: a program is killed with kill -9 in mid-flight, twice, and goes on where it was.
 *
 * The program runs in a child process, by the command line that anyone would use, on a store in a temporary folder. This
 * process is the outside world: it serves the agencies that the program calls, and counts what it was asked. Exits with 0
 * if everything happened exactly once, with 1 if not.
 */
import { spawn, execFileSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import pc from "picocolors";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "perdure-demo-"));
const command = ["run", "examples/trip/app.ts", "default", "Ada", "--id", "trip"];
const sleepMs = 6_000;
const deadlineMs = 90_000;

// -- the outside world ------------------------------------------------------------------------------------------

interface Step {
  readonly name: string;
  readonly key: string;
  readonly body: string;
  /** How often it was asked for, and how often it did something. */
  seen: number;
  effects: number;
  readonly firstSeenMs: number;
  answeredMs: number;
}

const answers: Readonly<Record<string, unknown>> = {
  flight: { reference: "LH-2741", price: 389 },
  hotel: { reference: "ROOM-12", price: 240 },
  train: { reference: "ICE-597", price: 61 },
  payment: "R-690",
  tickets: null,
};

class Agencies {
  readonly steps: Step[] = [];
  readonly problems: string[] = [];
  /** Called when a request has come in, before it is answered. */
  onRequest: (name: string) => void = () => undefined;

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = request.url?.slice(1) ?? "";
    const key = String(request.headers["idempotency-key"]);
    const body = await text(request);
    const step = this.#find(name, key, body);
    step.seen++;
    const again = step.seen > 1;
    if (!again) step.effects++;
    said("agency", `${name.padEnd(8)} ${pc.dim(key)}  ${again ? pc.yellow("known: not done again") : "done"}`);
    this.onRequest(name);
    await sleep(name === "payment" && !again ? 3_000 : 700);
    response.end(JSON.stringify(answers[name]));
    step.answeredMs = Date.now();
  }

  /** One key, one effect: as payment services do it. */
  #find(name: string, key: string, body: string): Step {
    const known = this.steps.find((step) => step.key === key);
    if (known !== undefined) {
      if (known.name !== name || known.body !== body) this.problems.push(`${key} came with another request`);
      return known;
    }
    const step = { name, key, body, seen: 0, effects: 0, firstSeenMs: Date.now(), answeredMs: 0 };
    this.steps.push(step);
    return step;
  }
}

// -- the node ---------------------------------------------------------------------------------------------------

const printed: string[] = [];
let child: ChildProcess | undefined;

interface Node {
  readonly pid: number;
  /** Resolves with the signal or the code it ended with. */
  readonly ended: Promise<NodeJS.Signals | number>;
}

/** `onLine` hears each line of the program's console output. */
function startNode(env: NodeJS.ProcessEnv, onLine: (line: string) => void = () => undefined): Node {
  const node = spawn(process.execPath, ["bin/perdure.js", ...command], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  child = node;
  say(
    `${pc.green("▶")} ${pc.bold(`perdure ${command.join(" ")}`)}   ${pc.dim(`operating system process ${node.pid}`)}`,
  );
  createInterface({ input: node.stdout }).on("line", (line) => {
    printed.push(line);
    said("program", line);
    onLine(line);
  });
  createInterface({ input: node.stderr }).on("line", (line) => said("perdure", pc.dim(line)));
  const ended = new Promise<NodeJS.Signals | number>((resolve) =>
    node.once("close", (code, signal) => resolve(signal ?? code ?? 1)),
  );
  return { pid: node.pid ?? 0, ended };
}

async function kill(node: Node, where: string): Promise<void> {
  process.kill(node.pid, "SIGKILL");
  const end = await node.ended;
  if (end !== "SIGKILL") throw new Error(`the node ended with ${end}, not by the kill`);
  say(`${pc.red("✖")} ${pc.bold(pc.red(`kill -9 ${node.pid}`))}   ${where}`);
  await sleep(400);
  const kilobytes = Math.round(
    ["", "-wal"].reduce((sum, suffix) => sum + sizeOf(join(folder, `perdure.db${suffix}`)), 0) / 1024,
  );
  say(pc.dim(`  nothing runs now. What is left is a file of ${kilobytes} KiB.`));
  await sleep(2_000);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

// -- what is told -----------------------------------------------------------------------------------------------

function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

function said(who: "program" | "agency" | "perdure", line: string): void {
  const paint = who === "program" ? pc.cyan : who === "agency" ? pc.magenta : pc.dim;
  say(`  ${paint(who.padStart(7))} │ ${line}`);
}

function heading(title: string): void {
  say();
  say(pc.bold(pc.underline(title)));
  say();
}

function showSource(): void {
  heading("An ordinary program: no steps to declare, no states to save (examples/trip/app.ts)");
  const lines = readFileSync(join(root, "examples/trip/app.ts"), "utf8").trimEnd().split("\n");
  for (const [index, line] of lines.entries()) say(`${pc.dim(String(index + 1).padStart(4))}  ${line}`);
}

function showTable(steps: readonly Step[]): void {
  const width = Math.max(...steps.map(({ key }) => key.length));
  say(pc.dim(`  ${"step".padEnd(9)} ${"idempotency key".padEnd(width)}  requests  effects`));
  for (const { name, key, seen, effects } of steps) {
    const line = `  ${name.padEnd(9)} ${key.padEnd(width)}  ${String(seen).padStart(8)}  ${String(effects).padStart(7)}`;
    say(seen > 1 ? pc.yellow(line) : line);
  }
  say();
}

// -- the story --------------------------------------------------------------------------------------------------

async function tell(agencies: Agencies, env: NodeJS.ProcessEnv): Promise<boolean> {
  showSource();
  await sleep(2_500);
  heading("It runs, and is killed while it waits for its timer");
  const waiting = Promise.withResolvers<void>();
  const first = startNode(env, (line) => line.startsWith("six seconds") && waiting.resolve());
  await expect(waiting.promise, first);
  await sleep(2_000);
  await kill(first, "two seconds into its sleep of six");

  heading("It goes on, and is killed in the middle of an operation");
  const paying = Promise.withResolvers<void>();
  agencies.onRequest = (name) => name === "payment" && paying.resolve();
  const second = startNode(env);
  await expect(paying.promise, second);
  await sleep(1_000);
  await kill(second, "the payment was asked for, and nobody heard the answer");

  heading("It goes on, and ends");
  const third = startNode(env);
  const end = await third.ended;
  if (end !== 0) agencies.problems.push(`the last node ended with ${end}`);

  heading("What the outside world saw");
  showTable(agencies.steps);
  return check(agencies, env);
}

/** Waits for something that the node should do. */
async function expect(event: Promise<void>, node: Node): Promise<void> {
  const died = node.ended.then((end) => {
    throw new Error(`the node ended with ${end} before its time`);
  });
  await Promise.race([event, died]);
}

function check({ steps, problems }: Agencies, env: NodeJS.ProcessEnv): boolean {
  const step = (name: string): Step | undefined => steps.find((one) => one.name === name);
  const result = execFileSync(process.execPath, ["bin/perdure.js", "result", "trip", "--json"], {
    cwd: root,
    env,
    encoding: "utf8",
  });
  const bookings = ["LH-2741", "ROOM-12", "ICE-597"];
  const expected = { traveller: "Ada", bookings, total: 690, receipt: "R-690" };
  const console = [
    "flight booked: LH-2741, total 389 €",
    "hotel booked: ROOM-12, total 629 €",
    "train booked: ICE-597, total 690 €",
    "six seconds to change one's mind: perdure cancel, and all is undone ...",
    "690 € paid for 3 bookings, receipt R-690",
  ];
  const sleptMs = (step("payment")?.firstSeenMs ?? 0) - (step("train")?.answeredMs ?? 0);
  const facts: [string, boolean][] = [
    [
      "its local variables survived: the result is the one of a run that nothing disturbs",
      isDeepStrictEqual(JSON.parse(result).value, expected),
    ],
    [
      "every step was done once",
      isDeepStrictEqual(
        steps.map(({ name, effects }) => `${name} ${effects}`),
        Object.keys(answers).map((name) => `${name} 1`),
      ),
    ],
    [
      "the payment under way at the kill was asked for again under the same key, no other step was",
      steps.every(({ name, seen }) => seen === (name === "payment" ? 2 : 1)),
    ],
    [
      "every line of console output was printed once",
      console.every((line) => printed.filter((one) => one === line).length === 1),
    ],
    [
      `the timer went on through the kill: ${(sleptMs / 1000).toFixed(1)} s from the last booking to the payment`,
      sleptMs >= sleepMs,
    ],
    ["every key stood for one request", problems.length === 0],
  ];
  for (const [fact, holds] of facts) say(`  ${holds ? pc.green("✔") : pc.red("✘")} ${fact}`);
  for (const problem of problems) say(`    ${pc.red(problem)}`);
  return facts.every(([, holds]) => holds);
}

async function main(): Promise<boolean> {
  const agencies = new Agencies();
  const server = createServer((request, response) => {
    // A node that is killed leaves its request behind.
    agencies.serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { ...process.env, AGENCIES_URL: url, PERDURE_STORE: join(folder, "perdure.db") };
  const controller = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: controller.signal }).then(() => {
    throw new Error(`not at its end after ${deadlineMs / 1000} s`);
  });
  try {
    return await Promise.race([tell(agencies, env), late]);
  } finally {
    controller.abort();
    late.catch(() => undefined);
    child?.kill("SIGKILL");
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const held = await main().catch((error: unknown) => {
  say(pc.red(`The demonstration failed: ${error instanceof Error ? error.message : String(error)}`));
  return false;
});
say();
say(
  held
    ? pc.bold(pc.green("Killed twice, and nothing was lost or done twice."))
    : pc.bold(pc.red("Something is wrong: see above.")),
);
process.exitCode = held ? 0 : 1;
