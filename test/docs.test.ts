/** The documentation's examples are programs: they compile, they build, and those that say what comes out are run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const documents = ["README.md", "docs/operations.md"];

interface Example {
  readonly file: string;
  readonly text: string;
}

/** Blocks of TypeScript whose first line names a file: "// app.ts" or "// app.ts: what it is". */
function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(/```ts\n\/\/ ([\w./-]+\.ts)\b[^\n]*\n([\s\S]*?)```/g)].map(([, file, text]) => ({
    file: file as string,
    text: text as string,
  }));
}

describe("the documentation's examples", () => {
  // Inside the repository, so that "perdure" is found by its own name.
  let folder = "";
  before(async () => {
    await mkdir(path.join(root, ".perdure"), { recursive: true });
    folder = await mkdtemp(path.join(root, ".perdure", "docs-"));
    for (const document of documents) {
      const target = path.join(folder, path.basename(document, ".md"));
      await mkdir(target);
      const examples = examplesOf(await readFile(path.join(root, document), "utf8"));
      assert.ok(examples.length >= 2, `${document} has examples`);
      for (const { file, text } of examples) await writeFile(path.join(target, file), text);
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("compile under strict TypeScript", async () => {
    const config = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: "nodenext",
        target: "es2024",
        types: ["node"],
        allowImportingTsExtensions: true,
        skipLibCheck: true,
      },
      include: ["**/*.ts"],
    };
    await writeFile(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    await run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", folder]).catch(
      (error: { stdout: string }) => assert.fail(error.stdout),
    );
  });

  test("the README's order waits for its approval, and says that it was declined", async () => {
    const { Engine } = await import("perdure/engine");
    await using engine = await Engine.open({ store: "memory:", program: path.join(folder, "README", "app.ts") });
    const order = await engine.start("default", ["order-7", 4200], { id: "order-7" });
    await order.send({ approved: false });
    assert.deepEqual(await order.result(), { id: "order-7", state: "declined" });
  });

  test("docs/operations.md: a final error of the host function is caught by the program", async () => {
    const { Engine } = await import("perdure/engine");
    const declining = `"use host";\nimport { NonRetryableError } from "perdure/host";
      export async function charge(): Promise<string> { throw new NonRetryableError("The card was declined."); }
      export async function thumbnail(): Promise<string> { return ""; }`;
    const target = path.join(folder, "declined");
    await mkdir(target);
    await writeFile(path.join(target, "app.ts"), await readFile(path.join(folder, "operations", "app.ts")));
    await writeFile(path.join(target, "shop.ts"), declining);
    await using engine = await Engine.open({ store: "memory:", program: path.join(target, "app.ts") });
    const purchase = await engine.start("default", ["card"]);
    assert.deepEqual(await purchase.result(), { declined: "The card was declined." });
  });
});
