// The API, as any other client calls it. The access token is kept for this tab alone and sent as a header by this code: no
// browser adds it to a request that another site makes, so there is nothing for such a request to ride on.

const KEPT = "tradepost console";
const RENEW_BEFORE = 30 * 60 * 1000;
const { root, api } = document.body.dataset;

let token = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
let renewing = null;

/** What the API has against a request; `fields` has its messages by the names of fields. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? (status ? `The server answered ${status}` : "The server cannot be reached"));
    this.status = status;
    this.code = body.error_code ?? "";
    this.retryAfter = retryAfter;
    this.fields = new Map();
    for (const { location, message } of body.errors ?? []) {
      const name = String(location[location.length - 1]);
      this.fields.set(name, [...(this.fields.get(name) ?? []), message]);
    }
  }

  /** What to tell somebody: in words, with a wait where there is one. */
  get words() {
    const wait = this.retryAfter ? ` Try again in ${this.retryAfter} seconds.` : "";
    return `${this.message.replace(/\.$/, "")}.${wait}`;
  }
}

export function isLoggedIn() {
  return token !== null;
}

function keep(answer) {
  token = answer && { text: answer.access_token, until: Date.now() + answer.expires_in * 1000 };
  if (token) {
    sessionStorage.setItem(KEPT, JSON.stringify(token));
  } else {
    sessionStorage.removeItem(KEPT);
  }
}

async function send(method, address, { headers = {}, body } = {}) {
  let response;
  try {
    response = await fetch(address, {
      method,
      headers: token ? { ...headers, Authorization: `Bearer ${token.text}` } : headers,
      body,
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
    });
  } catch {
    throw new Problem(0, {});
  }
  if (!response.ok) {
    const about = response.headers.get("content-type") ?? "";
    const problem = about.includes("json") ? await response.json() : {};
    throw new Problem(response.status, problem, response.headers.get("retry-after"));
  }
  return response;
}

// Only the access token is exchanged: it goes on while somebody works, and an hour after that the tab knows nothing any more.
async function renew() {
  try {
    keep(await (await send("POST", `${api}/auth/refresh-token`)).json());
  } catch (problem) {
    if (problem.status === 401) {
      keep(null);
    }
  } finally {
    renewing = null;
  }
}

async function authorised(method, address, options) {
  if (token && token.until - Date.now() < RENEW_BEFORE) {
    renewing ??= renew();
    await renewing;
  }
  try {
    return await send(method, address, options);
  } catch (problem) {
    if (problem.status === 401) {
      keep(null);
      document.dispatchEvent(new CustomEvent("logged-out"));
    }
    throw problem;
  }
}

/** Ask the API: `query` and `json` are plain objects, `key` an Idempotency-Key. Return the JSON of the answer. */
export async function ask(method, path, { query = {}, json, key } = {}) {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(known.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  if (key) {
    headers["Idempotency-Key"] = key;
  }
  const body = json === undefined ? undefined : JSON.stringify(json);
  const address = `${api}${path}${search.size ? `?${search}` : ""}`;
  return (await authorised(method, address, { headers, body })).json();
}

/** Fetch a file of the API's, which may be for staff alone; return an address of it for this page. */
export async function picture(path, query) {
  const response = await authorised("GET", `${root}${path}?${new URLSearchParams(query)}`);
  return URL.createObjectURL(await response.blob());
}

/** Open an answer of the server's that is read as it comes. */
export async function open(path) {
  return authorised("GET", `${root}${path}`);
}

/** Open a session; the refresh token that comes with it is forgotten. */
export async function logIn(form) {
  const answer = await send("POST", `${api}/auth/login`, { body: new URLSearchParams(form) });
  keep(await answer.json());
}

/** End the session, as far as it can be told to, and forget it. */
export async function logOut() {
  try {
    await send("POST", `${api}/auth/logout`);
  } catch (problem) {
    if (problem.status !== 401) {
      throw problem;
    }
  } finally {
    keep(null);
  }
}

/** A name for one thing that is to be done once, however often it is sent. */
export function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
