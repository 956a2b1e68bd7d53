/** Forms read from bodies as others write them, well and badly, beside Node's. */
import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

const multipart = "multipart/form-data; boundary=b";
const urlencoded = "application/x-www-form-urlencoded";
const part = '--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n';
const withHead = (head: string, content = "x"): string => `--b\r\n${head}\r\n\r\n${content}\r\n--b--\r\n`;
const named = 'Content-Disposition: form-data; name="a"';

const bodies: readonly (readonly [body: string, type: string])[] = [
  [`${part}--b--\r\n`, multipart],
  [`${part}${part}--b--`, multipart],
  [`${part}--b--\r\nepilogue`, multipart],
  [`\r\n${part}--b--\r\n`, multipart],
  [withHead('Content-Disposition: form-data; name="a%22b%0D%0A"', ""), multipart],
  [withHead(`${named}; filename="f.txt"`), multipart],
  [withHead(`${named}; filename="f.txt"\r\nContent-Type: text/x`), multipart],
  [withHead('content-type: text/x\r\ncontent-disposition: form-data; name="a"; filename=""', ""), multipart],
  [withHead('Content-Disposition: form-data; filename="f"; name="a"'), multipart],
  [withHead("Content-Disposition: form-data; name=a"), multipart],
  [withHead('Content-Disposition: attachment; name="a"'), multipart],
  [withHead(named, "--b"), multipart],
  [withHead(named, "x\r\n--bc\r\ny"), multipart],
  [withHead(named, "ü\ufeff"), multipart],
  [withHead(named, "\ufeffx"), multipart],
  ["--b--\r\n", multipart],
  ["--b--", multipart],
  ["--b", multipart],
  ["x", multipart],
  ["", multipart],
  [`${part}--b--\r\n`, "multipart/form-data"],
  [`${part}--b--\r\n`, 'multipart/form-data; boundary="b"'],
  [`${part}--b--\r\n`, "Multipart/Form-Data;boundary=b;charset=x"],
  [`${part}--b--\r\n`, "multipart/form-data; boundary=c"],
  ["a=1&b=%zz&=&c", urlencoded],
  ["\ufeffa=1", `${urlencoded};charset=utf-8`],
  ["", urlencoded],
  ["a=1", `${urlencoded}x`],
  ["a=1", ""],
];

for (const [body, type] of bodies) {
  test(`a body of type ${JSON.stringify(type)} is read as in Node: ${JSON.stringify(body)}`, async () => {
    await sameAsNode(
      sandbox,
      `const response = new Response(${JSON.stringify(body)}, { headers: { "content-type": ${JSON.stringify(type)} } });
       const entries = [...(await response.formData())];
       return await Promise.all(entries.map(async ([name, value]) =>
         [name, typeof value === "string" ? value : [value.name, value.type, await value.text()]]));`,
    );
  });
}
