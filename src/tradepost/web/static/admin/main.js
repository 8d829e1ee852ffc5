// The shell: who is logged in, which section the address names, and what is shown for it.

import { ask, isLoggedIn, logOut } from "./api.js";
import { announce, forgetReport, h, pageOf, report } from "./dom.js";
import { events } from "./events.js";
import { files } from "./files.js";
import { categories, items, tags } from "./goods.js";
import { showList } from "./lists.js";
import { showEnrolment, showLogIn } from "./login.js";
import { audit, messages } from "./operations.js";
import { people } from "./people.js";
import { webhooks } from "./webhooks.js";

const SECTIONS = [people, items, tags, categories, events, files, messages, webhooks, audit];
const place = document.getElementById("content");
const nav = document.getElementById("sections");
const project = document.body.dataset.project;

let me = null;
let turn = 0;

/** Return the sections that somebody may see. */
function mine() {
  return SECTIONS.filter((section) => !section.admins || me.role === "admin");
}

function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  return { name, id, query: Object.fromEntries(new URLSearchParams(query)) };
}

function drawNav(current) {
  nav.replaceChildren(
    h(
      "ul",
      {},
      mine().map(({ name, title }) =>
        h("li", {}, h("a", { href: pageOf(name), "aria-current": name === current ? "page" : null }, title)),
      ),
    ),
  );
}

function showProblem(problem) {
  place.replaceChildren(
    h("h1", { tabindex: "-1" }, "That did not work"),
    h("p", { class: "problem", role: "alert" }, problem.words ?? String(problem)),
    ...[...(problem.fields ?? [])].map(([name, messages]) => h("p", {}, `${name}: ${messages.join(". ")}`)),
    h("p", {}, h("button", { type: "button", onclick: show }, "Try again")),
  );
  announce(problem.message);
}

/** Show what the address names, anew. What an earlier call brings too late is not shown. */
async function show() {
  if (!me) {
    return;
  }
  turn += 1;
  const now = turn;
  const { name, id, query } = address();
  const section = mine().find((each) => each.name === name) ?? mine()[0];
  if (section.name !== name) {
    location.replace(pageOf(section.name));
    return;
  }
  drawNav(name);
  document.title = `${section.title} – ${project} console`;
  const part = h("div");
  place.replaceChildren(part);
  try {
    if (id && section.detail) {
      await section.detail(part, id, me);
    } else {
      await (section.list?.(part, query, me) ?? showList(part, section, query));
    }
  } catch (problem) {
    if (now === turn && problem.status !== 401) {
      showProblem(problem);
    }
    if (!("fields" in problem)) {
      throw problem;
    }
  }
}

async function enter() {
  try {
    me = await ask("GET", "/users/me");
  } catch (problem) {
    if (problem.code === "SECOND_FACTOR_NEEDED") {
      await showEnrolment(place, enter);
      return;
    }
    if (problem.status !== 401) {
      showProblem(problem);
    }
    return;
  }
  if (me.role === "user") {
    me = null;
    await logOut();
    leave("This account is not one of staff.");
    return;
  }
  document.getElementById("top").hidden = false;
  document.getElementById("me").textContent = `${me.email} (${me.role})`;
  await show();
  place.querySelector("h1")?.focus();
}

function leave(words) {
  me = null;
  turn += 1;
  document.getElementById("top").hidden = true;
  document.getElementById("dialogs").replaceChildren();
  report("");
  document.title = `Log in – ${project} console`;
  showLogIn(place, enter, words);
}

document.getElementById("log-out").addEventListener("click", async () => {
  try {
    await logOut();
    leave("You are logged out.");
  } catch (problem) {
    leave(`You are logged out here; the server did not hear of it: ${problem.words}`);
  }
});
document.addEventListener("changed", show);
document.addEventListener("logged-out", () => me && leave("Your log-in has ended. Log in again."));
window.addEventListener("hashchange", async () => {
  forgetReport();
  await show();
  place.querySelector("h1")?.focus();
});

if (isLoggedIn()) {
  await enter();
}
if (!me && !place.querySelector("form, .problem")) {
  leave();
}
