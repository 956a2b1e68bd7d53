/** What anyone may read of a migration. */
export interface MigrationReader {
  /** Where the store was moved to, or is being moved: nothing runs here any more. */
  movedTo(): Promise<string | undefined>;
}
