import { Saga, sleep } from "perdure";
import { book, cancelBooking, pay, sendTickets } from "./agencies.ts";

export default async function trip(traveller: string) {
  return await Saga.run(async (saga) => {
    const bookings: string[] = [];
    let total = 0;

    for (const what of ["flight", "hotel", "train"]) {
      const { reference, price } = await saga.step(
        () => book(what, traveller),
        (booking) => cancelBooking(booking.reference),
      );
      bookings.push(reference);
      total += price;
      console.log(`${what} booked: ${reference}, total ${total} €`);
    }

    console.log("six seconds to change one's mind: perdure cancel, and all is undone ...");
    await sleep("6s");

    const receipt = await pay(traveller, total);
    console.log(`${total} € paid for ${bookings.length} bookings, receipt ${receipt}`);

    await sendTickets(traveller, bookings);
    return { traveller, bookings, total, receipt };
  });
}
