// What goes on behind: messages on their way, and the audit trail.

import { ask } from "./api.js";
import { facts, h, link, mark, moment, pageOf, reload, whole } from "./dom.js";
import { actButton } from "./forms.js";

const ANY = ["", "any"];
const KINDS = { pending: "dull", done: "good", dead: "bad" };
const json = (value) => h("pre", {}, JSON.stringify(value, null, 1));

const CHOICE = [
  { name: "channel", label: "Channel", hint: "Empty: of every one" },
  { name: "type", label: "Fact", hint: "Empty: every one" },
];

const chosen = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim()));
const counted = (what) => (answer) => ({ message: `${answer.number} messages are ${what}` });

export const messages = {
  name: "messages",
  title: "Messages",
  admins: true,
  path: "/admin/messages/",
  rows: "messages",
  sort: "-created_at",
  filters: [
    { name: "state", label: "State", options: [ANY, ["pending", "pending"], ["dead", "dead"], ["done", "done"]] },
    { name: "channel", label: "Channel" },
    { name: "type", label: "Fact", hint: "Such as items.created.v1" },
  ],
  columns: [
    { label: "Fact", show: (message) => link(`messages/${message.id}`, message.type) },
    { label: "To", show: (message) => `${message.subscription} (${message.channel})` },
    { label: "State", show: (message) => mark(message.state, KINDS[message.state] ?? "dull") },
    { label: "Tries", number: true, show: (message) => String(message.attempts) },
    { label: "Stored", sort: "created_at", show: (message) => moment(message.created_at) },
    { label: "Error", show: (message) => message.error },
  ],
  acts: () => [
    actButton("Retry dead ones", () => ({
      text: "Messages that were given up are delivered after all, the oldest first: a thousand at once.",
      fields: CHOICE,
      run: (values, key) => ask("POST", "/admin/messages/retry", { json: chosen(values), key }).then(counted("on their way again")),
      after: reload,
    })),
    actButton(
      "Purge dead ones",
      () => ({
        text: "Nobody will ever get them. A thousand go at once.",
        fields: CHOICE,
        run: (values, key) => ask("POST", "/admin/messages/purge", { json: chosen(values), key }).then(counted("purged")),
        after: reload,
      }),
      { danger: true },
    ),
  ],
  detail: showMessage,
};

async function showMessage(place, id) {
  const message = await ask("GET", `/admin/messages/${id}`);
  const path = `/admin/messages/${message.id}`;
  const acts =
    message.state === "dead"
      ? [
          actButton("Retry", () => ({
            text: "It is delivered after all, at once, and tried for three days.",
            run: (_, key) => ask("POST", `${path}/retry`, { key }),
            done: "The message is on its way again",
            after: reload,
          })),
          actButton(
            "Purge",
            () => ({
              text: "Nobody will ever get it.",
              run: () => ask("DELETE", path),
              after: () => (location.hash = pageOf("messages", { state: "dead" })),
            }),
            { danger: true },
          ),
        ]
      : [];
  place.replaceChildren(
    h("p", { class: "back" }, link("messages", "Messages")),
    h("h1", { tabindex: "-1" }, message.type),
    h("div", { class: "acts" }, acts),
    facts([
      ["Number", String(message.id)],
      ["Subscriber", message.subscription],
      ["Channel", message.channel],
      ["State", mark(message.state, KINDS[message.state] ?? "dull")],
      ["Under way", message.is_under_way ? "yes" : "no"],
      ["Tries", String(message.attempts)],
      ["Stored", moment(message.created_at)],
      ["Due", moment(message.due_at)],
      ["Given up at the latest", moment(message.expires_at)],
      ["Settled", moment(message.settled_at)],
    ]),
    h("h2", {}, "What it says"),
    json(message.payload),
    ...(message.error ? [h("h2", {}, "Why the last try failed"), h("pre", {}, message.error)] : []),
  );
}

const PAGES = { user: "people", item: "items", event: "events", message: "messages", webhook: "webhooks" };

function target(line) {
  if (!line.target_type) {
    return "–";
  }
  const words = `${line.target_type}${line.target_id === null ? "" : ` ${line.target_id}`}`;
  const page = PAGES[line.target_type];
  return page && line.target_id !== null ? link(`${page}/${line.target_id}`, words) : words;
}

export const audit = {
  name: "audit",
  title: "Audit",
  admins: true,
  path: "/audit",
  rows: "lines",
  filters: [
    { name: "action", label: "Action", hint: "Such as auth.login" },
    { name: "actor_id", label: "By number", inputmode: "numeric" },
    { name: "target_type", label: "What was acted on", hint: "Such as user or item" },
    { name: "target_id", label: "Its number", inputmode: "numeric" },
  ],
  columns: [
    { label: "When", show: (line) => moment(line.at) },
    { label: "Action", show: (line) => line.action },
    {
      label: "By",
      show: (line) =>
        line.actor_id === null ? line.actor_kind : h("span", {}, link(`people/${line.actor_id}`, `${line.actor_kind} ${line.actor_id}`)),
    },
    { label: "On", show: target },
    { label: "From", show: (line) => whole(line.ip) },
    { label: "Details", show: (line) => (Object.keys(line.details).length ? h("code", {}, JSON.stringify(line.details)) : "–") },
  ],
};
