/** Turns what esbuild reports into what Perdure says. */
import { builtinModules } from "node:module";
import path from "node:path";
import type { Location, Message } from "esbuild";
import { apiNames } from "../guest/api-names.ts";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { displayPath, isUserFile } from "./paths.ts";

/** Namespace of the modules Perdure makes up: `entry` and `api`. */
export const virtualNamespace = "perdure";

/** What a plugin callback puts into `detail` of its errors. Where it leaves out the place, esbuild knows it. */
export type PluginDetail = Omit<Diagnostic, "place">;

/** `"node:fs"` for `"fs"` and `"node:fs"`; undefined for anything that is no part of Node. */
export function builtinName(specifier: string): string | undefined {
  if (specifier.startsWith("node:")) return specifier;
  return builtinModules.includes(specifier) ? `node:${specifier}` : undefined;
}

/** The specifier of an import that could not be resolved. */
export function unresolvedSpecifier(message: Message): string | undefined {
  return quoted(/^Could not resolve (".*")$/.exec(message.text)?.[1]);
}

/** In the order people should read them: the user's own files first, then by place. */
export function explainAll(
  messages: readonly Message[],
  folder: string,
  chainOf: (file: string) => readonly string[],
): Diagnostic[] {
  return messages
    .map((message) => explain(message, folder, chainOf))
    .sort((a, b) => rank(a, folder) - rank(b, folder) || compare(a.place, b.place));
}

function rank({ place }: Diagnostic, folder: string): number {
  if (place === undefined) return 2;
  return isUserFile(folder, place.file) ? 0 : 1;
}

function compare(a: Place | undefined, b: Place | undefined): number {
  if (a === undefined || b === undefined) return 0;
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

function explain(message: Message, folder: string, chainOf: (file: string) => readonly string[]): Diagnostic {
  const place = message.location === null ? undefined : placeOf(message.location, folder);
  const detail = (message.detail ?? undefined) as Diagnostic | undefined;
  if (detail !== undefined) return { ...detail, place: detail.place ?? place };
  const specifier = unresolvedSpecifier(message);
  if (specifier !== undefined) {
    const builtin = builtinName(specifier);
    if (builtin !== undefined) return { ...explainBuiltin(builtin, place, chainOf), place };
    return { ...explainUnresolved(specifier, message), place };
  }
  const missing = /^No matching export in (".*") for import (".*")$/.exec(message.text);
  if (missing !== null)
    return { ...explainMissingExport(quoted(missing[1]) ?? "", quoted(missing[2]) ?? "", message), place };
  const noLoader = /^No loader is configured for ".*" files: (.*)$/.exec(message.text);
  if (noLoader !== null) return { ...explainFileKind(path.basename(noLoader[1] ?? "")), place };
  return {
    code: "PROGRAM_SYNTAX",
    title: message.text,
    advice: message.notes.filter((note) => note.location === null).map((note) => note.text),
    place,
  };
}

function placeOf(location: Location, folder: string): Place {
  const virtual = location.namespace !== "" && location.namespace !== "file";
  const file = virtual ? location.file : path.resolve(folder, location.file);
  // esbuild counts columns in bytes of UTF-8, from 0.
  const bytes = Buffer.from(location.lineText);
  return {
    path: virtual ? location.file : displayPath(folder, file),
    file,
    line: location.line,
    column: bytes.toString("utf8", 0, location.column).length + 1,
    lineText: location.lineText,
    length: bytes.toString("utf8", location.column, location.column + location.length).length,
  };
}

function explainBuiltin(
  builtin: string,
  place: Place | undefined,
  chainOf: (file: string) => readonly string[],
): PluginDetail {
  const chain = place === undefined ? [] : chainOf(place.file);
  const isPackage = place !== undefined && place.path.startsWith("node_modules/");
  return {
    code: "PROGRAM_NODE_BUILTIN",
    title: `"${builtin}" is part of Node, which does not exist inside the sandbox.`,
    advice: [
      ...(chain.length === 0 ? [] : [`Imported by way of ${[...chain, builtin].join(" → ")}.`]),
      isPackage
        ? `Use this package in a module that begins with "use host" and export what you need of it as async functions: calling one from the program is an operation.`
        : `Move the code that uses it into a module that begins with "use host" and export it as an async function: calling it from the program is an operation.`,
    ],
  };
}

function explainUnresolved(specifier: string, message: Message): PluginDetail {
  if (/^[./]|^[A-Za-z]:[\\/]/.test(specifier)) {
    return {
      code: "PROGRAM_RESOLVE",
      title: `There is no module "${specifier}".`,
      advice: ["The path is relative to the file that imports it; check its spelling and extension."],
    };
  }
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  // The remaining notes are esbuild's findings in the package, such as a path that its "exports" do not offer.
  const findings = message.notes.map((note) => note.text).filter((text) => !/as external|platform: 'node'/.test(text));
  if (findings.length > 0) return { code: "PROGRAM_RESOLVE", title: `Cannot find "${specifier}".`, advice: findings };
  return {
    code: "PROGRAM_RESOLVE",
    title: `Cannot find the package "${specifier}".`,
    advice: specifier.startsWith("#")
      ? [`Names that begin with "#" are looked up in "imports" of the nearest package.json.`]
      : [`Install it with "npm install ${name}", or correct the name.`],
  };
}

function explainMissingExport(source: string, name: string, message: Message): PluginDetail {
  const suggestions = message.notes.map((note) => note.text);
  if (source === `${virtualNamespace}:api`) {
    return {
      code: "PROGRAM_RESOLVE",
      title: `"perdure" has no export "${name}".`,
      // All of them would drown the one that is meant.
      advice: suggestions.length > 0 ? suggestions : [`It exports ${apiNames.join(", ")}.`],
    };
  }
  return { code: "PROGRAM_RESOLVE", title: `"${source}" has no export "${name}".`, advice: suggestions };
}

/** A file that is neither code nor data a program can hold. `name` is for people. */
export function explainFileKind(name: string): PluginDetail {
  return {
    code: "PROGRAM_RESOLVE",
    title: `A program cannot import "${name}": ${path.extname(name) || "such"} files mean nothing inside the sandbox.`,
    advice: [
      `It can import JavaScript, TypeScript, .json, and .txt or .md as text. Read anything else in a module that begins with "use host".`,
    ],
  };
}

/** The text of a string literal as esbuild prints it in a message. */
function quoted(literal: string | undefined): string | undefined {
  if (literal === undefined) return undefined;
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal.slice(1, -1);
  }
}
