import { quickly } from "./quickly.ts";
import { commandLines } from "./targets.ts";

quickly(commandLines);
