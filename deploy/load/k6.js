// The journeys of `tradepost load` for k6, at a constant rate of arrivals.
//
//   tradepost tokens --users 100 > tokens.txt
//   k6 run -e BASE=http://127.0.0.1:8000 -e MIX=shop -e TOKENS=tokens.txt -e RATE=40 -e DURATION=60s deploy/load/k6.js
//
// MIX is read, browse, shop, write, upload or events; RATE counts journeys a second. KEY is an API key for everybody, in the
// place of tokens; a load test's lifts rate limits. The journey `stream` is not here: k6 reads no server-sent events.
import http from 'k6/http';
import { check, sleep } from 'k6';

const BASE = __ENV.BASE || 'http://127.0.0.1:8000';
const API = `${BASE}/api/v1`;
const PAGE = `${API}/items/?limit=20&total=false`;
const MIX = __ENV.MIX || 'browse';
const KEY = __ENV.KEY;
const THINK = Number(__ENV.THINK || 0);
const TOKENS = __ENV.TOKENS ? open(__ENV.TOKENS).split(/\s+/).filter(Boolean) : [];
const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAAAAACRz/L5AAAAEElEQVR4nGM4AQUMJ+AAAEz0B9Fc8l0yAAAAAElFTkSuQmCC';

export const options = {
  scenarios: {
    journeys: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 40),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 100,
      maxVUs: 2000,
    },
  },
  thresholds: {
    http_req_failed: ['rate<0.01'],
    http_req_duration: ['p(99)<500'],
  },
};

function choice(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function person() {
  if (KEY) return { 'X-API-Key': KEY };
  return TOKENS.length ? { Authorization: `Bearer ${TOKENS[(__VU + __ITER) % TOKENS.length]}` } : {};
}

function step(name, method, path, body, headers, good) {
  const shown = KEY ? { 'X-API-Key': KEY, ...headers } : headers || {};
  const expected = http.expectedStatuses({ min: 200, max: 399 }, ...(good || []));
  const answer = http.request(method, path, body || null, {
    headers: shown,
    tags: { name },
    responseCallback: expected,
  });
  check(answer, { [name]: (it) => (it.status >= 200 && it.status < 400) || (good || []).includes(it.status) });
  if (THINK) sleep(THINK * (0.5 + Math.random()));
  return answer;
}

function item(data) {
  step('item', 'GET', `${API}/items/${choice(data.itemIds)}`);
}

const JSON_BODY = { 'Content-Type': 'application/json' };

const journeys = {
  read(data) {
    item(data);
  },
  browse(data) {
    const cursor = step('list', 'GET', PAGE).json('next_cursor');
    step('list', 'GET', cursor ? `${PAGE}&cursor=${cursor}` : PAGE);
    for (let at = 0; at < 3; at += 1) item(data);
  },
  shop(data) {
    const tag = encodeURIComponent(choice(data.tags));
    step('search', 'GET', `${API}/items/search/?q=${tag}&limit=20&total=false`);
    step('list by tag', 'GET', `${PAGE}&tag=${tag}`);
    item(data);
    step('me', 'GET', `${API}/users/me`, null, person());
    step('inbox', 'GET', `${API}/notifications/?limit=20&total=false`, null, person());
  },
  write(data) {
    const mine = { ...person(), ...JSON_BODY };
    const key = { 'Idempotency-Key': `k6-${__VU}-${__ITER}-${Math.random()}` };
    const body = JSON.stringify({ title: 'Load test item', price: 19.99, tags: [choice(data.tags)] });
    const made = step('create', 'POST', `${API}/items/`, body, { ...mine, ...key });
    if (made.status !== 201) return;
    const path = `${API}/items/${made.json('id')}`;
    step('change', 'PATCH', path, JSON.stringify({ price: 17.5 }), mine);
    step('item', 'GET', path, null, mine);
    step('delete', 'DELETE', path, null, mine);
  },
  upload() {
    const form = { file: http.file(data64(PICTURE), 'picture.png', 'image/png') };
    const made = step('upload', 'POST', `${API}/upload/avatar/`, form, person());
    if (made.status === 200) step('file', 'GET', `${BASE}${made.json('url')}`, null, null, [404]);
  },
  events(data) {
    const mine = person();
    const path = `${API}/events/${choice(data.eventIds)}`;
    step('events', 'GET', `${API}/events/?limit=20&total=false`, null, mine);
    step('event', 'GET', path, null, mine);
    step('join', 'POST', `${path}/participants`, null, mine, [409]);
    step('leave', 'DELETE', `${path}/participants`, null, mine, [404, 409]);
  },
};

function data64(text) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const bytes = [];
  let bits = 0;
  let held = 0;
  for (const letter of text.replace(/=+$/, '')) {
    held = (held << 6) | letters.indexOf(letter);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >> bits) & 255);
    }
  }
  return new Uint8Array(bytes).buffer;
}

export function setup() {
  if (!journeys[MIX]) throw new Error(`MIX is one of ${Object.keys(journeys).join(', ')}`);
  const welcome = http.get(`${BASE}/`);
  if (welcome.json('service') !== 'Tradepost') throw new Error(`${BASE} does not say that it is a Tradepost`);
  if (!KEY && !['local', 'staging'].includes(welcome.json('environment'))) {
    throw new Error(`${BASE} is in ${welcome.json('environment')}: show a load test's KEY`);
  }
  const shown = KEY ? { headers: { 'X-API-Key': KEY } } : {};
  const items = http.get(`${API}/items/?limit=100&total=false`, shown).json('items');
  const events = http.get(`${API}/events/?limit=100&total=false`, shown).json('events');
  return {
    itemIds: items.map((each) => each.id),
    eventIds: events.map((each) => each.id),
    tags: [...new Set(items.flatMap((each) => each.tags))],
  };
}

export default function (data) {
  journeys[MIX](data);
}
