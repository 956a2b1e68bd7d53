import { quickly } from "./quickly.ts";
import { words } from "./targets.ts";

quickly(words);
