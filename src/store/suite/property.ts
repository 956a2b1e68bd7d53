/** Random commits, posts, reopenings and crashes leave the same in a store and in a plain model of it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { CommitBatch, EdgeRow, ProcessKey, Store } from "../port.ts";
import { rule } from "./fixture.ts";
import type { StoreFixture, StoreSetup } from "./fixture.ts";
import { Model, observe } from "./model.ts";
import {
  checkpoint,
  deadLetter,
  edge,
  exit,
  message,
  monitor,
  operation,
  process,
  program,
  snapshot,
  startMs,
  timer,
  turn,
} from "./samples.ts";

const atMs = startMs;
const small = fc.nat(5);

function rarely<T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary: item.map((one) => [one]) });
}

/** Numbers only: what they mean is decided when the step is taken, by what there is by then. */
const batchPlan = fc.record({
  /** 0 is the next free key, others are keys that may be taken. */
  newKeys: fc.array(fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, small), { maxLength: 2 }),
  turns: fc.array(fc.tuple(small, fc.oneof({ weight: 12, arbitrary: fc.constant(1) }, fc.constantFrom(0, 2))), {
    maxLength: 3,
  }),
  operations: fc.array(fc.tuple(small, small, small), { maxLength: 3 }),
  operationsGone: fc.array(fc.tuple(small, small), { maxLength: 3 }),
  timers: fc.array(fc.tuple(small, small, small), { maxLength: 3 }),
  timersGone: fc.array(fc.tuple(small, small), { maxLength: 3 }),
  inboxGone: fc.array(small, { maxLength: 2 }),
  inbox: fc.array(small, { maxLength: 2 }),
  logs: fc.array(small, { maxLength: 2 }),
  states: rarely(fc.tuple(small, fc.constantFrom("running", "paused", "crashed", "broken", "moving"))),
  traps: rarely(fc.tuple(small, fc.boolean())),
  links: fc.array(fc.tuple(small, small), { maxLength: 3 }),
  linksGone: rarely(fc.tuple(small, small)),
  monitors: fc.array(fc.tuple(small, small, small), { maxLength: 3 }),
  monitorsGone: rarely(fc.tuple(small, small)),
  namesGone: fc.array(small, { maxLength: 2 }),
  names: rarely(fc.tuple(small, small)),
  groupsGone: rarely(fc.tuple(small, small)),
  groups: fc.array(fc.tuple(small, small), { maxLength: 2 }),
  checkpoints: rarely(fc.tuple(small, small)),
  restores: rarely(fc.tuple(small, small, small)),
  deadLetters: rarely(small),
  deadLettersGone: rarely(small),
  edges: rarely(fc.tuple(small, small, fc.boolean())),
  edgeEnds: rarely(fc.tuple(small, small, fc.constantFrom("answered", "set-aside", "forgotten"))),
  exits: rarely(small),
  snapshots: fc.array(fc.tuple(small, small), { maxLength: 2 }),
});
type BatchPlan = typeof batchPlan extends fc.Arbitrary<infer T> ? T : never;

export const stepPlan = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("commit" as const), plan: batchPlan }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("post" as const),
      process: small,
      key: fc.option(small, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const), clean: fc.boolean() }) },
);

export function testModel(setup: StoreSetup): void {
  rule(setup, "any sequence of commits, posts and reopenings leaves what a plain model holds", async () => {
    // fast-check prints the seed and the path of a failure.
    await fc.assert(
      fc.asyncProperty(fc.array(stepPlan, { minLength: 5, maxLength: 40, size: "max" }), async (steps) => {
        const fixture = await setup();
        try {
          await runSteps(fixture, steps);
        } finally {
          await fixture.dispose();
        }
      }),
      { numRuns: 15 },
    );
  });
}

async function openOwner(fixture: StoreFixture): Promise<Store> {
  const store = await fixture.open();
  await store.claim(atMs);
  await store.putProgram(program, []);
  return store;
}

export type Step = typeof stepPlan extends fc.Arbitrary<infer T> ? T : never;

/** Answers the owner's handle, and what it shows. */
export async function runSteps(
  fixture: StoreFixture,
  steps: readonly Step[],
): Promise<{ readonly store: Store; readonly observed: unknown }> {
  const model = new Model();
  let store = await openOwner(fixture);
  let lastSeq = 0;
  let lastLetter = 0;
  for (const step of steps) {
    if (step.kind === "commit") {
      const batch = toBatch(model, step.plan);
      const code = model.refusal(batch);
      if (code !== undefined) {
        await assert.rejects(store.commit(batch), { code });
        continue;
      }
      const { inboxSeqs, superseded } = await store.commit(batch);
      assert.deepEqual(superseded, model.supersededBy(batch));
      lastSeq = checkGrowing(lastSeq, inboxSeqs);
      const letters = await lettersOf(store, batch, lastLetter);
      lastLetter = checkGrowing(lastLetter, letters);
      model.commit(batch, { inbox: inboxSeqs, deadLetters: letters });
    } else if (step.kind === "post") {
      lastSeq = await post(fixture, model, step, lastSeq);
    } else {
      if (step.clean) await store.release(atMs);
      await (step.clean ? store.close() : fixture.crash(store));
      store = await openOwner(fixture);
      assert.deepEqual(await observe(store), model.observe());
    }
  }
  const observed = await observe(store);
  assert.deepEqual(observed, model.observe());
  return { store, observed };
}

function checkGrowing(last: number, seqs: readonly number[]): number {
  for (const seq of seqs) {
    assert.ok(seq > last, `seq ${seq} after ${last}`);
    last = seq;
  }
  return last;
}

/** The seqs of the batch's dead letters: a commit does not tell them. */
async function lettersOf(store: Store, { deadLetters = [] }: CommitBatch, last: number): Promise<number[]> {
  const rows = await store.deadLetters(undefined, last, 1000);
  assert.equal(rows.length, deadLetters.length);
  return rows.map(({ seq }) => seq);
}

type Post = Pick<Extract<Step, { kind: "post" }>, "process" | "key">;

async function post(
  fixture: StoreFixture,
  model: Model,
  { process: index, key }: Post,
  lastSeq: number,
): Promise<number> {
  const target = model.processes[index];
  const asked = key === undefined ? undefined : { ...askedFor(target?.key ?? 0, key), state: "sent" as const };
  const before = target === undefined || asked === undefined ? undefined : model.edge(target.key, asked.key);
  const reader = await fixture.openReader();
  try {
    if (target !== undefined && before !== undefined) {
      const posting = reader.post(target.pid, message, atMs, asked);
      if (before.digest === asked?.digest) assert.equal(await posting, false);
      else await assert.rejects(posting, { code: "KEY_CONFLICT" });
      return lastSeq;
    }
    if (target === undefined || target.state === "exited") {
      const code = target === undefined ? "PROCESS_NOT_FOUND" : "PROCESS_EXITED";
      await assert.rejects(reader.post(target?.pid ?? "nobody", message, atMs, asked), { code });
      return lastSeq;
    }
    assert.equal(await reader.post(target.pid, message, atMs, asked), true);
    const rows = await reader.inbox(target.key);
    const seq = rows.at(-1)?.seq ?? 0;
    assert.ok(seq > lastSeq, `seq ${seq} after ${lastSeq}`);
    model.post(target.key, { input: message, atMs, seq }, asked);
    return seq;
  } finally {
    await reader.close();
  }
}

function toBatch(model: Model, plan: BatchPlan): CommitBatch {
  const nextKey = Math.max(0, ...model.processes.map((row) => row.key)) + 1;
  const newKeys = plan.newKeys.map((key, i) => (key === 0 ? nextKey + i : key));
  const newProcesses = newKeys.map((key) => process(key));
  const keys = [...new Set([...model.processes.map((row) => row.key), ...newKeys])];
  const at = (index: number): ProcessKey => keys[index % keys.length] ?? 0;
  if (keys.length === 0) return { atMs };
  const lastTurns = new Map<ProcessKey, number>();
  return {
    atMs,
    newProcesses,
    ...toRelations(plan, at),
    ...toLives(plan, at, model),
    ...toEdges(plan, at),
    turns: plan.turns.map(([index, step]) => {
      const key = at(index);
      const number = Math.max(1, (lastTurns.get(key) ?? model.lastTurn(key)?.number ?? 0) + step);
      lastTurns.set(key, number);
      return { process: key, turn: turn(number) };
    }),
    operations: plan.operations.map(([index, number, attempt]) => operation(at(index), number, { attempt })),
    operationsGone: plan.operationsGone.map(([index, number]) => ({ process: at(index), number })),
    timers: plan.timers.map(([index, number, due]) =>
      timer(at(index), number, { clock: due % 2 === 0 ? "wall" : "service", dueMs: due / 4 }),
    ),
    timersGone: plan.timersGone.map(([index, number]) => ({ process: at(index), number })),
    inboxGone: plan.inboxGone.map((index) => model.inbox[index]?.seq ?? 0),
    // What is put for one that has exited is kept by some stores and by some not.
    inbox: plan.inbox
      .filter((index) => model.processes.every(({ key, state }) => key !== at(index) || state !== "exited"))
      .map((index) => ({ process: at(index), input: message, atMs: atMs + index })),
    logs: plan.logs.map((index) => ({ process: at(index), turn: index, atMs, level: "warn", text: `said ${index}` })),
    states: plan.states.map(([index, state]) => ({
      process: at(index),
      state: state as "running",
      problem: state,
      ...(state === "crashed" ? { exit: { ...exit, reason: "error" as const } } : {}),
    })),
    traps: plan.traps.map(([index, on]) => ({ process: at(index), on })),
    exits: plan.exits.map((index) => ({ process: at(index), exit })),
    snapshots: plan.snapshots.map(([index, number]) => snapshot(at(index), number)),
  };
}

type At = (index: number) => ProcessKey;

function toRelations(plan: BatchPlan, at: At): Omit<CommitBatch, "atMs"> {
  return {
    links: plan.links.flatMap(([a, b]) => (at(a) === at(b) ? [] : [{ a: at(a), b: at(b) }])),
    linksGone: plan.linksGone.map(([a, b]) => ({ a: at(a), b: at(b) })),
    monitors: plan.monitors.map(([watcher, number, target]) => monitor(at(watcher), number, at(target))),
    monitorsGone: plan.monitorsGone.map(([watcher, number]) => ({ watcher: at(watcher), number })),
    namesGone: plan.namesGone.map((name) => `name ${name}`),
    names: plan.names.map(([name, index]) => ({ name: `name ${name}`, process: at(index) })),
    groupsGone: plan.groupsGone.map(([name, index]) => ({ name: `group ${name}`, process: at(index) })),
    groups: plan.groups.map(([name, index]) => ({ name: `group ${name}`, process: at(index) })),
  };
}

function toEdges(plan: BatchPlan, at: At): Omit<CommitBatch, "atMs"> {
  return {
    edges: plan.edges.map(([index, key, isCall]) => ({
      ...askedFor(at(index), key),
      atMs: atMs + key,
      state: isCall ? ("open" as const) : ("sent" as const),
    })),
    edgeEnds: plan.edgeEnds.map(([index, key, state]) => {
      const { process, key: name, digest } = askedFor(at(index), key);
      const row = { process, key: name, digest };
      return state === "answered"
        ? { ...row, state, answer: { text: `j${key}` } }
        : { ...row, state: state as "set-aside" };
    }),
  };
}

/** One key in two has two digests. */
function askedFor(process: ProcessKey, key: number): Pick<EdgeRow, "process" | "key" | "digest" | "about"> {
  const { digest, about } = edge(process, `key ${key}`);
  return { process, key: `key ${key >> 1}`, digest, about };
}

function toLives(plan: BatchPlan, at: At, model: Model): Omit<CommitBatch, "atMs"> {
  return {
    checkpoints: plan.checkpoints.map(([index, number]) => checkpoint(at(index), number)),
    restores: plan.restores.map(([index, from, more]) => ({
      process: at(index),
      life: more + 2,
      turn: from + more + 1,
      from,
    })),
    deadLetters: plan.deadLetters.map((index) => deadLetter(at(index), `poison ${index}`)),
    deadLettersGone: plan.deadLettersGone.map((index) => model.deadLetters[index]?.seq ?? 0),
  };
}
