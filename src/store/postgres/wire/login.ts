/** How a client shows who it is: SCRAM-SHA-256 (RFC 5802, 7677), MD5, or the password itself. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import type { Address } from "./address.ts";
import { message, readTexts, texts } from "./messages.ts";

/** Refused, or not to be trusted: trying again would not help. */
export class LoginRefused extends Error {}

const mechanism = "SCRAM-SHA-256";
/** More than any server asks for: a false one must not keep us busy. */
const maxIterations = 10_000_000;

export class Login {
  readonly #address: Address;
  #nonce = "";
  #signature: Buffer | undefined;
  /** A conversation that has begun must end with the server's proof. */
  #proven = true;

  constructor(address: Address) {
    this.#address = address;
  }

  /** The answer to an authentication message; undefined if there is none to give. Throws LoginRefused at once. */
  answer(content: Buffer): Promise<Uint8Array[]> | Uint8Array[] | undefined {
    const { user } = this.#address;
    const kind = content.readInt32BE(0);
    switch (kind) {
      case 0:
        if (!this.#proven) throw new LoginRefused("the server did not prove that it knows the password");
        return undefined;
      case 3:
        return message("p", texts(this.#password()));
      case 5:
        return message("p", texts(`md5${md5(md5(Buffer.from(this.#password() + user)), content.subarray(4))}`));
      case 10:
        return this.#begin(readTexts(content, 4));
      case 11:
        return this.#go(content.toString("utf8", 4));
      case 12:
        this.#end(content.toString("utf8", 4));
        return undefined;
      default:
        throw new LoginRefused(`the server asks for a kind of login (number ${kind}) that is not supported`);
    }
  }

  #password(): string {
    if (this.#address.password === "") throw new LoginRefused("the server asks for a password, and none was given");
    return this.#address.password;
  }

  #begin(mechanisms: readonly string[]): Uint8Array[] {
    if (!mechanisms.includes(mechanism)) {
      throw new LoginRefused(
        `the server offers only ${mechanisms.join(", ")} as login, and this client knows ${mechanism}`,
      );
    }
    this.#password();
    this.#nonce = randomBytes(18).toString("base64");
    this.#proven = false;
    const first = Buffer.from(`n,,n=,r=${this.#nonce}`);
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(first.length);
    return message("p", texts(mechanism), length, first);
  }

  async #go(challenge: string): Promise<Uint8Array[]> {
    const { r: nonce = "", s: salt = "", i = "" } = fields(challenge);
    const iterations = Number(i);
    if (!nonce.startsWith(this.#nonce) || this.#nonce === "" || !(iterations >= 1 && iterations <= maxIterations)) {
      throw new LoginRefused("the server's part of the login makes no sense");
    }
    const password = this.#address.password.normalize("NFKC");
    const salted = await promisify(pbkdf2)(password, Buffer.from(salt, "base64"), iterations, 32, "sha256");
    const bare = `c=biws,r=${nonce}`;
    const all = `n=,r=${this.#nonce},${challenge},${bare}`;
    const clientKey = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(clientKey).digest(), all);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
    this.#signature = hmac(hmac(salted, "Server Key"), all);
    return message("p", Buffer.from(`${bare},p=${proof.toString("base64")}`));
  }

  #end(final: string): void {
    const proof = Buffer.from(fields(final)["v"] ?? "", "base64");
    const expected = this.#signature;
    if (expected === undefined || proof.length !== expected.length || !timingSafeEqual(proof, expected)) {
      throw new LoginRefused("the server could not prove that it knows the password");
    }
    this.#proven = true;
  }
}

function fields(text: string): Record<string, string | undefined> {
  return Object.fromEntries(text.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function md5(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash("md5");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
