#!/usr/bin/env node
// Plain JavaScript on purpose: an old Node must reach the sentence below before it meets syntax it cannot read.
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  process.stderr.write(
    `perdure needs Node 24 or newer, and this is Node ${process.versions.node}. Install a newer Node, or add the npm package "node" to your project (npm i -D node@24) and run perdure through npx.\n`,
  );
  process.exitCode = 78;
} else {
  void import("../dist/cli/main.js");
}
