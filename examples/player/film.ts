/** A ball on its way across the screen and back. */
function picture(number: number): string {
  const column = Math.abs(((number + 24) % 48) - 24);
  return `|${" ".repeat(column)}o${" ".repeat(24 - column)}|`;
}

/** These were damaged on their way here. */
const damaged: readonly number[] = [5, 25];

/** 20 of them make a second. */
export const frames: readonly string[] = Array.from({ length: 200 }, (_, number) =>
  damaged.includes(number) ? "�" : btoa(picture(number)),
);

export const chapters = [{ start: 0 }, { start: 80 }, { start: 160 }] as const;
