/** Paths as people read them. */
import path from "node:path";

/** From the current folder, where that is shorter. */
export function shortPath(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative !== "" && relative.length < file.length ? relative : file;
}
