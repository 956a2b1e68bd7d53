"use host"; // runs in Node; each call from a program is an operation
import { idempotencyKey } from "perdure/host";

async function ask<T>(step: string, body: unknown): Promise<T> {
  const response = await fetch(`${process.env["AGENCIES_URL"]}/${step}`, {
    method: "POST",
    headers: { "idempotency-key": idempotencyKey() },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${step}: the agency answers ${response.status}`);
  return (await response.json()) as T;
}

export async function book(what: string, traveller: string) {
  return await ask<{ reference: string; price: number }>(what, { traveller });
}

export async function cancelBooking(reference: string) {
  return await ask<null>("cancel", { reference });
}

export async function pay(traveller: string, total: number) {
  return await ask<string>("payment", { traveller, total });
}

export async function sendTickets(traveller: string, bookings: string[]) {
  return await ask<null>("tickets", { traveller, bookings });
}
