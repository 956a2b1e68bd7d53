/** Where a store may be: a file, "memory:", or a `postgres://` URL. */
import { resolve } from "node:path";

/** The store that dies with its engine. */
export const inMemory = "memory:";

export function isPostgresUrl(place: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(place);
}

/** Paths are made absolute. */
export function resolvePlace(place: string, folder: string): string {
  return place === inMemory || isPostgresUrl(place) ? place : resolve(folder, place);
}

/** As messages show it: without a password. */
export function shownPlace(place: string): string {
  return isPostgresUrl(place) ? withoutPassword(place) : place;
}

/** A `postgres://` URL without password and parameters, however odd it is. */
export function withoutPassword(url: string): string {
  // A password that was not encoded may hold anything: up to the last "@" everything may be part of it.
  const [, scheme = "", user = "", place = ""] = /^(\w+:\/\/)(?:([^:@/?#]*)[^]*@)?([^@?#]*)/.exec(url) ?? [];
  // Without an "@", what should be a port may be one.
  const shown = place.replace(/^(\[[^\]]*\]|[^:/[]*):(?!\d+(?:\/|$))[^/]*/, "$1");
  return user === "" ? `${scheme}${shown}` : `${scheme}${user}@${shown}`;
}

/** A URL to be typed again: only the password is missing. */
export function retypedPlace(place: string): string {
  if (!isPostgresUrl(place)) return place;
  const parameters = /\?[\w=&%.~/-]*$/.exec(place)?.[0] ?? "";
  return `${withoutPassword(place)}${/pass/i.test(parameters) ? "" : parameters}`;
}
