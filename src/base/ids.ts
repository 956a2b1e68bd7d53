import { PerdureError } from "./errors.ts";
import { Hasher } from "./hash.ts";
import type { Random } from "./ports.ts";

/** Crockford's base 32: no i, l, o and u, which are mistaken for others when read aloud. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const pidLength = 20;
const maxPidLength = 200;

/** A new process id: 20 characters, 100 random bits. */
export function newPid(random: Random): string {
  let id = "";
  let bits = 0;
  let bitCount = 0;
  for (const byte of random.bytes(Math.ceil((pidLength * 5) / 8))) {
    bits = (bits << 8) | byte;
    for (bitCount += 8; bitCount >= 5 && id.length < pidLength;) {
      bitCount -= 5;
      id += alphabet[(bits >> bitCount) & 31] as string;
    }
    bits &= (1 << bitCount) - 1;
  }
  return id;
}

const notPrintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * Checks an id that a caller chose. An id is 1 to 200 characters (UTF-16 units) of printable text, without "/" and without a
 * space at either end; "." and ".." are not ids, since a URL could not hold them, and what begins with "@" is a caller outside,
 * where messages to it would go. Throws ARGUMENT_INVALID.
 */
export function validatePid(id: string): void {
  const problem = problemOf(id);
  if (problem === undefined) return;
  const shown = typeof id === "string" ? JSON.stringify(id.length > 60 ? `${id.slice(0, 60)}…` : id) : `a ${typeof id}`;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} cannot be a process id: ${problem}. Use 1 to ${maxPidLength} printable characters, for example "order-1042".`,
  );
}

function problemOf(id: unknown): string | undefined {
  if (typeof id !== "string") return "it is not a string";
  if (id === "") return "it is empty";
  if (id.length > maxPidLength) return `it has ${id.length} characters`;
  if (notPrintable.test(id)) return "it holds a character that does not print";
  if (id.includes("/")) return 'it holds a "/"';
  if (id.trim() !== id) return "it begins or ends with a space";
  if (id.startsWith("@")) return 'it begins with "@", which stands for callers outside';
  if (id === "." || id === "..") return "a URL cannot hold it";
  return undefined;
}

/**
 * The pid of a process that another one spawns: 100 bits of a hash, in the same 20 characters as `newPid`'s. It follows from
 * the spawner's pid, its life and a counter, so that replay gives the same.
 */
export function childPid(parent: string, life: number, count: number): string {
  if (known?.parent !== parent || known.life !== life) {
    known = { parent, life, first: hasherFor(firstSalt, parent, life), second: hasherFor(secondSalt, parent, life) };
  }
  return idOf(known.first.copy(), known.second.copy(), count);
}

/** What all children of a parent have in common: a supervisor of many asks for one after the other. */
let known:
  { readonly parent: string; readonly life: number; readonly first: Hasher; readonly second: Hasher } | undefined;

/** A hash has 64 bits; two of them are enough. */
const firstSalt = "pid";
const secondSalt = "pid, the rest";

function hashedId(text: string): string {
  return idOf(hasherFor(firstSalt, text, 0), hasherFor(secondSalt, text, 0), 0);
}

function hasherFor(salt: string, text: string, life: number): Hasher {
  const hasher = new Hasher();
  hasher.text(salt);
  hasher.text(text);
  hasher.number(life);
  return hasher;
}

/** The first hundred bits, five a character. */
function idOf(first: Hasher, second: Hasher, count: number): string {
  first.number(count);
  second.number(count);
  // By index alone: a program may have patched how lists are taken apart.
  const high = first.words();
  const low = second.words();
  const words = [high[0], high[1], low[0], low[1]];
  let id = "";
  for (let bit = 0; bit < 5 * pidLength; bit += 5) {
    const word = words[bit >> 5] as number;
    const left = 27 - (bit & 31);
    const next = left < 0 ? (words[(bit >> 5) + 1] as number) >>> (32 + left) : 0;
    id += alphabet[((left < 0 ? word << -left : word >>> left) | next) & 31] as string;
  }
  return id;
}

const readableLength = 160;

/**
 * The pid of the keyed server of a class: `Cart:customer-17`. `entry` is what the program's class is started by; `generation`
 * counts from 1 the processes that have had the key. Different arguments give different pids, and all are valid ones.
 */
export function keyedPid(entry: string, key: string, generation: number): string {
  const ending = generation === 1 ? "" : `~${generation}`;
  const readable = `${escaped(entry, /[%:~]|^@/g)}:${escaped(key, /[%~]/g)}`;
  if (readable.length <= readableLength) return readable + ending;
  // A half of a surrogate pair would not be printable.
  const beginning = readable.slice(0, readableLength - pidLength - 1).replace(/[\ud800-\udbff]$/, "");
  return `${beginning}~${hashedId(readable)}${ending}`;
}

/** Takes out what ids cannot hold, and `special`, so that whatever is added here cannot be mistaken for it. */
function escaped(text: string, special: RegExp): string {
  return text
    .toWellFormed()
    .replace(special, percent)
    .replace(/[/\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|^\s|\s$/gu, percent);
}

function percent(character: string): string {
  return `%${character.codePointAt(0)!.toString(16).toUpperCase()};`;
}
