/** Percent coding (URL Standard): which characters each part of a URL escapes, and UTF-8 on the way there and back. */
import { toWellFormed } from "./intrinsics.ts";
import { decodeUtf8 } from "./text-decoder.ts";

type Part = "c0" | "fragment" | "query" | "specialQuery" | "path" | "userinfo";

/** What a part of a URL escapes. Each pattern finds a whole code point. */
export const percentSets: Readonly<Record<Part, RegExp>> = {
  c0: /[^\x20-\x7e]/gu,
  fragment: /[^\x21-\x7e]|["<>`]/gu,
  query: /[^\x21-\x7e]|["#<>]/gu,
  specialQuery: /[^\x21-\x7e]|["#<>']/gu,
  path: /[^\x21-\x7e]|["#<>?^`{}]/gu,
  userinfo: /[^\x21-\x7e]|["#<>?^`{}/:;=@[\\\]|]/gu,
};

const { encodeURIComponent, decodeURIComponent } = globalThis as unknown as Record<
  "encodeURIComponent" | "decodeURIComponent",
  (text: string) => string
>;

export function percentEncode(text: string, set: RegExp): string {
  return toWellFormed(text).replace(set, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  if (code >= 0x80) return encodeURIComponent(character);
  return `%${code < 0x10 ? "0" : ""}${code.toString(16).toUpperCase()}`;
}

/** Percent-decodes, and reads the bytes as UTF-8 with U+FFFD for what is malformed. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return toWellFormed(text);
  try {
    return decodeURIComponent(toWellFormed(text));
  } catch {
    return percentDecodeMalformed(toWellFormed(text));
  }
}

/** Each run of escapes is read as UTF-8; a "%" without two digits stays. What stands between runs is ASCII or whole. */
function percentDecodeMalformed(text: string): string {
  return text.replace(/(?:%[\da-f]{2})+/gi, (run) => {
    const bytes = new Uint8Array(run.length / 3);
    for (let index = 0; index < bytes.length; index++) {
      bytes[index] = Number.parseInt(run.slice(index * 3 + 1, index * 3 + 3), 16);
    }
    return decodeUtf8(bytes);
  });
}

/** `application/x-www-form-urlencoded` of one name or value. */
export function formEncode(text: string): string {
  return encodeURIComponent(toWellFormed(text)).replace(/%20|[!'()~]/g, (found) =>
    found === "%20" ? "+" : escapeCharacter(found),
  );
}

export function formDecode(text: string): string {
  return percentDecode(text.replaceAll("+", " "));
}
