/** Digests of commands are made with the hash that also makes pids. */
export { Hasher } from "../base/hash.ts";
