/**
 * Domains with other characters than ASCII (UTS #46, as the URL Standard uses it), without its tables: the engine's own
 * NFKC, lower case and Unicode properties give the same for every character in use. Rules about right-to-left labels and
 * joiners are not checked; a label breaking them names no host that could exist.
 */
import { punycodeDecode, punycodeEncode } from "./punycode.ts";

/** Mapped to nothing. */
const ignored =
  /[\u00ad\u115f\u1160\u200b\u2060-\u2064\u206a-\u206f\u3164\ufeff]|\u034f|[\u17b4\u17b5]|[\u180b-\u180f]|[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}]/gu;
/** Controls, formatting, what describes characters, is private, unassigned or no character; joiners aside. */
const disallowed = /[\p{C}\p{Z}\u2ff0-\u2fff\ufffd\ufff9-\ufffb]/u;
const joiners = /[\u200c\u200d]/g;
/** A joiner where it has nothing to join. */
const strayJoiner = /(?<![\p{M}\p{Script=Arabic}])[\u200c\u200d]/u;
const nonAscii = /[^\0-\x7f]/;
const dots = /[.\u3002\uff0e\uff61]/;

/** The domain as DNS knows it, in lower case; undefined if it cannot be one. */
export function domainToAscii(domain: string): string | undefined {
  if (!nonAscii.test(domain)) return domain.toLowerCase();
  const labels = mapped(domain)?.split(".") ?? [];
  const ascii: string[] = [];
  for (const label of labels) {
    const encoded = labelToAscii(label);
    if (encoded === undefined) return undefined;
    ascii.push(encoded);
  }
  return ascii.length === 0 ? undefined : ascii.join(".");
}

function mapped(domain: string): string | undefined {
  let lower = "";
  for (const character of domain.replace(ignored, "").normalize("NFKC")) {
    // Each by itself: of a whole word, lower case would end in a final sigma.
    lower += character.toLowerCase();
  }
  // What stands for several characters with a dot among them, such as "…" or "⒈", divides no labels and is not allowed.
  for (const character of domain) {
    if (!dots.test(character) && nonAscii.test(character) && dots.test(character.normalize("NFKC"))) return undefined;
  }
  return lower.normalize("NFKC").replace(ignored, "").replaceAll("\u3002", ".");
}

function labelToAscii(label: string): string | undefined {
  if (label.startsWith("xn--")) {
    const decoded = nonAscii.test(label) ? undefined : punycodeDecode(label.slice(4));
    // The same name must have one spelling: what would be mapped to something else cannot be hidden in Punycode.
    if (decoded === undefined || !nonAscii.test(decoded) || mapped(decoded) !== decoded) return undefined;
    return isValid(decoded) ? label : undefined;
  }
  if (!nonAscii.test(label)) return label;
  if (!isValid(label)) return undefined;
  const encoded = punycodeEncode(label);
  return encoded === undefined ? undefined : `xn--${encoded}`;
}

function isValid(label: string): boolean {
  return !/^\p{M}/u.test(label) && !strayJoiner.test(label) && !disallowed.test(label.replace(joiners, ""));
}
