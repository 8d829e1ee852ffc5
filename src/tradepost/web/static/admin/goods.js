// What is for sale, and the words and the tree it is found by.

import { ask } from "./api.js";
import { facts, h, link, mark, moment, pageOf, reload } from "./dom.js";
import { pictureOf } from "./files.js";
import { actButton } from "./forms.js";

const ANY = ["", "any"];
const STATES = ["active", "inactive", "draft"];
const KINDS = { active: "good", inactive: "bad", draft: "dull" };
const money = (number) => (number === null ? "–" : number.toFixed(2));
const ownerOf = (item) => link(`people/${item.owner_id}`, item.owner?.full_name ?? String(item.owner_id));

export const items = {
  name: "items",
  title: "Items",
  path: "/items/",
  rows: "items",
  sort: "-created_at",
  filters: [
    { name: "q", label: "Words", hint: "Of title, tags or description" },
    { name: "status_filter", label: "Status", options: [ANY, ...STATES.map((state) => [state, state])] },
    { name: "owner_id", label: "Owner's number", inputmode: "numeric" },
    { name: "category", label: "Category", hint: "Number or slug" },
    { name: "tag", label: "Tag" },
  ],
  columns: [
    { label: "Title", sort: "title", show: (item) => link(`items/${item.id}`, item.title) },
    { label: "Price", sort: "price", number: true, show: (item) => money(item.price) },
    { label: "Status", show: (item) => mark(item.status, KINDS[item.status]) },
    { label: "Owner", show: ownerOf },
    { label: "Views", sort: "views", number: true, show: (item) => String(item.views) },
    { label: "Since", sort: "created_at", show: (item) => moment(item.created_at) },
  ],
  detail: showItem,
};

async function picturesOf(item) {
  const shown = await Promise.all(
    item.images.map(async (address) =>
      h(
        "figure",
        {},
        await pictureOf(address, `Picture of ${item.title}`, { w: 256, h: 256 }),
        actButton(
          "Delete",
          () => ({
            title: "Delete this picture",
            text: "Its bytes go, and the item shows it no more.",
            run: () => ask("DELETE", address.slice(address.indexOf("/upload/"))),
            after: reload,
          }),
          { danger: true, name: "delete-picture" },
        ),
      ),
    ),
  );
  return shown.length ? h("section", {}, h("h2", {}, "Pictures"), h("div", { class: "pictures" }, shown)) : null;
}

async function showItem(place, id, me) {
  const item = await ask("GET", `/items/${id}`, { query: { expand: "category" } });
  const path = `/items/${item.id}`;
  const acts = [
    me.role === "admin" &&
      actButton("Change status", () => ({
        text: "Drafts and inactive items show to their owner and staff alone.",
        fields: [
          {
            name: "status",
            label: "Status",
            type: "select",
            value: item.status,
            options: STATES.map((state) => [state, state]),
          },
        ],
        run: (values) => ask("PATCH", path, { json: values }),
        done: "The status was changed",
        after: reload,
      })),
    actButton(
      "Delete",
      () => ({
        text: `${item.title} goes with its pictures and documents.`,
        run: () => ask("DELETE", path),
        after: () => (location.hash = pageOf("items")),
      }),
      { danger: true },
    ),
  ];
  place.replaceChildren(
    h("p", { class: "back" }, link("items", "Items")),
    h("h1", { tabindex: "-1" }, item.title),
    h("div", { class: "acts" }, acts.filter(Boolean)),
    facts([
      ["Number", String(item.id)],
      ["Status", mark(item.status, KINDS[item.status])],
      ["Owner", ownerOf(item)],
      ["Price", money(item.price)],
      ["Discount price", money(item.discount_price)],
      ["Tax", item.tax === null ? "–" : `${item.tax} %`],
      ["Total", money(item.total_price)],
      ["Category", item.category?.name],
      ["Tags", item.tags.join(", ") || "–"],
      ["Views", String(item.views)],
      ["Since", moment(item.created_at)],
      ["Changed", moment(item.updated_at)],
    ]),
    h("p", {}, item.description ?? "No description."),
    ...[await picturesOf(item)].filter(Boolean),
  );
}

// Only what was changed is sent: what a colleague has changed meanwhile stays.
const changed = (values, before) =>
  Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== before[name]));

const tagActs = (tag) =>
  h(
    "div",
    { class: "acts" },
    actButton("Change", () => ({
      title: `Change ${tag.name}`,
      text: "All items that bear the tag bear the new name.",
      fields: [
        { name: "name", label: "Name", value: tag.name },
        { name: "description", label: "Description", type: "area", value: tag.description },
      ],
      confirm: "Change",
      run: ({ name, description }) =>
        ask("PATCH", `/tags/${tag.id}`, { json: changed({ name, description: description || null }, tag) }),
      done: "The tag was changed",
      after: reload,
    }), { about: tag.name }),
    actButton("Merge", () => ({
      title: `Merge ${tag.name} into another`,
      text: `Its ${tag.item_count} items get the other tag, and this one goes.`,
      fields: [{ name: "into_id", label: "Number of the other tag", inputmode: "numeric" }],
      confirm: "Merge",
      danger: true,
      run: ({ into_id: into }, key) => ask("POST", `/tags/${tag.id}/merge`, { json: { into_id: number(into) }, key }),
      done: "The tags were merged",
      after: reload,
    }), { about: tag.name }),
    actButton(
      "Delete",
      () => ({
        title: `Delete ${tag.name}`,
        text: `It is taken off ${tag.item_count} items.`,
        confirm: "Delete",
        run: () => ask("DELETE", `/tags/${tag.id}`),
        after: reload,
      }),
      { danger: true, about: tag.name },
    ),
  );

// What is no number goes as it is: the API says what it has against it, beside the field.
const number = (text) => (/^\d{1,15}$/.test(text.trim()) ? Number(text) : text);

export const tags = {
  name: "tags",
  title: "Tags",
  path: "/tags/",
  rows: "tags",
  sort: "name",
  filters: [{ name: "q", label: "Part of the name" }],
  columns: [
    { label: "Number", number: true, show: (tag) => String(tag.id) },
    { label: "Name", sort: "name", show: (tag) => link("items", tag.name, { tag: tag.name }) },
    { label: "Items", sort: "items_count", number: true, show: (tag) => String(tag.item_count) },
    { label: "Description", show: (tag) => tag.description },
    { label: "Since", sort: "created_at", show: (tag) => moment(tag.created_at) },
    { label: "Act", show: tagActs },
  ],
  acts: () => [
    actButton("New tag", () => ({
      fields: [
        { name: "name", label: "Name" },
        { name: "description", label: "Description", type: "area" },
      ],
      confirm: "Make it",
      run: ({ name, description }, key) =>
        ask("POST", "/tags/", { json: { name, description: description || null }, key }),
      done: "The tag was made",
      after: reload,
    })),
  ],
};

const placeFields = (category) => [
  { name: "name", label: "Name", value: category?.name ?? "" },
  { name: "description", label: "Description", type: "area", value: category?.description ?? "" },
  {
    name: "parent_id",
    label: "Number of the category above",
    value: category?.parent_id ?? "",
    inputmode: "numeric",
    hint: "Empty: at the root",
  },
  { name: "is_active", label: "Shown to everybody", type: "check", value: category?.is_active ?? true },
];

const placed = ({ name, description, parent_id: parent, is_active: active }) => ({
  name,
  description: description || null,
  parent_id: parent === "" ? null : number(parent),
  is_active: active,
});

function branch(category, isAdmin) {
  const acts = isAdmin && [
    actButton("Change or move", () => ({
      title: `Change or move ${category.name}`,
      fields: placeFields(category),
      confirm: "Change",
      run: (values) => ask("PATCH", `/categories/${category.id}`, { json: changed(placed(values), category) }),
      done: "The category was changed",
      after: reload,
    }), { about: category.name }),
    actButton(
      "Delete",
      () => ({
        title: `Delete ${category.name}`,
        text: "What is in it and below it moves to another category; without one, only an empty one can be deleted.",
        fields: [{ name: "move_to", label: "Number of the category that takes over", inputmode: "numeric" }],
        confirm: "Delete",
        run: ({ move_to: to }) => ask("DELETE", `/categories/${category.id}`, { query: { move_to: to } }),
        after: reload,
      }),
      { danger: true, about: category.name },
    ),
  ];
  return h(
    "li",
    { "data-id": category.id },
    h("span", {}, `${category.id} · `),
    link("items", category.name, { category: category.id }),
    h("span", {}, ` · ${category.items_count} items `),
    !category.is_active && mark("hidden", "bad"),
    acts && h("div", { class: "acts" }, acts),
    category.children?.length ? h("ul", { class: "tree" }, category.children.map((each) => branch(each, isAdmin))) : null,
  );
}

export const categories = {
  name: "categories",
  title: "Categories",
  async list(place, query, me) {
    const isAdmin = me.role === "admin";
    const page = await ask("GET", "/categories/", { query: { tree: true, counts: true } });
    const make = actButton("New category", () => ({
      fields: placeFields(null),
      confirm: "Make it",
      run: (values, key) => ask("POST", "/categories/", { json: placed(values), key }),
      done: "The category was made",
      after: reload,
    }));
    place.replaceChildren(
      h("h1", { tabindex: "-1" }, "Categories"),
      h("div", { class: "acts" }, isAdmin ? [make] : []),
      h("ul", { class: "tree" }, page.categories.map((each) => branch(each, isAdmin))),
    );
  },
};
