// Runs in a sandbox, durably:
//
//   perdure run examples/order/app.ts default order-7 4200 --id order-7
//   perdure send order-7 '{"approved": true}'

import { receive, sleep } from "perdure";
import { charge, ship } from "./warehouse.ts";

interface Approval {
  approved: boolean;
}

export default async function order(id: string, cents: number, patience = "3 days") {
  const receipt = await charge(id, cents);
  console.log(`${id}: charged, receipt ${receipt}`);

  const { approved } = await receive<Approval>();
  if (!approved) return { id, state: "declined" };

  console.log(`${id}: approved, to be shipped in ${patience}`);
  await sleep(patience);
  const parcel = await ship(id, receipt);
  return { id, state: "shipped", parcel };
}
