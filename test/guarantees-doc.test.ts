import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "docs/guarantees.md"), "utf8");
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };
const promises = page.slice(page.indexOf("## The promises"), page.indexOf("## What is not promised"));
/** What stands in code spans. A name of a test may have been broken over two lines. */
const spans = [...promises.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text.replaceAll(/\s+/g, " "));

describe("docs/guarantees.md", () => {
  for (const span of spans.filter((text) => /^(test|src)\/\S+\.ts/.test(text))) {
    test(`names a test that there is: ${span}`, () => {
      const [file = "", name = ""] = span.split(" › ");
      assert.ok(existsSync(join(root, file)), file);
      assert.ok(readFileSync(join(root, file), "utf8").includes(name), `${file} has no test named: ${name}`);
    });
  }

  for (const span of spans.filter((text) => text.startsWith("npm run "))) {
    test(`names a command that there is: ${span}`, () => {
      assert.ok((span.split(" ")[2] ?? "") in scripts, span);
    });
  }

  test("gives every promise something that tries to break it", () => {
    const items = promises.split(/\n(?=- |\n)/).filter((part) => part.trimStart().startsWith("- "));
    assert.ok(items.length > 20);
    for (const item of items) assert.match(item.replaceAll(/\s+/g, " "), /`(?:(?:test|src)\/\S+\.ts|npm run )/, item);
  });
});
