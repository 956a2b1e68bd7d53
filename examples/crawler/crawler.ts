// A crawler of one site, four pages at a time.
//
//   perdure run examples/crawler/crawler.ts default https://example.org/
//
// Pages are wild, and the code that reads them is tame: some make it crash. So every page is read in a process of its own. A crash
// costs that attempt, three of them cost the page, and the crawl goes on. After `kill -9` the same command goes on, too: what has
// been downloaded is not asked for again.

import { register, Supervisor, Task, taskSupervisor } from "perdure";
import { download } from "./web.ts";

interface Page {
  url: string;
  title: string;
  links: string[];
}

/** Trusts a page to have a title, and links that lead somewhere. There is no code in here for those that do not. */
export function read(url: string, html: string): Page {
  const title = /<title>(.*?)<\/title>/s.exec(html)![1]!.trim();
  const links = [...html.matchAll(/<a\s[^>]*?href="([^"#]+)/g)].map(([, href]) => new URL(href!, url).href);
  return { url, title, links };
}

/** Three attempts: the page may have been cut off on its way here, and be whole the next time. */
export async function visit(url: string) {
  for (let attempt = 1; attempt <= 3; attempt++) {
    try {
      const html = await download(url);
      if (html === undefined) return undefined;
      const reader = await Task.under("readers").async(read, url, html);
      return await reader.result();
    } catch (error) {
      console.warn(`${url}: attempt ${attempt} failed: ${(error as Error).message}`);
    }
  }
  return undefined;
}

export default async function crawl(start: string, limit = 100) {
  const readers = await Supervisor.startLink(taskSupervisor());
  await register("readers", readers.pid);

  const site = new URL("/", start).href;
  const titles = new Map<string, string>();
  const seen = new Set<string>();
  for (let urls = [start]; urls.length > 0;) {
    for (const url of urls) seen.add(url);
    const found: string[] = [];
    for await (const page of Task.asyncStream(urls, visit, { concurrency: 4 })) {
      if (page === undefined) continue;
      console.log(`${page.url}: ${page.title}`);
      titles.set(page.url, page.title);
      found.push(...page.links);
    }
    const next = new Set(found.filter((url) => url.startsWith(site) && !seen.has(url)));
    urls = [...next].slice(0, limit - seen.size);
  }
  return { read: titles.size, givenUp: [...seen].filter((url) => !titles.has(url)) };
}
