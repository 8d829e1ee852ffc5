// What programs are told, and whether they hear it.

import { ask } from "./api.js";
import { facts, h, link, mark, moment, reload } from "./dom.js";
import { actButton, showDialog } from "./forms.js";
import { innerList } from "./lists.js";

const KINDS = { pending: "dull", delivered: "good", failed: "bad", cancelled: "dull" };
const stateOf = (webhook) => (webhook.is_active ? mark("on", "good") : mark(`off: ${webhook.disabled_reason ?? "?"}`, "bad"));
const ownerOf = (webhook) => link(`people/${webhook.user_id}`, `person ${webhook.user_id}`);

export const webhooks = {
  name: "webhooks",
  title: "Webhooks",
  admins: true,
  path: "/admin/webhooks/",
  rows: "webhooks",
  filters: [
    { name: "user_id", label: "Owner's number", inputmode: "numeric" },
    { name: "is_active", label: "State", options: [["", "any"], ["true", "on"], ["false", "off"]] },
  ],
  columns: [
    { label: "Address", show: (webhook) => link(`webhooks/${webhook.id}`, webhook.url) },
    { label: "Owner", show: ownerOf },
    { label: "Facts", show: (webhook) => webhook.event_types.join(", ") },
    { label: "Whose", show: (webhook) => webhook.scope },
    { label: "State", show: stateOf },
    { label: "Failing since", show: (webhook) => moment(webhook.failing_since) },
  ],
  detail: showWebhook,
};

function laidOut(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

async function look(path, line) {
  const delivery = await ask("GET", `${path}/${line.id}`);
  return {
    title: `${delivery.event_type}, ${delivery.state}`,
    content: h(
      "div",
      {},
      h("h3", {}, "What was sent"),
      h("pre", { tabindex: "0" }, laidOut(delivery.body)),
      h("h3", {}, "What came back"),
      h("pre", { tabindex: "0" }, delivery.response_excerpt ?? delivery.error ?? "Nothing yet."),
    ),
  };
}

function actsOf(path, webhook, line) {
  const label = `Look at delivery ${line.id}`;
  const button = h("button", { type: "button", class: "act", "data-act": "look", "aria-label": label }, "Look");
  button.addEventListener("click", () => showDialog(() => look(path, line)));
  return h(
    "div",
    { class: "acts" },
    button,
    webhook.is_active &&
      actButton(
        "Send again",
        () => ({
          text: "The same message with the same id, as a new line of the log. A receiver may know it already.",
          run: (_, key) => ask("POST", `${path}/${line.id}/redeliver`, { key }),
          done: "It is on its way",
          after: reload,
        }),
        { about: `delivery ${line.id}` },
      ),
  );
}

async function showWebhook(place, id) {
  const webhook = await ask("GET", `/admin/webhooks/${id}`);
  const path = `/admin/webhooks/${id}/deliveries`;
  const log = await innerList({
    title: "What was sent",
    path: `${path}/`,
    rows: "deliveries",
    none: "Nothing in the last 30 days.",
    columns: [
      { label: "Fact", show: (line) => line.event_type },
      { label: "State", show: (line) => mark(line.state, KINDS[line.state]) },
      { label: "Tries", number: true, show: (line) => String(line.attempts) },
      { label: "Status", number: true, show: (line) => line.last_status && String(line.last_status) },
      { label: "Error", show: (line) => line.error },
      { label: "Since", show: (line) => moment(line.created_at) },
      { label: "Act", show: (line) => actsOf(path, webhook, line) },
    ],
  });
  place.replaceChildren(
    h("p", { class: "back" }, link("webhooks", "Webhooks")),
    h("h1", { tabindex: "-1" }, webhook.url),
    h("p", {}, webhook.description ?? ""),
    facts([
      ["Number", String(webhook.id)],
      ["Owner", ownerOf(webhook)],
      ["State", stateOf(webhook)],
      ["Facts", webhook.event_types.join(", ")],
      ["Whose", webhook.scope],
      ["Failing since", moment(webhook.failing_since)],
      ["Switched off", moment(webhook.disabled_at)],
      ["Made", moment(webhook.created_at)],
    ]),
    log,
  );
}
