// The scenario with @hey-api/openapi-ts.
import { base, email, equal, ok, password, picture } from "./expectations";
import * as api from "./generated/hey-api";
import { client } from "./generated/hey-api/client.gen";

let token = "";
// It is asked for the credential of each scheme that an operation takes, and would send both of them.
client.setConfig({ baseUrl: base, auth: (scheme) => (scheme.scheme === "bearer" ? token : undefined) });

async function main(): Promise<void> {
  const person = await api.register({ body: { email, password, first_name: "Ada", last_name: "Lovelace" } });
  equal(person.data?.full_name, "Ada Lovelace");

  const session = await api.login({ body: { username: email, password } });
  ok(session.data);
  const refresh: string = session.data.refresh_token;
  ok(refresh.length > 0);
  token = session.data.access_token;

  const item = await api.createItem({
    body: { title: "Desk lamp", price: 24.5, discount_price: 19.99, tags: ["lamp", "brass"] },
  });
  ok(item.data);
  const price: number = item.data.price;
  equal(price, 24.5);

  const found = await api.listItems({
    query: { tag: ["lamp", "brass"], min_price: 20, max_price: 30, owner_id: person.data!.id, sort: "-price", total: "exact" },
  });
  equal(found.data?.items.map((one) => one.id), [item.data.id]);
  const all = await api.listItems({ query: { category: undefined, tag: undefined } });
  equal(all.response?.url, `${base}/api/v1/items/`);

  const uploaded = await api.uploadItemImages({ path: { item_id: item.data.id }, body: { files: [picture()] } });
  equal(uploaded.data?.uploaded_files.map((file) => file.content_type), ["image/png"]);

  const missing = await api.readItem({ path: { item_id: 2 ** 31 } });
  ok(missing.error);
  const code: "ITEM_NOT_FOUND" extends typeof missing.error.error_code ? string : never = missing.error.error_code;
  equal([missing.response?.status, code], [404, "ITEM_NOT_FOUND"]);

  const { stream } = await api.streamNotifications({ headers: { "Last-Event-ID": "0" } });
  for await (const told of stream) {
    if (told && "kind" in told && told.kind === "item_created") {
      equal(told.data, { item_id: item.data.id, item_title: "Desk lamp" });
      break;
    }
  }
  process.exit(0);
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
