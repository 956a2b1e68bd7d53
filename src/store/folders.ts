/** Folders that keep what is put into them. */
import { open } from "node:fs/promises";

/** What systems say that cannot sync folders, and need not. */
const cannotSync: ReadonlySet<unknown> = new Set(["EBADF", "EINVAL", "EISDIR", "ENOTSUP", "EPERM"]);

/** The name of a new file is the folder's to keep. Some systems cannot open folders. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  try {
    await handle?.sync();
  } catch (error) {
    if (!cannotSync.has((error as NodeJS.ErrnoException).code)) throw error;
  } finally {
    await handle?.close();
  }
}
