/** What is in a value, at any depth. */

/** Whether it is more than `most` values when it is written out: what is shared comes as often as it is referred to. */
export function unfoldsBeyond(value: unknown, most: number): boolean {
  const above = new Set<object>();
  let count = 0;
  const stack: Iterator<unknown>[] = [[value].values()];
  const owners: object[] = [];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const next = top.next();
    if (next.done === true) {
      stack.pop();
      const owner = owners.pop();
      if (owner !== undefined) above.delete(owner);
      continue;
    }
    if (++count > most) return true;
    const item: unknown = next.value;
    // A value within itself is cut off where it comes again.
    if (typeof item !== "object" || item === null || above.has(item)) continue;
    above.add(item);
    owners.push(item);
    stack.push(membersOf(item));
  }
  return false;
}

function membersOf(value: object): Iterator<unknown> {
  if (ArrayBuffer.isView(value)) return [].values();
  const own: unknown[] = Object.values(value);
  if (value instanceof Map) for (const [key, item] of value as Map<unknown, unknown>) own.push(key, item);
  if (value instanceof Set) for (const item of value as Set<unknown>) own.push(item);
  if (value instanceof Error) own.push(value.cause, value instanceof AggregateError ? value.errors : undefined);
  return own.values();
}

/** The errors in a value, at any depth; each once. */
export function errorsWithin(value: unknown): Error[] {
  const seen = new Set<object>();
  const todo: unknown[] = [value];
  const errors: Error[] = [];
  for (let each = todo.pop(); todo.length > 0 || each !== undefined; each = todo.pop()) {
    if (typeof each !== "object" || each === null || seen.has(each)) continue;
    seen.add(each);
    if (ArrayBuffer.isView(each)) continue;
    if (each instanceof Error) {
      errors.push(each);
      todo.push(each.cause, each instanceof AggregateError ? each.errors : undefined);
    }
    // One by one: a call takes only so many arguments.
    if (each instanceof Map) for (const [key, item] of each) todo.push(key, item);
    else if (each instanceof Set) for (const item of each) todo.push(item);
    for (const item of Object.values(each) as unknown[]) todo.push(item);
  }
  return errors;
}
