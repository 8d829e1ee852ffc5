// People: finding them, what they have, and what staff may do about it.

import { ask } from "./api.js";
import { bytes, facts, h, link, mark, moment, pageOf, reload, whole } from "./dom.js";
import { actButton } from "./forms.js";
import { innerList } from "./lists.js";

const ROLES = ["user", "moderator", "admin"].map((role) => [role, role]);
const ANY = ["", "any"];

export const people = {
  name: "people",
  title: "People",
  path: "/users/",
  rows: "users",
  sort: "created_at",
  filters: [
    { name: "q", label: "Begins with", hint: "Address, first or last name, or the number" },
    { name: "role", label: "Role", options: [ANY, ...ROLES] },
    { name: "is_active", label: "State", options: [ANY, ["true", "active"], ["false", "switched off"]] },
  ],
  columns: [
    { label: "Address", sort: "email", show: (user) => link(`people/${user.id}`, user.email) },
    { label: "First name", sort: "first_name", show: (user) => user.first_name },
    { label: "Last name", sort: "last_name", show: (user) => user.last_name },
    { label: "Role", show: (user) => mark(user.role, user.role === "user" ? "dull" : "good") },
    { label: "State", show: (user) => (user.is_active ? mark("active", "good") : mark("off", "bad")) },
    { label: "Since", sort: "created_at", show: (user) => moment(user.created_at) },
  ],
  detail: showPerson,
};

function actsOf(user, me, factor) {
  const path = `/users/${user.id}`;
  const change = (json) => () => ask("PUT", path, { json });
  const acts = [
    actButton("Change role", () => ({
      text: `${user.email} is ${user.role}. A new role counts from the next request on.`,
      fields: [{ name: "role", label: "Role", type: "select", value: user.role, options: ROLES }],
      run: ({ role }) => ask("PUT", path, { json: { role } }),
      done: "The role was changed",
      after: reload,
    })),
    user.is_active
      ? actButton(
          "Switch off",
          () => ({
            text: `${user.email} is logged out everywhere and cannot log in. API keys are deleted, and do not come back.`,
            run: change({ is_active: false }),
            done: "The account is switched off",
            after: reload,
          }),
          { danger: true },
        )
      : actButton("Switch on", () => ({
          text: `${user.email} can log in again.`,
          run: change({ is_active: true }),
          done: "The account is switched on",
          after: reload,
        })),
    actButton("Send a reset", () => ({
      text: `A link for a new password is sent to ${user.email}.`,
      run: (_, key) => ask("POST", `${path}/password-reset`, { key }),
    })),
  ];
  if (user.id !== me.id) {
    acts.push(
      actButton(
        user.email_verified ? "Take for not proved" : "Take for proved",
        () => ({
          text: user.email_verified
            ? `${user.email} has to prove the address again.`
            : `You say that ${user.email} is this person's address. Say it only of somebody whom you know.`,
          run: change({ email_verified: !user.email_verified }),
          done: "That was noted",
          after: reload,
        }),
        { name: "verified" },
      ),
      factor.enabled &&
        actButton(
          "Remove second factor",
          () => ({
            text: `The password alone lets ${user.email} in afterwards, who is told by e-mail. Make sure who is asking.`,
            run: () => ask("DELETE", `${path}/totp`),
            after: reload,
          }),
          { danger: true, name: "totp" },
        ),
      actButton(
        "Delete",
        () => ({
          text: `${user.email} goes with all items, files, seats and keys. Nothing brings them back.`,
          run: () => ask("DELETE", path),
          after: () => (location.hash = pageOf("people")),
        }),
        { danger: true },
      ),
    );
  }
  return acts.filter(Boolean);
}

function profileOf(user, usage, factor) {
  const quota = `${usage.files} of ${usage.quota_files} files, ${bytes(usage.bytes)} of ${bytes(usage.quota_bytes)}`;
  return facts([
    ["Number", String(user.id)],
    ["Role", user.role],
    ["State", user.is_active ? "active" : "switched off"],
    ["Address proved", user.email_verified ? "yes" : "no"],
    factor && ["Second factor", factor.enabled ? `yes, ${factor.recovery_codes_left} recovery codes left` : "no"],
    ["Phone", user.phone],
    ["Website", user.website && h("a", { href: user.website, rel: "noopener noreferrer" }, user.website)],
    ["Files", quota],
    ["Since", moment(user.created_at)],
    ["Changed", moment(user.updated_at)],
  ]);
}

function sessionsOf(user) {
  const path = `/users/${user.id}/sessions`;
  const end = (session) =>
    actButton(
      "End",
      () => ({
        title: "End this log-in",
        text: session.current ? "This is the one that you are using." : `Of ${user.email}, from ${session.ip_address ?? "somewhere"}.`,
        run: () => ask("DELETE", `${path}/${session.id}`),
        after: reload,
      }),
      { danger: true, name: "end-session", about: `log-in ${session.id}` },
    );
  return innerList({
    title: "Log-ins",
    path,
    rows: "sessions",
    columns: [
      { label: "Opened", show: (session) => moment(session.created_at) },
      { label: "From", show: (session) => whole(session.ip_address) },
      { label: "Client", show: (session) => session.user_agent },
      { label: "Ends", show: (session) => moment(session.expires_at) },
      { label: "Act", show: end },
    ],
  });
}

function keysOf(user) {
  const path = `/users/${user.id}/api-keys`;
  const revoke = (key) =>
    actButton(
      "Revoke",
      () => ({
        title: "Revoke this key",
        text: `The next request that shows ${key.name} (tp_${key.prefix}) is refused.`,
        run: () => ask("DELETE", `${path}/${key.id}`),
        after: reload,
      }),
      { danger: true, name: "revoke-key", about: key.name },
    );
  return innerList({
    title: "API keys",
    path,
    rows: "api_keys",
    columns: [
      { label: "Name", show: (key) => key.name },
      { label: "Prefix", show: (key) => h("code", {}, `tp_${key.prefix}`) },
      { label: "May", show: (key) => key.permissions.join(", ") },
      { label: "Last used", show: (key) => moment(key.last_used_at) },
      { label: "Act", show: revoke },
    ],
  });
}

async function showPerson(place, id, me) {
  const user = await ask("GET", `/users/${id}`);
  const isAdmin = me.role === "admin";
  const [usage, factor, ...lists] = await Promise.all([
    ask("GET", `/upload/usage/${id}`),
    ...(isAdmin ? [ask("GET", `/users/${id}/totp`), sessionsOf(user), keysOf(user)] : []),
  ]);
  place.replaceChildren(
    h("p", { class: "back" }, link("people", "People")),
    h("h1", { tabindex: "-1" }, user.full_name),
    h("p", {}, user.email),
    h("div", { class: "acts" }, isAdmin ? actsOf(user, me, factor) : []),
    profileOf(user, usage, factor),
    h(
      "p",
      { class: "links" },
      link("items", "Items", { owner_id: id }),
      link("events", "Events", { organiser_id: id }),
      link("files", "Files", { owner_id: id }),
      isAdmin && link("webhooks", "Webhooks", { user_id: id }),
      isAdmin && link("audit", "What was done to this account", { target_type: "user", target_id: id }),
      isAdmin && link("audit", "What this person did", { actor_id: id }),
    ),
    ...lists,
    ...(isAdmin && lists.length
      ? [
          actButton(
            "End all log-ins",
            () => ({
              text: `${user.email} is logged out everywhere. API keys stay.`,
              run: () => ask("DELETE", `/users/${user.id}/sessions`),
              after: reload,
            }),
            { danger: true, name: "end-sessions" },
          ),
        ]
      : []),
  );
}
