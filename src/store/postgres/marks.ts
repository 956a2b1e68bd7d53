/** What a store remembers of a migration that it is one end of. */
import { marksOf, selectMarks } from "../migration/marks.ts";
import type { Marks } from "../migration/port.ts";
import type { Line } from "./line.ts";
import { statement } from "./wire/session.ts";

const list = statement(selectMarks("~."));

export async function readMarks(line: Line): Promise<Marks> {
  return marksOf(await line.all(list));
}
