// What happens inside, drawn while it happens: one frame a second comes over the stream, and five minutes of them are kept.

import { isLoggedIn, open } from "../../admin/files/api.js";
import { h } from "../../admin/files/dom.js";
import { showEnrolment, showLogIn } from "../../admin/files/login.js";

const SECONDS = 300;
const MOST = 6;
const RETRY = [500, 1000, 2000, 5000];

// Each: what it is called, its unit, and what of a frame it draws, by name. Only the largest few names are shown.
const CHARTS = [
  ["Requests", "a second", (frame) => frame.requests],
  ["Refused and failed", "a second", (frame) => frame.refused],
  ["Latency", "ms", ({ p50, p99 }) => ({ p50, p99 })],
  ["Waits", "ms", ({ lag, waits }) => ({ "loop lag": ms(lag), ...mapped(waits, ms) })],
  ["Connections", "of the pools", ({ connections }) => pools(connections)],
  ["Under way", "", ({ in_flight, streams }) => ({ requests: in_flight, streams })],
  ["Batches", "keys each", (frame) => frame.batches],
  ["Messages", "waiting; age in seconds", ({ outbox }) => ({ waiting: outbox.waiting, dead: outbox.dead, age: outbox.age })],
  ["Processor", "cores", ({ cores }) => ({ cores })],
];

const content = document.querySelector("#content");
const state = document.querySelector("#state");
const hold = document.querySelector("#hold");
let frames = [];
let isHeld = false;

const ms = (seconds) => (seconds ?? 0) * 1000;
const mapped = (values, change) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

function pools(connections) {
  const shown = {};
  for (const [name, { held, size, waiting }] of Object.entries(connections)) {
    shown[`${name} in use`] = held;
    shown[`${name} waited for`] = waiting;
    shown[`${name} size`] = size;
  }
  return shown;
}

function written(value) {
  if (value === null || value === undefined) {
    return "–";
  }
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

class Chart {
  constructor([title, unit, read]) {
    this.title = title;
    this.read = read;
    this.canvas = h("canvas", { role: "img" });
    this.legend = h("ul");
    this.figure = h("figure", {}, h("h2", {}, title, " ", h("small", {}, unit)), this.canvas, this.legend);
    this.names = [];
  }

  /** Names keep their colours while they are shown; the largest of the last minutes are. */
  choose(rows) {
    const sums = new Map();
    for (const row of rows) {
      for (const [name, value] of Object.entries(row)) {
        sums.set(name, (sums.get(name) ?? 0) + (value ?? 0));
      }
    }
    const largest = [...sums].sort((one, other) => other[1] - one[1]).slice(0, MOST).map(([name]) => name);
    const stay = this.names.map((name) => (largest.includes(name) ? name : null));
    for (const name of largest.filter((one) => !stay.includes(one))) {
      const free = stay.indexOf(null);
      stay[free < 0 ? stay.length : free] = name;
    }
    this.names = stay;
  }

  draw(shown, now) {
    const rows = shown.map(this.read);
    this.choose(rows);
    const last = rows.at(-1) ?? {};
    const told = this.names.flatMap((name, at) => (name === null ? [] : [[name, at, written(last[name] ?? (rows.length ? 0 : null))]]));
    this.legend.replaceChildren(...told.map(([name, at, value]) => h("li", { class: `s${at}` }, `${name} ${value}`)));
    this.canvas.setAttribute("aria-label", `${this.title}: ${told.map(([name, , value]) => `${name} ${value}`).join(", ") || "nothing yet"}`);
    const values = rows.flatMap((row) => this.names.map((name) => (name === null ? 0 : (row[name] ?? 0))));
    this.paint(shown, rows, now, nice(Math.max(0, ...values)));
  }

  paint(shown, rows, now, top) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    const colours = getComputedStyle(document.documentElement);
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colours.getPropertyValue("--faint");
    pen.strokeStyle = colours.getPropertyValue("--faint-line");
    const x = (at) => width - ((now - at) / SECONDS) * width;
    const y = (value) => height - 18 - (value / top) * (height - 34);
    for (const part of [0, 0.5, 1]) {
      pen.beginPath();
      pen.moveTo(0, y(part * top));
      pen.lineTo(width, y(part * top));
      pen.stroke();
      pen.fillText(written(part * top), 2, y(part * top) - 2);
    }
    pen.fillText("5 minutes ago", 2, height - 5);
    pen.lineWidth = 1.5;
    this.names.forEach((name, series) => {
      if (name === null) {
        return;
      }
      pen.strokeStyle = colours.getPropertyValue(`--series-${series}`);
      pen.beginPath();
      let before = null;
      rows.forEach((row, index) => {
        const at = shown[index].at;
        const value = row[name] ?? 0;
        if (before !== null && at - before < 3) {
          pen.lineTo(x(at), y(value));
        } else {
          pen.moveTo(x(at), y(value));
        }
        before = at;
      });
      pen.stroke();
    });
  }
}

/** The next number of 1, 2 or 5 and zeros: a scale that does not move all the time. */
function nice(value) {
  if (value <= 0) {
    return 1;
  }
  const ten = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * ten >= value) * ten;
}

const charts = CHARTS.map((chart) => new Chart(chart));

function show() {
  if (isHeld) {
    return;
  }
  const now = frames.at(-1)?.at ?? Date.now() / 1000;
  frames = frames.filter(({ at }) => at > now - SECONDS);
  for (const chart of charts) {
    chart.draw(frames, now);
  }
}

function say(words, isLost = false) {
  if (state.textContent !== words) {
    state.textContent = words;
  }
  state.classList.toggle("lost", isLost);
}

function take(name, data) {
  if (name === "history") {
    const known = new Set(frames.map(({ at }) => at));
    frames = [...frames, ...JSON.parse(data).filter(({ at }) => !known.has(at))].sort((one, other) => one.at - other.at);
  } else if (name === "frame") {
    frames.push(JSON.parse(data));
  }
  show();
}

/** Read the events of an answer until it ends. */
async function follow(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const fields = event.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
      const data = fields.filter(([, name]) => name === "data").map(([, , words]) => words).join("\n");
      take(fields.find(([, name]) => name === "event")?.[2], data);
    }
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function watch() {
  content.replaceChildren(h("h1", { class: "unseen" }, "What happens now"), h("div", { class: "charts" }, charts.map(({ figure }) => figure)));
  show();
  for (let failed = 0; ; ) {
    try {
      const response = await open("/live/stream");
      failed = 0;
      say("One frame a second");
      await follow(response);
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) {
        ask(problem);
        return;
      }
      say(`${problem.words ?? "The connection broke off."} Trying again.`, true);
      failed += 1;
    }
    await pause(RETRY[Math.min(failed, RETRY.length - 1)]);
  }
}

function ask(problem) {
  say("Not logged in", true);
  if (problem.code === "SECOND_FACTOR_NEEDED") {
    showEnrolment(content, watch);
    return;
  }
  const words = problem.status === 403 ? "This account may not see this page; admins may." : "This page is for admins.";
  showLogIn(content, watch, isLoggedIn() ? words : "This page is for admins.");
}

hold.addEventListener("click", () => {
  isHeld = !isHeld;
  hold.setAttribute("aria-pressed", String(isHeld));
  hold.textContent = isHeld ? "Go on" : "Hold";
  show();
});
window.addEventListener("resize", show);
watch();
