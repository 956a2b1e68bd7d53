"use host";
/** What the programs of a run call outside. Nobody ever calls these: the simulated runner answers in their place. */

const absent = (): never => {
  throw new Error("In a simulation there is no host.");
};

export async function atLeastOnce(_site: number, _occurrence: number): Promise<string> {
  return absent();
}

export async function atMostOnce(_site: number, _occurrence: number): Promise<string> {
  return absent();
}

export async function reconciled(_site: number, _occurrence: number): Promise<string> {
  return absent();
}

export async function transactional(_site: number, _occurrence: number): Promise<string> {
  return absent();
}

export async function keyed(_site: number, _occurrence: number): Promise<string> {
  return absent();
}

export async function rare(_site: number, _occurrence: number): Promise<string> {
  return absent();
}
