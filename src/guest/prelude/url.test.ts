import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

const parts = [
  "href",
  "origin",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
];
const partsOf = (url: string): string => `${JSON.stringify(parts)}.map((part) => ${url}[part])`;

/** What `new URL` makes of each pair of text and base, or "invalid". */
function parseAll(cases: readonly (readonly [string, string?])[]): string {
  return `return ${JSON.stringify(cases)}.map(([text, base]) => {
    try {
      const url = base === undefined ? new URL(text) : new URL(text, base);
      return ${partsOf("url")};
    } catch (error) {
      return [error instanceof TypeError ? "invalid" : String(error)];
    }
  });`;
}

const absolute = [
  "https://user:p%40ss@example.com:8443/a/./b/../c%20d?x=1&y=a b#frag ment",
  "HTTP://EXAMPLE.COM:80/%7Efoo/%zz?q='\"<>#`",
  "  \thttps://exa\nmple.com/ \r ",
  "https:example.com",
  "https:\\\\example.com\\a\\..\\b",
  "https:////example.com///a//b",
  "https://a:b@c:d@example.com:/",
  "https://@/",
  "https://user@/",
  "https://example.com:65536/",
  "https://example.com:0/",
  "https://exa mple.com/",
  "https://ex%41mple.com/",
  "https://1.2.3/",
  "https://0x7f.1/",
  "https://256.1.1.1/",
  "https://1.2.3.4.5/",
  "https://foo.0x/",
  "https://[::1]:443/",
  "https://[2001:db8:0:0:1:0:0:1]/",
  "https://[::ffff:1.2.3.4]/",
  "https://[1::2::3]/",
  "https://[12345::]/",
  "https://[::1",
  "file:///C|/a/../..",
  "file://localhost/etc",
  "file:c:\\x\\y",
  "file://server/share",
  "mailto:somebody@example.com?subject=hi there",
  "data:text/plain,hello world #x",
  "javascript:alert(1) ?x",
  "foo://host:80/a/../../b?q#f",
  "foo:///p",
  "foo:/.//p",
  "foo://ho st/",
  "blob:https://example.com/uuid",
  "nothing",
  "",
  "//example.com",
  "https://\ud800.example/",
  "https://example.com/\ud800",
];

test("absolute URLs parse as in Node", async () => {
  await sameAsNode(sandbox, parseAll(absolute.map((text) => [text])));
});

test("relative URLs resolve as in Node, against every kind of base", async () => {
  const bases = [
    "https://user@example.com:8080/a/b/c?q#f",
    "file:///C:/a/b",
    "file://host/x",
    "foo://host/a/b",
    "foo:/a/b?q",
    "mailto:x",
    "bad",
  ];
  const relatives = [
    "",
    "d",
    "./d",
    "../d",
    "../../../d",
    "/d",
    "//other/d",
    "\\d",
    "?x",
    "#y",
    "http:d",
    "https:d",
    "foo:d",
  ];
  relatives.push("file:d", "C|/d", "/C|/d", "//C|/d", "///d", "%2e%2E/d", ".", "..", "d/..", "https:/d", "https:\\d");
  await sameAsNode(sandbox, parseAll(bases.flatMap((base) => relatives.map((text) => [text, base] as const))));
});

test("domains that are not ASCII become the same Punycode as in Node, or fail clearly", async () => {
  const domains = [
    "bücher.de",
    "bu\u0308cher.de",
    "faß.de",
    "ΑΣ.gr",
    "☃.net",
    "例え。テスト",
    "ﬁ.com",
    "Ⅷ.com",
    "xn--bcher-kva.de",
  ];
  domains.push(
    "XN--BCHER-KVA.de",
    "ü.xn--bcher-kva.de",
    "ü.xn--iñvalid",
    "…com",
    "a\u00adb.com",
    "\u200d.com",
    "℀.com",
  );
  domains.push("😀.com", "①②.com", "１２７．０．０．１", "\u0301a.com", "क्‍ष.com", "\u2066a.com");
  await sameAsNode(sandbox, parseAll(domains.map((domain) => [`https://${domain}/`])));
});

test("a random URL parses as in Node", async () => {
  const seed = Date.now() % 0x7fffffff;
  const piece = fc.constantFrom(
    ..."http: https: file: foo: ws: // / \\ ? # @ : [ ] [::1] . .. %2e % %41 %zz a b C| 80 65536 0x1 1 ü ß é 😀 & = + ' \" < > ` { } | ^ ~ ; , $ ! * ( )".split(
      " ",
    ),
    " ",
    "\t",
    "example.com",
    "localhost",
    "\u0000",
    "\u007f",
  );
  const text = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(""));
  const cases = fc.sample(fc.tuple(text, fc.constantFrom("https://h/p/q?r", "file:///C:/d", "foo://h/p", "foo:op")), {
    seed,
    numRuns: 1500,
  });
  await sameAsNode(sandbox, parseAll(cases), `seed ${seed}`);
});

test("setters change a URL as in Node", async () => {
  const urls = [
    "https://user:pw@example.com:8080/a/b?q#f",
    "file:///C:/a",
    "foo://host/a",
    "mailto:x?q#f",
    "foo:/a",
    "http://h",
  ];
  const changes: Record<string, string[]> = {
    href: ["https://other/x", "ftp://f"],
    protocol: ["http", "ws:", "foo", "file", "https:rest", "1x", ""],
    username: ["", "a:b", "ü@"],
    password: ["", "p w"],
    host: ["other", "other:99", "other:https", "", "a b", "[::1]:5", "h/p", "x:"],
    hostname: ["other", "other:99", "", "1.2", "bücher.de", "localhost"],
    port: ["", "443", "80x", "x80", "99999", "\n"],
    pathname: ["", "x/../y", "/?#", "\\z", "//a"],
    search: ["", "?", "a=1", "?a=ü #", "??"],
    hash: ["", "#", "x y`", "##"],
  };
  const cases = urls.flatMap((url) =>
    Object.entries(changes).flatMap(([part, values]) => values.map((value) => [url, part, value])),
  );
  await sameAsNode(
    sandbox,
    `return ${JSON.stringify(cases)}.map(([text, part, value]) => {
      const url = new URL(text);
      try { url[part] = value; } catch (error) { return error.name; }
      return [text, part, value, ...${partsOf("url")}];
    });`,
  );
});

test("canParse, parse and toJSON answer as in Node", async () => {
  await sameAsNode(
    sandbox,
    `[URL.canParse("https://a"), URL.canParse("a"), URL.canParse("a", "https://b"), URL.parse("a"),
      URL.parse("/x", "https://b").href, JSON.stringify({ url: new URL("https://a/ü") }), String(new URL("https://a?x#"))]`,
  );
});

test("searchParams and the URL follow each other", async () => {
  await sameAsNode(
    sandbox,
    `const url = new URL("https://h/?a=1&b=2&a=3#f");
     const { searchParams } = url;
     const seen = [[...searchParams]];
     searchParams.append("c", "x y&ü");
     searchParams.delete("a", "3");
     seen.push(url.href);
     url.search = "?z=9";
     seen.push([...searchParams], url.searchParams === searchParams);
     searchParams.delete("z");
     seen.push(url.href, url.search);
     url.href = "https://h/?n=1";
     seen.push(searchParams.get("n"));
     return seen;`,
  );
});

test("URLSearchParams has the methods of the web", async () => {
  await sameAsNode(
    sandbox,
    `const params = new URLSearchParams([["b", "1"], ["a", "2"], ["b", "3"]]);
     const seen = [params.size, params.get("b"), params.get("none"), params.getAll("b"), params.has("a"), params.has("a", "x")];
     params.set("b", "9");
     params.sort();
     params.forEach((value, name, whole) => seen.push([value, name, whole === params]));
     seen.push([...params.keys()], [...params.values()], params.toString(), String(new URLSearchParams({ x: "1", "ü": "%" })));
     seen.push(String(new URLSearchParams("?a=b+c%20d&&=x&%zz=%FF&\\ud800")), String(new URLSearchParams(params)));
     for (const bad of [[["a"]], [["a", "b", "c"]], ["ab"], [1]]) {
       try { new URLSearchParams(bad); seen.push("fine"); } catch (error) { seen.push(error.name); }
     }
     return seen;`,
  );
});

test("deleting while iterating skips as in Node", async () => {
  await sameAsNode(
    sandbox,
    `const params = new URLSearchParams("a=1&b=2&c=3");
     const seen = [];
     for (const [name] of params) { seen.push(name); if (name === "a") params.delete("a"); }
     return seen;`,
  );
});

test("what URLSearchParams writes it reads back, for any text", () => {
  const seed = Date.now() % 0x7fffffff;
  const text = fc.array(fc.nat(0xffff), { maxLength: 12 }).map((units) => String.fromCharCode(...units));
  const lists = fc.sample(fc.array(fc.tuple(text, text), { maxLength: 5 }), { seed, numRuns: 300 });
  const read = sandbox.run(
    `return ${JSON.stringify(lists)}.map((list) => [...new URLSearchParams(String(new URLSearchParams(list)))]);`,
  );
  assert.deepEqual(
    read,
    lists.map((list) => list.map((pair) => pair.map((part) => part.toWellFormed()))),
    `seed ${seed}`,
  );
});
