// What people have uploaded.

import { ask, picture } from "./api.js";
import { bytes, h, link, moment, reload } from "./dom.js";
import { actButton, showDialog } from "./forms.js";

const CATEGORIES = ["avatars", "items", "documents", "processed"];
const LARGEST = { w: 1024, h: 1024 };

/** A picture of the API's, at most so large; its bytes are let go once they are drawn. */
export async function pictureOf(address, alt, size) {
  const source = await picture(address, size);
  return h("img", { src: source, alt, onload: () => URL.revokeObjectURL(source) });
}

async function look(file) {
  const title = file.original_name;
  if (file.content_type.startsWith("image/")) {
    return { title, content: await pictureOf(file.url, title, LARGEST) };
  }
  const source = await picture(file.url, {});
  const keep = h("a", { class: "button", href: source, download: title }, `Keep ${title}`);
  return { title, content: h("p", {}, keep), after: () => URL.revokeObjectURL(source) };
}

function actsOf(file) {
  const about = file.original_name;
  const button = h("button", { type: "button", class: "act", "data-act": "look", "aria-label": `Look at ${about}` }, "Look");
  button.addEventListener("click", () => showDialog(() => look(file)));
  return h(
    "div",
    { class: "acts" },
    button,
    actButton(
      "Delete",
      () => ({
        title: `Delete ${about}`,
        text: "Its bytes go, and what shows it shows it no more.",
        confirm: "Delete",
        run: () => ask("DELETE", file.url.slice(file.url.indexOf("/upload/"))),
        after: reload,
      }),
      { danger: true, about },
    ),
  );
}

export const files = {
  name: "files",
  title: "Files",
  path: "/upload/files/",
  rows: "files",
  filters: [
    { name: "owner_id", label: "Owner's number", inputmode: "numeric" },
    { name: "category", label: "Category", options: [["", "any"], ...CATEGORIES.map((one) => [one, one])] },
  ],
  columns: [
    { label: "Name", show: (file) => file.original_name },
    { label: "Category", show: (file) => file.category },
    { label: "Owner", show: (file) => link(`people/${file.owner_id}`, `person ${file.owner_id}`) },
    { label: "Of", show: (file) => file.subject_id && link(`items/${file.subject_id}`, `item ${file.subject_id}`) },
    { label: "Type", show: (file) => file.content_type },
    { label: "Size", number: true, show: (file) => bytes(file.size) },
    { label: "Since", show: (file) => moment(file.created_at) },
    { label: "Act", show: actsOf },
  ],
};
