/** The two streams of the command: colours, width, and a status line that never mixes with other output. */
import pc from "picocolors";

export type Colors = ReturnType<typeof pc.createColors>;

export interface Terminal {
  readonly out: Colors;
  readonly err: Colors;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Columns of the terminal; undefined when standard output is none. */
  readonly width: number | undefined;
  /** A line on standard output: what was asked for. */
  print(line: string): void;
  /** A line on standard error: everything else. */
  note(line: string): void;
  /** From now on only `print` writes to standard output: what anyone else writes there goes to standard error. */
  reserveOutput(): void;
  /** Resolves when all that was printed has left the process. */
  flush(): Promise<void>;
}

export function createTerminal(options: { readonly color: boolean }): Terminal {
  const { stdout, stderr } = process;
  let reserved = false;
  const write = stdout.write.bind(stdout);
  const wanted = options.color && (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb";
  return {
    // A stream that is no terminal says undefined, which picocolors takes for "find out", and finds colours wherever CI is set.
    out: pc.createColors(wanted && Boolean(stdout.isTTY)),
    err: pc.createColors(wanted && Boolean(stderr.isTTY)),
    isTerminal: Boolean(stdout.isTTY),
    get width() {
      return stdout.isTTY ? stdout.columns : undefined;
    },
    print: (line) => void (reserved ? write : stdout.write.bind(stdout))(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    reserveOutput: () => {
      reserved = true;
      stdout.write = stderr.write.bind(stderr);
    },
    flush: async () => void (await Promise.all([flushed(stdout, write), flushed(stderr, stderr.write.bind(stderr))])),
  };
}

function flushed(stream: NodeJS.WriteStream, write: NodeJS.WriteStream["write"]): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else write("", () => resolve());
  });
}
