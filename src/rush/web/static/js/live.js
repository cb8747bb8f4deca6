// Live: one event stream a tab. When something has changed, the page asks for its own URL
// again and takes over what is different; elements that draw themselves hear `rush:changed`.

const POLL = 5000;      // without a stream, a look so often
const QUIET = 700;      // and no two looks within this

let source = null;
let polling = 0;
let busy = false;
let again = false;
let last = 0;
let on = read("rush-live") !== "off";

function read(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function base() {
  return document.querySelector('meta[name="rush-base"]').content;
}

export function isOn() {
  return on;
}

export function turn(value) {
  on = value;
  try { localStorage.setItem("rush-live", on ? "on" : "off"); } catch { /* not kept, then */ }
  show();
  on ? open() : close();
}

export function start() {
  show();
  document.addEventListener("visibilitychange", () => document.hidden ? close() : on && open());
  if (on && !document.hidden) open(true);
}

function show() {
  for (const button of document.querySelectorAll('[data-do="live"]')) {
    button.setAttribute("aria-checked", String(on));
    button.textContent = on ? "Live" : "Paused";
  }
}

function open(fresh = false) {
  if (source) return;
  let known = fresh;
  source = new EventSource(base() + "/api/v1/events");
  source.addEventListener("hello", () => {
    clearInterval(polling);
    polling = 0;
    // What has happened while nobody told us.
    if (!known) changed([]);
    known = false;
  });
  source.addEventListener("change", (event) => changed(JSON.parse(event.data).topics));
  source.addEventListener("error", () => {
    polling ||= setInterval(() => changed([]), POLL);
    if (source?.readyState === EventSource.CLOSED) source = null;
  });
}

function close() {
  source?.close();
  source = null;
  clearInterval(polling);
  polling = 0;
}

// What the page shows, as a list of topics on <main>; nothing there: everything is of interest.
function concerns(topics) {
  const wanted = document.getElementById("main")?.dataset.topics?.split(" ");
  return !topics.length || !wanted || topics.some((topic) => wanted.includes(topic));
}

function changed(topics) {
  document.dispatchEvent(new CustomEvent("rush:changed", { detail: { topics: [] } }));
  if (concerns(topics)) refresh();
}

export async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    await pause(last + QUIET - performance.now());
    last = performance.now();
    await morph();
  } catch { /* the next change, or the next look, tries again */ } finally {
    busy = false;
    if (again) { again = false; refresh(); }
  }
}

// Show another address of this page: its state is in its address.
export async function go(url, { back = false } = {}) {
  if (!back) history.pushState(null, "", url);
  try {
    await morph(true);
  } catch {
    location.href = url;
  }
}

addEventListener("popstate", () => go(location.href, { back: true }));

async function morph(asked = false) {
  const here = location.href;
  const answer = await fetch(here, { headers: { "HX-Request": "true", Accept: "text/html" } });
  if (!asked && !answer.ok) return;
  // Signed out meanwhile, for example: the browser shows what there is.
  if (answer.redirected || !answer.ok) { location.reload(); return; }
  const text = await answer.text();
  if (location.href !== here) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  const fresh = page.getElementById("main");
  if (!fresh || (!asked && held())) return;
  keepWhatPeopleDid(fresh);
  if (!asked) gatherNewRows(fresh);
  document.title = page.title;
  await window.htmx.swap({ target: "#main", swap: "outerMorph", text: fresh.outerHTML });
  document.dispatchEvent(new CustomEvent("rush:morphed"));
}

// Nothing moves under somebody who is in the middle of something.
function held() {
  return Boolean(document.querySelector("dialog[open]"))
    || document.activeElement?.matches("#main input:not([type=checkbox]), #main select, #main textarea");
}

function keepWhatPeopleDid(fresh) {
  for (const box of document.querySelectorAll("#main input[type=checkbox]:checked")) {
    const same = box.value && fresh.querySelector(`input[type=checkbox][value="${CSS.escape(box.value)}"]`);
    same?.setAttribute("checked", "");
  }
  for (const details of document.querySelectorAll("#main details[id]")) {
    fresh.querySelector(`#${CSS.escape(details.id)}`)?.toggleAttribute("open", details.open);
  }
}

// New rows wait above the table while somebody reads or points at it: nothing moves under them.
function gatherNewRows(fresh) {
  const body = document.querySelector("#main tbody[data-gather]");
  const next = fresh.querySelector("tbody[data-gather]");
  if (!body || !next || (scrollY < 80 && !body.matches(":hover"))) return;
  const known = new Set([...body.rows].map((row) => row.id));
  const rows = [...next.rows];
  const first = rows.findIndex((row) => known.has(row.id));
  const gathered = rows.slice(0, Math.max(0, first));
  if (!gathered.length) return;
  for (const row of gathered) row.remove();
  const news = document.createElement("button");
  news.type = "button";
  news.className = "news";
  news.dataset.do = "news";
  news.textContent = `${gathered.length} new`;
  next.closest("table").before(news);
}

export function showNews() {
  scrollTo({ top: 0 });
  return go(location.href, { back: true });
}

function pause(milliseconds) {
  return milliseconds > 0 ? new Promise((done) => setTimeout(done, milliseconds)) : null;
}
