"use host";

export async function add(a: number, b: number): Promise<number> {
  return a + b;
}
