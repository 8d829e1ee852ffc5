// The scenario with orval.
import { base, email, equal, ok, password, picture } from "./expectations";
import * as api from "./generated/orval/client";

async function main(): Promise<void> {
  const person = await api.register({ email, password, first_name: "Ada", last_name: "Lovelace" });
  ok(person.status === 200);
  equal(person.data.full_name, "Ada Lovelace");

  const session = await api.login({ username: email, password });
  ok(session.status === 200);
  const refresh: string = session.data.refresh_token;
  ok(refresh.length > 0);
  const options = { headers: { Authorization: `Bearer ${session.data.access_token}` } };

  const item = await api.createItem(
    { title: "Desk lamp", price: 24.5, discount_price: 19.99, tags: ["lamp", "brass"] },
    { headers: { ...options.headers, "Content-Type": "application/json" } },
  );
  ok(item.status === 201);
  const price: number = item.data.price;
  equal(price, 24.5);

  const wanted = { min_price: 20, max_price: 30, owner_id: person.data.id, sort: "-price", total: "exact" } as const;
  const found = await api.listItems({ ...wanted, tag: ["lamp", "brass"] }, options);
  ok(found.status === 200);
  equal(found.data.items.map((one) => one.id), [item.data.id]);
  equal(api.getListItemsUrl({ category: undefined, tag: undefined }), `${base}/api/v1/items/`);

  const uploaded = await api.uploadItemImages(item.data.id, { files: [picture()] }, options);
  ok(uploaded.status === 200);
  equal(uploaded.data.uploaded_files.map((file) => file.content_type), ["image/png"]);

  const missing = await api.readItem(2 ** 31, {}, options);
  ok(missing.status === 404);
  const code: api.ErrorCode = missing.data.error_code;
  equal(code, "ITEM_NOT_FOUND");

  // Its function for the stream waits for an end; its address and types are what one reads a stream with.
  const url = api.getStreamNotificationsUrl();
  const stream = await fetch(url, { headers: { ...options.headers, "Last-Event-ID": "0" } });
  let text = "";
  for await (const piece of stream.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(piece).toString();
    const told = [...text.matchAll(/^data: (.*)$/gm)].map(
      (line) => JSON.parse(line[1]!) as api.NotificationRead | api.Resync,
    );
    const created = told.find((one) => "kind" in one && one.kind === "item_created");
    if (created && "data" in created) {
      equal(created.data, { item_id: item.data.id, item_title: "Desk lamp" });
      break;
    }
  }
  process.exit(0);
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
