/** The events of a step as they come to be: in a row, and where things go on at the same time, in lanes. */
import type { ExpectedEvent, PlainEvent } from "./format.ts";

export class Events {
  #all: ExpectedEvent[] = [];
  /** Where the next event goes. */
  #row: ExpectedEvent[] = this.#all;

  add(event: PlainEvent): void {
    this.#row.push(event);
  }

  /** All since the last call. */
  take(): ExpectedEvent[] {
    const all = tidy(this.#all);
    this.#all = [];
    this.#row = this.#all;
    return all;
  }

  /** What `fill` does for each of the items has a lane of its own. With `goesOn`, so has everything that follows. */
  lanes<T>(items: readonly T[], fill: (item: T) => void, goesOn = false): void {
    if (!goesOn && items.length < 2) return items.forEach((item) => fill(item));
    const row = this.#row;
    const lanes = items.map((item) => {
      const lane: ExpectedEvent[] = [];
      this.#row = lane;
      fill(item);
      return lane;
    });
    const rest: ExpectedEvent[] = [];
    row.push({ ev: "parallel", lanes: goesOn ? [...lanes, rest] : lanes });
    this.#row = goesOn ? rest : row;
  }
}

/** Lanes without events are none, and a single one is no parallel. */
export function tidy(events: readonly ExpectedEvent[]): ExpectedEvent[] {
  return events.flatMap((event) => {
    if (event.ev !== "parallel") return [event];
    const lanes = event.lanes.map(tidy).filter((lane) => lane.length > 0);
    return lanes.length === 1 ? (lanes[0] as ExpectedEvent[]) : lanes.length === 0 ? [] : [{ ev: event.ev, lanes }];
  });
}
