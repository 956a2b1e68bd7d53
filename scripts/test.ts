/**
 * `npm test`: node's own test runner over every test file of the repository, or over those that are asked for.
 *
 *     npm test                                     all tests
 *     npm test -- src/base/value.test.ts           one file (a glob works too)
 *     npm test -- journal                          every test file with "journal" in its path
 *     npm test -- --test-name-pattern="any turn"   whatever else `node --test` takes
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const everything = ["src/**/*.test.ts", "test/**/*.test.ts"];
/** A test that takes this long hangs. */
const timeoutMs = 120_000;
/** Many tests start threads and processes of their own, and many wait for others': one more than the cores of a small machine keeps it busy. */
const concurrency = 3;

const compileCache = path.join(root, "node_modules", ".cache", "perdure-compiled");

const given = process.argv.slice(2);
const options = given.filter((argument) => argument.startsWith("-"));
const patterns = given.filter((argument) => !argument.startsWith("-"));
const files = testFiles(patterns);

if (files.length === 0) {
  process.stderr.write(`No test file matches ${patterns.join(" ")}.\n`);
  process.exitCode = 1;
} else {
  process.exitCode = await run(files);
}

function testFiles(wanted: readonly string[]): string[] {
  const all = globSync(everything, { cwd: root });
  if (wanted.length === 0) return all.toSorted();
  const named = new Set(globSync(wanted, { cwd: root }));
  return all.filter((file) => named.has(file) || wanted.some((part) => file.includes(part))).toSorted();
}

function run(paths: readonly string[]): Promise<number> {
  // What a test leaves open keeps nobody waiting once all of its file have ended.
  const settings = [`--test-concurrency=${concurrency}`, `--test-timeout=${timeoutMs}`, "--test-force-exit"];
  if (!options.some((option) => option.startsWith("--test-reporter"))) settings.push("--test-reporter=spec");
  const child = spawn(process.execPath, ["--test", ...settings, ...options, ...paths], {
    cwd: root,
    // Hundreds of processes load the same modules, with types to be stripped.
    env: { NODE_COMPILE_CACHE: compileCache, ...process.env },
    // Without a standard input: a test that waits for one must fail, not hang.
    stdio: ["ignore", "inherit", "inherit"],
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
