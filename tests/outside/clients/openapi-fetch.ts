// The scenario with openapi-typescript and openapi-fetch.
import createClient from "openapi-fetch";
import { base, email, equal, ok, password, picture } from "./expectations";
import type { components, paths } from "./generated/schema";

type Told = components["schemas"]["NotificationRead"] | components["schemas"]["Resync"];

const client = createClient<paths>({ baseUrl: base });

function form(values: Record<string, unknown>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(values))
    for (const one of Array.isArray(value) ? value : [value]) data.append(name, one);
  return data;
}

async function main(): Promise<void> {
  const person = await client.POST("/api/v1/auth/register", {
    body: { email, password, first_name: "Ada", last_name: "Lovelace" },
  });
  equal(person.data?.full_name, "Ada Lovelace");

  const session = await client.POST("/api/v1/auth/login", {
    body: { grant_type: "password", scope: "", client_id: "", client_secret: "", username: email, password },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  ok(session.data);
  const refresh: string = session.data.refresh_token;
  ok(refresh.length > 0);
  client.use({
    onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${session.data.access_token}`),
  });

  const item = await client.POST("/api/v1/items/", {
    body: { title: "Desk lamp", price: 24.5, discount_price: 19.99, status: "active", tags: ["lamp", "brass"] },
  });
  ok(item.data);
  const price: number = item.data.price;
  equal(price, 24.5);

  const found = await client.GET("/api/v1/items/", {
    params: {
      query: { tag: ["lamp", "brass"], min_price: 20, max_price: 30, owner_id: person.data!.id, sort: "-price", total: "exact" },
    },
  });
  equal(found.data?.items.map((one) => one.id), [item.data.id]);

  const uploaded = await client.POST("/api/v1/upload/items/{item_id}/images/", {
    params: { path: { item_id: item.data.id } },
    body: { files: [picture() as unknown as string] },
    bodySerializer: form,
  });
  equal(uploaded.data?.uploaded_files.map((file) => file.content_type), ["image/png"]);

  const missing = await client.GET("/api/v1/items/{item_id}", { params: { path: { item_id: 2 ** 31 } } });
  ok(missing.error);
  const code: components["schemas"]["ErrorCode"] = missing.error.error_code;
  equal([missing.response.status, code], [404, "ITEM_NOT_FOUND"]);

  const stream = await client.GET("/api/v1/notifications/stream", {
    params: { header: { "Last-Event-ID": "0" } },
    parseAs: "stream",
  });
  ok(stream.data);
  let text = "";
  for await (const piece of stream.data as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(piece).toString();
    const told = [...text.matchAll(/^data: (.*)$/gm)].map((line) => JSON.parse(line[1]!) as Told);
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
