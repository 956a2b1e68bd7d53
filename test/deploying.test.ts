/** The files of docs/deploying are held to the program: commands, options, paths and ports exist, and times fit together. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { createCli } from "../src/cli/cli.ts";
import { parseHealthAddress } from "../src/cli/node-options.ts";
import { exitCodeOf } from "../src/cli/signals.ts";
import { defaultCloseTimeoutMs } from "../src/engine/defaults.ts";
import { healthPaths } from "../src/http/health.ts";

const folder = new URL("../docs/deploying/", import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, folder), "utf8");
const page = readFileSync(new URL("../docs/deploying.md", import.meta.url), "utf8");
const files = readdirSync(folder);

type Tree = { readonly [key: string]: any };

function documentsOf(file: string): Tree[] {
  return parseAllDocuments(read(file), { merge: true }).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS() as Tree;
  });
}

/** The words of `perdure …`: a command that there is, its options, its arguments. Answers where it serves its health. */
function checkCommand(words: readonly string[]): { readonly host: string; readonly port: number } {
  const [name = "", ...rest] = words;
  const command = createCli().commands.find((each) => each.name() === name);
  assert.ok(command !== undefined, `perdure ${name} is no command`);
  const { operands, unknown } = command.parseOptions([...rest]);
  assert.deepEqual(unknown, [], `perdure ${name} has no such options`);
  assert.equal(operands.length, command.registeredArguments.length, `arguments of perdure ${words.join(" ")}`);
  const { health, standby } = command.opts<{ health: string; standby: boolean }>();
  assert.equal(standby, true);
  return parseHealthAddress(health);
}

function checkEnvironment(names: readonly string[]): void {
  for (const name of names.filter((each) => each.startsWith("PERDURE_"))) {
    assert.ok(["PERDURE_STORE", "PERDURE_NODE"].includes(name), name);
  }
  assert.ok(names.includes("PERDURE_STORE"));
}

describe("docs/deploying.md", () => {
  test("links each of the files, and no others", () => {
    const linked = [...page.matchAll(/\]\(deploying\/([^)#]+)\)/g)].map(([, file]) => file);
    assert.deepEqual(new Set(linked), new Set(files));
  });

  test("shows commands and options that exist", () => {
    const lines = [...page.matchAll(/(?:^\$ |`)perdure ([^`\n]+)/gm)].map(([, words = ""]) => words);
    assert.ok(lines.length >= 10);
    for (const line of lines) {
      const [name = "", ...rest] = line.split(" ");
      const command = createCli().commands.find((each) => each.name() === name);
      assert.ok(command !== undefined, line);
      assert.deepEqual(command.parseOptions(rest).unknown, [], line);
    }
  });
});

for (const file of files.filter((each) => each.startsWith("kubernetes"))) {
  describe(`docs/deploying/${file}`, () => {
    const documents = documentsOf(file);
    const workload = documents.find(({ kind }) => kind === "Deployment" || kind === "StatefulSet") ?? {};
    const pod = workload["spec"].template.spec as Tree;
    const [container, ...others] = pod["containers"] as readonly Tree[];
    assert.ok(container !== undefined && others.length === 0);

    test("every document says what it is", () => {
      for (const { apiVersion, kind, metadata } of documents) {
        assert.equal(typeof apiVersion, "string");
        assert.equal(typeof kind, "string");
        assert.equal(metadata.name, "shop");
      }
    });

    test("selectors find the pods", () => {
      const { labels } = workload["spec"].template.metadata;
      for (const { spec } of documents) {
        const selector = spec.selector.matchLabels ?? spec.selector;
        assert.deepEqual(selector, labels);
      }
    });

    test("the command exists, and its health can be asked from outside the pod, at the port that is named", () => {
      const { host, port } = checkCommand(container["args"]);
      assert.equal(host, "0.0.0.0");
      assert.deepEqual(container["ports"], [{ name: "health", containerPort: port }]);
      checkEnvironment(container["env"].map(({ name }: Tree) => name));
    });

    const probes = { startupProbe: "/livez", livenessProbe: "/livez", readinessProbe: "/readyz" };
    for (const [name, path] of Object.entries(probes)) {
      test(`${name} asks ${path}`, () => {
        const probe = container[name] as Tree;
        assert.deepEqual(probe["httpGet"], { path, port: "health" });
        assert.ok(healthPaths.has(path));
        // The node gives its kernel thread 2 seconds to answer.
        assert.ok(probe["timeoutSeconds"] > 2);
      });
    }

    test("the grace period covers preStop and the time that running operations are given", () => {
      const [, seconds = "0"] = container["lifecycle"]?.preStop.exec.command ?? [];
      assert.ok(pod["terminationGracePeriodSeconds"] * 1000 > Number(seconds) * 1000 + 2 * defaultCloseTimeoutMs);
    });

    test("memory is limited, and a store in a file has one pod and a volume", () => {
      assert.match(container["resources"].limits.memory, /^\d+[MG]i$/);
      const store = container["env"].find(({ name }: Tree) => name === "PERDURE_STORE") as Tree;
      const { replicas, volumeClaimTemplates } = workload["spec"];
      if (store["value"] === undefined) return assert.ok(replicas > 1);
      assert.equal(replicas, 1);
      const [mount] = container["volumeMounts"];
      assert.ok(store["value"].startsWith(`${mount.mountPath}/`));
      assert.equal(volumeClaimTemplates[0].metadata.name, mount.name);
      assert.deepEqual(volumeClaimTemplates[0].spec.accessModes, ["ReadWriteOncePod"]);
    });
  });
}

describe("docs/deploying/compose.yaml", () => {
  const [{ services, volumes } = {} as Tree] = documentsOf("compose.yaml");

  for (const [name, service] of Object.entries<Tree>(services)) {
    test(`${name}: its command exists, and its health is asked where it is served`, () => {
      const { port } = checkCommand(service["command"]);
      const script = service["healthcheck"].test.at(-1) as string;
      const [, url = ""] = /fetch\('([^']+)'\)/.exec(script) ?? [];
      assert.equal(Number(new URL(url).port), port);
      assert.ok(healthPaths.has(new URL(url).pathname));
      assert.deepEqual(service["healthcheck"].test.slice(0, 3), ["CMD", "node", "-e"]);
    });

    test(`${name}: it has its name, the common store on a volume, and time to stop`, () => {
      checkEnvironment(Object.keys(service["environment"]));
      assert.equal(service["environment"].PERDURE_NODE, name);
      const [volume, target] = service["volumes"][0].split(":");
      assert.ok(volume in volumes);
      assert.ok(service["environment"].PERDURE_STORE.startsWith(`${target}/`));
      assert.ok(Number.parseInt(service["stop_grace_period"], 10) * 1000 > 2 * defaultCloseTimeoutMs);
    });
  }

  test("there are two nodes of one store", () => {
    const stores = Object.values<Tree>(services).map(({ environment }) => environment.PERDURE_STORE as string);
    assert.equal(stores.length, 2);
    assert.equal(new Set(stores).size, 1);
  });
});

describe("docs/deploying/perdure@.service", () => {
  const unit = new Map(
    [...read("perdure@.service").matchAll(/^(\w+)=(.*)$/gm)].map(([, key = "", value = ""]) => [key, value]),
  );

  test("its command exists, with a port and a name for each instance", () => {
    const [program = "", ...words] = (unit.get("ExecStart") ?? "")
      .replaceAll("%i", "1")
      .replaceAll("%H", "web")
      .split(" ");
    assert.match(program, /\/node_modules\/\.bin\/perdure$/);
    assert.deepEqual(checkCommand(words), { host: "127.0.0.1", port: 9461 });
  });

  test("an end by SIGTERM is a success, and comes in time", () => {
    assert.equal(unit.get("KillSignal"), "SIGTERM");
    assert.equal(Number(unit.get("SuccessExitStatus")), exitCodeOf("SIGTERM"));
    assert.ok(Number(unit.get("TimeoutStopSec")) * 1000 > 2 * defaultCloseTimeoutMs);
  });
});

test("docs/deploying/Dockerfile starts the node itself, with a command that exists", () => {
  const list = (word: string): string[] => {
    const [, text = "[]"] = new RegExp(`^${word} (\\[.*\\])$`, "m").exec(read("Dockerfile")) ?? [];
    return JSON.parse(text) as string[];
  };
  assert.deepEqual(list("ENTRYPOINT"), ["node", "node_modules/.bin/perdure"]);
  assert.equal(checkCommand(list("CMD")).host, "0.0.0.0");
});
