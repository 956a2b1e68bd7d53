import { quickly } from "./quickly.ts";
import { rows } from "./targets.ts";

quickly(rows);
