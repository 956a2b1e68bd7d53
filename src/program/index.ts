/** Programs: bundling, "use host" modules, source maps. */
export { buildProgram, operationNames } from "./build.ts";
export type { BuildProgramOptions, Program } from "./build.ts";
export { checkEntry } from "./check-entry.ts";
export { readHostModule } from "./host-module.ts";
export type { HostModule } from "./host-module.ts";
export { loadPrelude } from "./prelude.ts";
export type { Prelude } from "./prelude.ts";
export { mapStack, preludeFileName, programFileName } from "./stack.ts";
export type { StackMaps } from "./stack.ts";
