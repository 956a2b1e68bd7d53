/** `examples/crawler`, on a small site of wild pages. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Shop } from "./support/cli.ts";

const program = fileURLToPath(new URL("../examples/crawler/crawler.ts", import.meta.url));
const pages: Readonly<Record<string, string>> = {
  "/": `<title>Home</title> <a href="/a">a</a> <a class="x" href="b#top">b</a> <a href="/wild">wild</a> <a href="/cut">cut</a>
    <a href="/gone">gone</a> <a href="http://other.example/">other</a> <a href="/">here</a>`,
  "/a": `<title>A</title> <a href="/deep">deep</a>`,
  "/b": `<title>B</title> <a href="/deep">deep</a>`,
  "/wild": "<h1>Where a title should be</h1>",
  "/cut": "<title>Whole</title>",
  "/deep": "<title>Deep</title>",
};

interface Site {
  readonly url: string;
  readonly asked: Map<string, number>;
  /** How many pages were asked for at the same time. */
  most: number;
}

/** One page comes in half when it is asked for the first time. */
async function openSite(t: TestContext): Promise<Site> {
  const asked = new Map<string, number>();
  let now = 0;
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const times = (asked.get(path) ?? 0) + 1;
    asked.set(path, times);
    site.most = Math.max(site.most, ++now);
    const page = pages[path];
    setTimeout(() => {
      now--;
      if (page === undefined) response.writeHead(404).end();
      else response.end(path === "/cut" && times === 1 ? page.slice(0, 9) : page);
    }, 50);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const site: Site = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked, most: 0 };
  return site;
}

test("a page that makes its reader crash is tried again, and then given up; the crawl goes on, through kill -9 too", async (t) => {
  const site = await openSite(t);
  const shop = await Shop.open(t, {});
  const words = ["run", program, "default", site.url, "--id", "crawl"];
  const first = shop.start(...words);
  await first.printed(": Whole\n");
  first.kill("SIGKILL");
  await first.ended;
  const { value } = await shop.json(...words);
  assert.deepEqual(value, { read: 5, givenUp: [`${site.url}wild`, `${site.url}gone`] });

  const lines = (await shop.run("logs", "--json")).stdout.trim().split("\n");
  const logged = lines.map((line) => (JSON.parse(line) as { text: string }).text);
  const read = ["Home", "A", "B", "Whole", "Deep"];
  assert.deepEqual(
    logged.flatMap((text) => /: (\w+)$/.exec(text)?.[1] ?? []).filter((title) => read.includes(title)),
    read,
  );
  const failed = (path: string): number =>
    logged.filter((text) => text.startsWith(`${site.url}${path}: attempt`)).length;
  assert.deepEqual([failed("wild"), failed("cut")], [3, 1]);

  assert.ok(site.most > 1 && site.most <= 4, `${site.most} at a time`);
  const asked = ["/", "/a", "/b", "/cut", "/wild"].map((path) => site.asked.get(path));
  assert.deepEqual(asked, [1, 1, 1, 2, 3], "what was there before the kill is not asked for again");
});
