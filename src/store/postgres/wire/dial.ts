/** Makes a connection: the socket, its encryption, the login. */
import { connect as connectPlain, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Address } from "./address.ts";
import { ConnectionLost, ServerError } from "./errors.ts";
import { Login, LoginRefused } from "./login.ts";
import { MessageStream, readTexts, sslRequest, startup } from "./messages.ts";

export interface Line {
  /** Paused. */
  readonly socket: Socket;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Sent while nobody asks anything, so that a line that is dead is noticed. */
const keepAliveMs = 15_000;

/** Throws ConnectionLost, LoginRefused, ServerError. */
export async function dial(address: Address, timeoutMs: number): Promise<Line> {
  const sockets: Socket[] = [];
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new ConnectionLost(`no connection within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([late, call(address, sockets)]);
  } catch (error) {
    for (const socket of sockets) socket.destroy();
    throw isExpected(error) ? error : new ConnectionLost(reasonOf(error), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function isExpected(error: unknown): boolean {
  return error instanceof ConnectionLost || error instanceof ServerError || error instanceof LoginRefused;
}

/** Node may have tried several addresses of one name. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(", ");
  return error instanceof Error ? error.message : String(error);
}

async function call(address: Address, sockets: Socket[]): Promise<Line> {
  const { host, port } = address;
  const plain = host.startsWith("/")
    ? connectPlain({ path: `${host}/.s.PGSQL.${port}` })
    : connectPlain({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs });
  sockets.push(plain);
  await ready(plain, "connect");
  const socket = host.startsWith("/") ? plain : await encrypt(plain, address);
  sockets.push(socket);
  return await logIn(socket, address);
}

function ready(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new ConnectionLost("the connection was closed while it was made")));
  });
}

async function encrypt(plain: Socket, { ssl, host, authorities }: Address): Promise<Socket> {
  if (ssl === "disable") return plain;
  const answer = new Promise<Buffer>((resolve) => plain.once("data", resolve));
  plain.write(Buffer.concat(sslRequest));
  const said = await Promise.race([answer, ready(plain, "never")]);
  plain.pause();
  // Anything behind the one byte would have been slipped in before the encryption began.
  if (said?.length !== 1) throw new LoginRefused("what answers does not speak PostgreSQL's protocol");
  if (said.toString("latin1") !== "S") {
    if (ssl === "prefer") return plain;
    throw new LoginRefused(`the server does not offer encryption, and sslmode is ${ssl}`);
  }
  const isVerified = ssl === "verify-ca" || ssl === "verify-full";
  const socket = connectTls({
    socket: plain,
    // Whom the certificate must name.
    host,
    rejectUnauthorized: isVerified,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ssl === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
    ...(authorities === undefined ? {} : { ca: authorities }),
  });
  try {
    await ready(socket, "secureConnect");
  } catch (error) {
    if (!isVerified) throw error;
    throw new LoginRefused(`the encrypted connection is not to be trusted: ${reasonOf(error)}`, { cause: error });
  }
  return socket;
}

function logIn(socket: Socket, address: Address): Promise<Line> {
  const { promise, resolve, reject } = Promise.withResolvers<Line>();
  const stream = new MessageStream();
  const login = new Login(address);
  const parameters = new Map<string, string>();
  const take = (kind: string, content: Buffer): void => {
    if (kind === "R") answer(content);
    else if (kind === "E") reject(ServerError.of(content));
    else if (kind === "S") {
      const [name = "", value = ""] = readTexts(content);
      parameters.set(name, value);
    } else if (kind === "Z") {
      socket.pause();
      for (const [event, listener] of listeners) socket.off(event, listener);
      // Until somebody else listens.
      socket.on("error", () => undefined);
      resolve({ socket, parameters });
    }
  };
  const answer = (content: Buffer): void => {
    const said = login.answer(content);
    if (said === undefined) return;
    Promise.resolve(said).then((parts) => socket.write(Buffer.concat(parts)), reject);
  };
  const hear = (chunk: Buffer): void => {
    try {
      stream.push(chunk, take);
    } catch (error) {
      reject(error);
    }
  };
  const listeners = [
    ["data", hear],
    ["error", reject],
    ["close", () => reject(new ConnectionLost("the server closed the connection"))],
  ] as const;
  for (const [event, listener] of listeners) socket.on(event, listener);
  socket.resume();
  const { user, database } = address;
  socket.write(Buffer.concat(startup({ user, database, client_encoding: "UTF8" })));
  return promise;
}
