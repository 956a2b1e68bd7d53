// An ordinary script that imports nothing. Stop it with Ctrl-C or kill -9 and run it again: it goes on counting.
//
//   perdure run examples/heartbeat.ts --env HEARTBEAT_URL

const { HEARTBEAT_URL = "https://example.org/", HEARTBEATS = "60", HEARTBEAT_PAUSE_MS = "1000" } = process.env;

let well = 0;

for (let beat = 1; beat <= Number(HEARTBEATS); beat++) {
  const answered = await fetch(HEARTBEAT_URL, { method: "HEAD" }).catch(() => undefined);
  if (answered?.ok === true) well++;
  console.log(`beat ${beat}: ${answered?.status ?? "no answer"}, ${well} of ${beat} well`);
  await new Promise((resolve) => setTimeout(resolve, Number(HEARTBEAT_PAUSE_MS)));
}
