"use strict";

const note = document.getElementById("note");
const use = document.getElementById("use");
const ask = document.getElementById("ask");
let token = null;

// Taken out of the address bar and the history, where somebody else could find it later.
function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname);
  return found;
}

function begin() {
  token = takeToken();
  use.hidden = !token;
  ask.hidden = Boolean(token);
}

function say(kind, ...lines) {
  note.className = `note ${kind}`;
  if (lines.length === 1) {
    note.textContent = lines[0];
  } else {
    const list = document.createElement("ul");
    for (const line of lines) {
      list.appendChild(document.createElement("li")).textContent = line;
    }
    note.replaceChildren(list);
  }
  note.focus();
}

async function post(form, body) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => (button.disabled = true));
  try {
    const response = await fetch(document.body.dataset.api + form.dataset.post, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
    return { status: response.status, answer: await response.json() };
  } catch {
    return { status: 0, answer: {} };
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

function complain({ status, answer }) {
  if (status === 422) {
    say("bad", ...answer.errors.map((error) => error.message));
  } else if (status === 429) {
    say("bad", "That was tried too often. Please wait a while.");
  } else if (status === 400) {
    say("bad", `${answer.detail}. You can have another one sent.`);
    use.hidden = true;
    ask.hidden = false;
  } else {
    say("bad", "That did not work just now. Please try again in a moment.");
  }
}

use.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { token };
  const password = document.getElementById("new_password");
  if (password) {
    if (password.value !== document.getElementById("again").value) {
      say("bad", "The two passwords differ.");
      return;
    }
    body.new_password = password.value;
  }
  const result = await post(use, body);
  if (result.status === 200) {
    use.hidden = true;
    use.reset();
    say("good", use.dataset.done);
  } else {
    complain(result);
  }
});

ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  const result = await post(ask, { email: document.getElementById("email").value });
  if (result.status === 202) {
    ask.hidden = true;
    say("good", `${result.answer.message}.`);
  } else {
    complain(result);
  }
});

document.getElementById("show")?.addEventListener("change", (event) => {
  for (const id of ["new_password", "again"]) {
    document.getElementById(id).type = event.target.checked ? "text" : "password";
  }
});

// A link pasted into the tab that shows the page already changes the fragment alone, and loads nothing.
window.addEventListener("hashchange", () => {
  if (location.hash.length > 1) {
    note.className = "note";
    note.replaceChildren();
    begin();
  }
});

begin();
