// Lists: filters, orders and pages, all in the address, so that Back goes to the page before and a page can be shared.

import { ask } from "./api.js";
import { announce, h, pageOf } from "./dom.js";
import { field, valuesOf } from "./forms.js";

const SIZES = [25, 50, 100];

function cellsOf(columns, row) {
  return columns.map(({ label, show, number }) =>
    h("td", { role: "cell", "data-label": label, class: number ? "number" : null }, h("span", { class: "cell" }, show(row) ?? "–")),
  );
}

function heading(section, column, query) {
  if (!column.sort) {
    return h("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.label);
  }
  const current = query.sort ?? section.sort;
  const direction = { [column.sort]: "ascending", [`-${column.sort}`]: "descending" }[current] ?? "none";
  const next = direction === "ascending" ? `-${column.sort}` : column.sort;
  const arrow = { ascending: "▲", descending: "▼", none: "" }[direction];
  const target = pageOf(section.name, { ...query, sort: next, cursor: undefined });
  return h(
    "th",
    { scope: "col", role: "columnheader", "aria-sort": direction, class: column.number ? "number" : null },
    h("a", { href: target }, column.label, h("span", { "aria-hidden": "true" }, ` ${arrow}`)),
  );
}

const plainHead = (columns) =>
  columns.map(({ label, number }) => h("th", { scope: "col", role: "columnheader", class: number ? "number" : null }, label));

const bodyRow = (columns, row) => h("tr", { role: "row", "data-id": row.id ?? null }, cellsOf(columns, row));

/** A table; on a narrow screen each row becomes a card, whose lines say what they are. Roles say that it is a table still. */
function tableOf({ caption, head, body }) {
  return h(
    "table",
    { role: "table" },
    h("caption", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    body,
  );
}

function filtersOf(section, query) {
  const fields = section.filters.map((filter) =>
    field({ type: filter.options ? "select" : "text", ...filter, value: query[filter.name] ?? "" }),
  );
  const size = field({
    name: "limit",
    label: "Rows",
    type: "select",
    value: query.limit ?? String(SIZES[0]),
    options: SIZES.map((number) => [String(number), String(number)]),
  });
  const form = h(
    "form",
    { role: "search", class: "filters", novalidate: true },
    fields,
    size,
    h("button", { type: "submit" }, "Show"),
    h("a", { class: "button", href: pageOf(section.name) }, "Clear"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = pageOf(section.name, { ...valuesOf(form), sort: query.sort });
  });
  form.addEventListener("change", (event) => event.target.tagName === "SELECT" && form.requestSubmit());
  return form;
}

function pagerOf(section, query, page) {
  const next = page.next_cursor && pageOf(section.name, { ...query, cursor: page.next_cursor });
  const first = query.cursor && pageOf(section.name, { ...query, cursor: undefined });
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    first && h("a", { class: "button", href: first }, "First page"),
    next && h("a", { class: "button", rel: "next", href: next }, "Next page"),
  );
}

/** Show the list of a section as its address asks for it. */
export async function showList(place, section, query) {
  const table = h("div", { class: "table", "aria-busy": "true" }, h("p", { class: "wait" }, "One moment …"));
  const count = h("p", { class: "count" });
  place.replaceChildren(
    h("h1", { tabindex: "-1" }, section.title),
    h("div", { class: "acts" }, section.acts?.() ?? []),
    ...(section.filters ? [filtersOf(section, query)] : []),
    count,
    table,
  );
  // Guessed, not counted: of a million rows that a filter leaves, counting takes longer than showing.
  const total = query.cursor ? undefined : "estimated";
  const asked = { limit: SIZES[0], total, ...section.always, ...query };
  const page = await ask("GET", section.path, { query: section.query?.(asked) ?? asked });
  const rows = page[section.rows];
  const all = page.next_cursor && page.total ? ` of about ${page.total}` : "";
  count.textContent = rows.length ? `${rows.length}${all} shown` : "Nothing is found.";
  const columns = section.columns;
  table.replaceChildren(
    ...(rows.length
      ? [
          tableOf({
            caption: section.title,
            head: columns.map((each) => heading(section, each, query)),
            body: h("tbody", { role: "rowgroup" }, rows.map((row) => bodyRow(columns, row))),
          }),
        ]
      : []),
    pagerOf(section, query, page),
  );
  table.removeAttribute("aria-busy");
  announce(`${section.title}: ${count.textContent}`);
}

/** A list within a page, which goes on at the press of a button: `path`, `rows` and `columns` as of a section. */
export async function innerList({ title, path, rows: key, columns, query = {}, none = "None." }) {
  const place = h("section", { class: "inner" }, h("h2", {}, title));
  const body = h("tbody", { role: "rowgroup" });
  let cursor;
  const more = h("button", { type: "button" }, "More");
  const load = async () => {
    const page = await ask("GET", path, { query: { limit: 25, total: cursor ? undefined : "false", cursor, ...query } });
    body.append(...page[key].map((row) => bodyRow(columns, row)));
    cursor = page.next_cursor;
    more.hidden = !cursor;
  };
  await load();
  more.addEventListener("click", load);
  if (body.children.length) {
    place.append(h("div", { class: "table" }, tableOf({ caption: title, head: plainHead(columns), body })), more);
  } else {
    place.append(h("p", {}, none));
  }
  return place;
}
