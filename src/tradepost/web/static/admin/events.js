// Gatherings, and who comes.

import { ask } from "./api.js";
import { facts, h, link, mark, moment, pageOf, reload } from "./dom.js";
import { actButton } from "./forms.js";
import { innerList } from "./lists.js";

const kind = (event) => mark(event.status, event.status === "planned" ? "good" : "bad");
const organiser = (event) =>
  event.organiser ? link(`people/${event.organiser.id}`, event.organiser.full_name) : "nobody any more";

export const events = {
  name: "events",
  title: "Events",
  path: "/events/",
  rows: "events",
  sort: "start_date",
  // Without a beginning the API leaves out what is over.
  query: ({ over, ...asked }) => (over ? { ...asked, from: "1970-01-01T00:00:00Z" } : asked),
  filters: [
    { name: "q", label: "Words", hint: "Of title or description" },
    { name: "status", label: "Status", options: [["", "any"], ["planned", "planned"], ["cancelled", "cancelled"]] },
    { name: "over", label: "When", options: [["", "to come"], ["yes", "all"]] },
    { name: "organiser_id", label: "Organiser's number", inputmode: "numeric" },
  ],
  columns: [
    { label: "Title", show: (event) => link(`events/${event.id}`, event.title) },
    { label: "Begins", sort: "start_date", show: (event) => moment(event.start_date) },
    { label: "Status", show: kind },
    { label: "Organiser", show: organiser },
    { label: "Seats", number: true, show: (event) => `${event.participants_count} of ${event.max_participants}` },
    { label: "Waiting", number: true, show: (event) => String(event.waiting_count) },
  ],
  detail: showEvent,
};

async function showEvent(place, id) {
  const event = await ask("GET", `/events/${id}`);
  const path = `/events/${event.id}`;
  const seats = await innerList({
    title: "Who comes",
    path: `${path}/participants`,
    rows: "participants",
    none: "Nobody yet.",
    columns: [
      { label: "Person", show: ({ user }) => link(`people/${user.id}`, user.full_name) },
      { label: "Seat", show: (seat) => (seat.position ? `waits, ${seat.position}.` : seat.status) },
      { label: "Since", show: (seat) => moment(seat.joined_at) },
      {
        label: "Act",
        show: ({ user }) =>
          actButton(
            "Take out",
            () => ({
              title: `Take out ${user.full_name}`,
              text: "The first who waits gets the seat.",
              run: () => ask("DELETE", `${path}/participants/${user.id}`),
              after: reload,
            }),
            { danger: true, about: user.full_name },
          ),
      },
    ],
  });
  place.replaceChildren(
    h("p", { class: "back" }, link("events", "Events")),
    h("h1", { tabindex: "-1" }, event.title),
    h(
      "div",
      { class: "acts" },
      event.status === "planned" &&
        actButton(
          "Cancel event",
          () => ({
            text: "Everybody who has a seat or waits is told.",
            run: (_, key) => ask("POST", `${path}/cancel`, { key }),
            done: "The event is cancelled",
            after: reload,
          }),
          { danger: true },
        ),
      actButton(
        "Delete",
        () => ({
          text: "Only an event that nobody has joined can be deleted; cancel any other.",
          run: () => ask("DELETE", path),
          after: () => (location.hash = pageOf("events")),
        }),
        { danger: true },
      ),
    ),
    facts([
      ["Number", String(event.id)],
      ["Status", kind(event)],
      ["Organiser", organiser(event)],
      ["Begins", moment(event.start_date)],
      ["Ends", moment(event.end_date)],
      ["Time zone", event.time_zone],
      ["Seats", `${event.participants_count} of ${event.max_participants}`],
      ["Waiting", String(event.waiting_count)],
    ]),
    h("p", {}, event.description),
    seats,
  );
}
