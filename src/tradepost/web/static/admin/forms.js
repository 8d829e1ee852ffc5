// Fields with labels and their errors, and the dialog that asks before anything is changed.

import { freshKey } from "./api.js";
import { h, report } from "./dom.js";

let numbers = 0;

/** Make a labelled field. `type` is that of an input, or `select` with `options` [value, label], `area`, `check`. */
export function field({ name, label, type = "text", value = "", options = [], hint, ...rest }) {
  numbers += 1;
  const id = `field-${numbers}`;
  const common = { id, name, "aria-describedby": `${id}-error${hint ? ` ${id}-hint` : ""}`, ...rest };
  let input;
  if (type === "select") {
    input = h("select", common, options.map(([one, text]) => h("option", { value: one, selected: one === value }, text)));
  } else if (type === "area") {
    input = h("textarea", { rows: 4, ...common }, value ?? "");
  } else if (type === "check") {
    input = h("input", { ...common, type: "checkbox", checked: Boolean(value) });
  } else {
    input = h("input", { ...common, type, value: value ?? "" });
  }
  return h(
    "div",
    { class: `field ${type}` },
    h("label", { for: id }, label),
    input,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
    h("p", { class: "error", id: `${id}-error`, hidden: true }),
  );
}

/** Read the fields of a form: text, and true or false of a box. */
export function valuesOf(form) {
  const inputs = [...form.elements].filter((input) => input.name);
  return Object.fromEntries(inputs.map((input) => [input.name, input.type === "checkbox" ? input.checked : input.value]));
}

/** Show what the API has against each field, and the rest above them; put the cursor where to begin. */
export function complain(form, problem) {
  const general = form.querySelector(".problem");
  const unplaced = [];
  let first = null;
  clear(form);
  for (const [name, messages] of problem.fields ?? []) {
    const input = form.elements.namedItem(name);
    if (input) {
      const error = document.getElementById(`${input.id}-error`);
      error.textContent = messages.join(". ");
      error.hidden = false;
      input.setAttribute("aria-invalid", "true");
      first ??= input;
    } else {
      unplaced.push(`${name}: ${messages.join(". ")}`);
    }
  }
  general.textContent = first && !unplaced.length ? "Please look at what is marked." : [problem.words, ...unplaced].join(" ");
  general.hidden = false;
  (first ?? general).focus();
}

function clear(form) {
  for (const error of form.querySelectorAll(".error, .problem")) {
    error.hidden = true;
  }
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
  }
}

/** Where a form says what is wrong with all of it. */
export function problemLine() {
  return h("p", { class: "problem", role: "alert", tabindex: "-1", hidden: true });
}

/** Have a form send its values by `run` while nobody can press again; what it throws is shown. */
export function submits(form, run) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = form.querySelectorAll("button");
    buttons.forEach((button) => (button.disabled = true));
    form.setAttribute("aria-busy", "true");
    try {
      clear(form);
      await run(valuesOf(form));
    } catch (problem) {
      if (!("fields" in problem)) {
        throw problem;
      }
      complain(form, problem);
    } finally {
      form.removeAttribute("aria-busy");
      buttons.forEach((button) => (button.disabled = false));
    }
  });
}

/** Ask before an act, with the fields it takes, and carry it out: `run(values, key)`; then say `done` and call `after`. */
export function confirmAct({ title, text, fields = [], confirm, danger = false, run, done, after }) {
  const key = freshKey();
  const asked = document.activeElement;
  const cancel = h("button", { type: "button", class: "cancel" }, "Cancel");
  const form = h(
    "form",
    { novalidate: true },
    h("h2", { id: "dialog-title" }, title),
    text && h("p", {}, text),
    problemLine(),
    fields.map(field),
    h("p", { class: "buttons" }, cancel, h("button", { type: "submit", class: danger ? "danger" : "do" }, confirm ?? title)),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    asked?.focus?.();
  });
  submits(form, async (values) => {
    const answer = await run(values, key);
    dialog.close();
    report(done ?? answer?.message ?? "Done");
    after?.(answer);
  });
  document.getElementById("dialogs").append(dialog);
  dialog.showModal();
  (form.querySelector("input, select, textarea") ?? cancel).focus();
}

/** Show what `load` brings, `{title, content, after}`, in a dialog; or what the API has against it. */
export async function showDialog(load) {
  const asked = document.activeElement;
  let shown;
  try {
    shown = await load();
  } catch (problem) {
    if (!("fields" in problem)) {
      throw problem;
    }
    shown = { title: "That did not work", content: h("p", { class: "problem", role: "alert" }, problem.words) };
  }
  const close = h("button", { type: "button", class: "cancel" }, "Close");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, shown.title),
    shown.content,
    h("p", { class: "buttons" }, close),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    shown.after?.();
    asked?.focus?.();
  });
  document.getElementById("dialogs").append(dialog);
  dialog.showModal();
  close.focus();
}

/** A button that opens such a dialog; `act` is made when it is pressed. */
export function actButton(label, act, { danger = false, name, about } = {}) {
  // Of many buttons that say the same, those who hear them are told what each is about.
  const spoken = about && `${label} ${about}`;
  const attributes = {
    type: "button",
    class: danger ? "act danger" : "act",
    "data-act": name ?? label.toLowerCase(),
    "aria-label": spoken,
    onclick: () => confirmAct({ title: label, danger, ...act() }),
  };
  return h("button", attributes, label);
}
