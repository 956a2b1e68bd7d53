/** What people read of a case that failed. */
import type { ExpectedEvent, Outcome } from "./format.ts";
import type { Failure } from "./run.ts";

/** One line with both traces, then the same for reading. */
export function describeFailure(name: string, failure: Failure): string {
  const { step, action, problem, expected, actual } = failure;
  const place = step === 0 ? "the start" : `step ${step}`;
  const lines = [
    `${name}: ${place} expected ${JSON.stringify(traceOf(expected))} actual ${JSON.stringify(traceOf(actual))}`,
    `  ${problem}`,
    ...(action === undefined ? [] : [`  action    ${JSON.stringify(action)}`]),
    ...show("expected", expected),
    ...show("actual", actual),
  ];
  return lines.join("\n");
}

/** Without what the file says of the action. */
function traceOf({ events, result, results, skipped, tree }: Outcome<ExpectedEvent>): Outcome<ExpectedEvent> {
  return {
    events,
    ...(result !== undefined && { result }),
    ...(results !== undefined && { results }),
    ...(skipped !== undefined && { skipped }),
    tree,
  };
}

function show(title: string, outcome: Outcome<ExpectedEvent>): string[] {
  const { events, tree, ...answers } = traceOf(outcome);
  return [
    `  ${title}`,
    ...events.flatMap((event) => showEvent(event, "    ")),
    ...Object.entries(answers).map(([field, value]) => `    ${field}: ${JSON.stringify(value)}`),
    ...Object.entries(tree).map(([path, children]) => `    tree ${path}: ${JSON.stringify(children)}`),
  ];
}

function showEvent(event: ExpectedEvent, indent: string): string[] {
  if (event.ev !== "parallel") {
    const reason = event.reason === undefined ? "" : ` ${JSON.stringify(event.reason)}`;
    return [`${indent}${event.ev} ${event.who}${reason}`];
  }
  return event.lanes.flatMap((lane, index) => [
    `${indent}in parallel, ${index + 1}:`,
    ...lane.flatMap((inner) => showEvent(inner, `${indent}  `)),
  ]);
}
