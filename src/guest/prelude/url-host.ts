/** The host of a URL: a domain, an IPv4 or IPv6 address, or an opaque name (URL Standard, "host parsing"). */
import { domainToAscii } from "./domain.ts";
import { percentDecode, percentEncode, percentSets } from "./percent.ts";

const forbiddenInHost = /[\0\t\n\r #/:<>?@[\\\]^|]/;
const forbiddenInDomain = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

/** The host as it is written in a URL; undefined if `text` is none. `special` is for http and its like. */
export function parseHost(text: string, special: boolean): string | undefined {
  if (text.startsWith("[")) {
    const pieces = text.endsWith("]") ? parseIpv6(text.slice(1, -1)) : undefined;
    return pieces === undefined ? undefined : `[${serializeIpv6(pieces)}]`;
  }
  if (!special) return forbiddenInHost.test(text) ? undefined : percentEncode(text, percentSets.c0);
  const domain = domainToAscii(percentDecode(text));
  if (domain === undefined || domain === "" || forbiddenInDomain.test(domain)) return undefined;
  return endsInNumber(domain) ? parseIpv4(domain) : domain;
}

function endsInNumber(domain: string): boolean {
  const parts = domain.split(".");
  if (parts.at(-1) === "" && parts.length > 1) parts.pop();
  return /^(\d+|0x[\da-f]*)$/i.test(parts.at(-1)!);
}

function parseIpv4(domain: string): string | undefined {
  const parts = domain.split(".");
  if (parts.at(-1) === "") parts.pop();
  if (parts.length > 4) return undefined;
  const numbers = parts.map(parseIpv4Number);
  const last = numbers.pop();
  if (last === undefined || numbers.some((number) => number === undefined || number > 255)) return undefined;
  if (last >= 256 ** (4 - numbers.length)) return undefined;
  let address = last;
  for (let index = 0; index < numbers.length; index++) address += numbers[index]! * 256 ** (3 - index);
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

function parseIpv4Number(text: string): number | undefined {
  if (/^0x[\da-f]*$/i.test(text)) return text.length === 2 ? 0 : Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9]\d*$/.test(text) ? Number(text) : undefined;
}

/** Eight numbers of 16 bits; undefined if `text` is no IPv6 address. */
function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => parsePieces(half, index === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (tail === undefined) return head.length === 8 ? head : undefined;
  const missing = 8 - head.length - tail.length;
  return missing < 1 ? undefined : [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** Pieces between colons. The last may be an IPv4 address, which counts as two. */
function parsePieces(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const pieces: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[\da-f]{1,4}$/i.test(part)) {
      pieces.push(Number.parseInt(part, 16));
      continue;
    }
    const isLast = isEnd && index === parts.length - 1;
    const address = isLast ? /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(part) : null;
    if (address === null) return undefined;
    const octets = address.slice(1);
    if (octets.some((octet) => Number(octet) > 255 || /^0\d/.test(octet))) return undefined;
    const [a, b, c, d] = octets.map(Number) as [number, number, number, number];
    pieces.push(a * 256 + b, c * 256 + d);
  }
  return pieces.length > 8 ? undefined : pieces;
}

/** The first longest run of two or more zeros is left out. */
function serializeIpv6(pieces: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let index = 0; index < 8; index++) {
    let end = index;
    while (end < 8 && pieces[end] === 0) end++;
    if (end - index > length) {
      start = index;
      length = end - index;
    }
  }
  const text = (part: readonly number[]): string => part.map((piece) => piece.toString(16)).join(":");
  if (start === -1) return text(pieces);
  return `${text(pieces.slice(0, start))}::${text(pieces.slice(start + length))}`;
}
