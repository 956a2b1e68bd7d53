import { quickly } from "./quickly.ts";
import { files } from "./targets.ts";

quickly(files);
