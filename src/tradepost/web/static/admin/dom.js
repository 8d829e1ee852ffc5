// Elements are made by calls and text is only ever text: there is no HTML in strings for anybody to put theirs into.

const pad = (number) => String(number).padStart(2, "0");

/** Make an element: attributes, `on…` listeners, and children that are nodes or text; what is null or false is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Tell people who cannot see the page what has happened; the same words again are said again. */
export function announce(words) {
  const said = document.getElementById("said");
  said.textContent = "";
  setTimeout(() => (said.textContent = words), 50);
}

let reported = 0;

/** Say to everybody what an act has brought; it stays until somebody goes on. */
export function report(words) {
  const outcome = document.getElementById("outcome");
  outcome.textContent = words;
  reported = Date.now();
}

/** Take away what an act has brought, unless that was only just now: an act may lead to another page itself. */
export function forgetReport() {
  if (Date.now() - reported > 1000) {
    document.getElementById("outcome").textContent = "";
  }
}

/** Show a moment of the API in the clock of whoever looks. */
export function moment(text) {
  if (!text) {
    return "–";
  }
  const at = new Date(text);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return h("time", { datetime: text, title: text }, `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}`);
}

/** Show a number of bytes. */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let shown = number;
  while (shown >= 1024 && unit < units.length - 1) {
    shown /= 1024;
    unit += 1;
  }
  return `${unit && shown < 10 ? shown.toFixed(1) : Math.round(shown)} ${units[unit]}`;
}

/** Show what is read as one word, such as an address of a client: a table does not break it. */
export function whole(text) {
  return text && h("span", { class: "whole" }, text);
}

/** Show a word of the API, such as a status, as a mark; `kind` is `good`, `bad`, `dull`. */
export function mark(word, kind) {
  return h("span", { class: `mark ${kind}` }, word);
}

/** Show pairs of names and values. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))),
  );
}

/** Return the address of a page of the console. */
export function pageOf(path, query = {}) {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(known).toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

export function link(path, text, query) {
  return h("a", { href: pageOf(path, query) }, text);
}

/** Have what the address names shown anew, after something of it was changed. */
export function reload() {
  document.dispatchEvent(new Event("changed"));
}
