/**
 * The prelude: what every process image begins with. It is one script, made from `src/guest/prelude/` when Perdure is built, or
 * on the fly when Perdure itself runs from its TypeScript sources.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { PerdureError } from "../base/errors.ts";
import { turnProtocolMark, turnProtocolVersion } from "../machine/protocol.ts";

export interface Prelude {
  /** To be evaluated as a script named `perdure:prelude`. */
  readonly text: string;
  /** JSON. Sources are relative to Perdure's `src`: `"guest/prelude/index.ts"`. */
  readonly sourceMap: string;
  /** SHA-256 of the text, hex. */
  readonly hash: string;
}

let loaded: Promise<Prelude> | undefined;

/** Loads the prelude, once. Throws ENGINE_FAILED if this installation of Perdure has none. */
export function loadPrelude(): Promise<Prelude> {
  loaded ??= (import.meta.url.endsWith(".ts") ? bundlePrelude() : readPrelude()).catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function readPrelude(): Promise<Prelude> {
  const file = fileURLToPath(new URL("../prelude/prelude.js", import.meta.url));
  try {
    const [text, sourceMap] = await Promise.all([readFile(file, "utf8"), readFile(`${file}.map`, "utf8")]);
    return { text, sourceMap, hash: hashOf(text) };
  } catch (cause) {
    throw new PerdureError(
      "ENGINE_FAILED",
      `Cannot read the sandbox's prelude ${file}. Install Perdure again, or run "npm run build" in its repository.`,
      { cause },
    );
  }
}

/** Bundles the prelude from Perdure's sources. The build and an engine run from sources make the same text. */
export async function bundlePrelude(): Promise<Prelude> {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const entry = path.join(root, "guest", "prelude", "index.ts");
  if ((await stat(entry).catch(() => undefined)) === undefined) {
    throw new PerdureError(
      "ENGINE_FAILED",
      `Cannot build the sandbox's prelude: its entry ${entry} does not exist. Check out all of Perdure's sources.`,
    );
  }
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    outfile: path.join(root, "prelude.js"),
    bundle: true,
    write: false,
    format: "iife",
    platform: "neutral",
    target: "es2023",
    charset: "utf8",
    // Function names stay: they are all that a stack trace through the prelude tells without its map.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    footer: { js: turnProtocolMark(turnProtocolVersion) },
    sourcemap: "external",
    tsconfigRaw: {},
    logLevel: "silent",
  });
  const [map, script] = ["prelude.js.map", "prelude.js"].map(
    (name) => outputFiles.find((file) => path.basename(file.path) === name)?.text ?? "",
  );
  return { text: script ?? "", sourceMap: map ?? "", hash: hashOf(script ?? "") };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
