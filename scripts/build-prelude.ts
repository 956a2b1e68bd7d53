/** Puts the sandbox's prelude next to the compiled library, where `loadPrelude` looks for it. Runs after `tsc -b`. */
import { mkdir, writeFile } from "node:fs/promises";
import { bundlePrelude } from "../src/program/prelude.ts";

try {
  const { text, sourceMap } = await bundlePrelude();
  const folder = new URL("../dist/prelude/", import.meta.url);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL("prelude.js", folder), text);
  await writeFile(new URL("prelude.js.map", folder), sourceMap);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
