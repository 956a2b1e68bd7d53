/** What `bin/perdure.js` loads. */
import { main } from "./cli.ts";
import { surviveClosedPipes } from "./signals.ts";

surviveClosedPipes();
await main(process.argv.slice(2));
