import { quickly } from "./quickly.ts";
import { values } from "./targets.ts";

quickly(values);
