/** Which Perdure this is. */
import { readFileSync } from "node:fs";

/** The version in Perdure's own package.json. */
export const release: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { readonly version: string }
).version;
