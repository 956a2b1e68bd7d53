// An order, from its reservation to its parcel; and if it comes to nothing, all that was done for it is undone, in reverse. That is a
// saga elsewhere. Here it is try, catch and finally, for a catch that is reached is run, whatever happens to the machine.
//
//   perdure run examples/order/app.ts default order-7 4200 --id order-7
//   perdure send order-7 '{"approved": true}'        or false
//   perdure cancel order-7                           the same way out

import { receive, sleep } from "perdure";
import { charge, refund, release, reserve, ship } from "./warehouse.ts";

interface Approval {
  approved: boolean;
}

export default async function order(id: string, cents: number, patience = "3 days") {
  const shelf = await reserve(id);
  try {
    const receipt = await charge(id, cents);
    console.log(`${id}: charged, receipt ${receipt}`);
    try {
      const { approved } = await receive<Approval>();
      if (!approved) throw new Error("declined");

      console.log(`${id}: approved, to be shipped in ${patience}`);
      await sleep(patience);
      return { id, state: "shipped", parcel: await ship(id, receipt) };
    } catch (error) {
      await refund(receipt);
      console.log(`${id}: refunded, receipt ${receipt}`);
      throw error;
    }
  } catch (error) {
    return { id, state: "undone", because: (error as Error).message };
  } finally {
    await release(shelf);
    console.log(`${id}: shelf ${shelf} is free again`);
  }
}
