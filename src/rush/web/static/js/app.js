// What every page does: live updates, the theme, keys, the palette, choosing rows.

import * as live from "./live.js";
import { followForm, showCommands } from "./commands.js";
import { keys } from "./keys.js";
import { palette } from "./palette.js";
import { isPick, showChosen, showPicked, pickAll, pickAllThatMatch } from "./picking.js";
import { showViews } from "./views.js";

const THEMES = ["auto", "light", "dark"];

const actions = {
  live: () => live.turn(!live.isOn()),
  theme: nextTheme,
  unsay: (event) => event.target.closest(".toast").remove(),
  palette,
  news: live.showNews,
  "pick-all": pickAll,
  all: pickAllThatMatch,
};

document.addEventListener("click", (event) => {
  const name = event.target.closest?.("[data-do]")?.dataset.do;
  if (name in actions) actions[name](event);
  else follow(event);
});

document.addEventListener("change", (event) => {
  if (isPick(event.target)) showPicked();
});

document.addEventListener("input", followForm);

document.addEventListener("rush:select", (event) => showChosen(event.detail));

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

// A link within the page (a tab, a job, a filter) changes what it shows, and not the page.
function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href, location.href);
  if (link.target || link.hasAttribute("download") || url.origin !== location.origin || url.pathname !== location.pathname || !url.search) return;
  event.preventDefault();
  live.go(url);
}

function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("rush-theme", next); } catch { /* for this page, then */ }
  showTheme();
}

function showTheme() {
  for (const use of document.querySelectorAll('[data-do="theme"] use')) {
    const sprite = use.getAttribute("href").split("#")[0];
    use.setAttribute("href", `${sprite}#${{ auto: "auto", light: "sun", dark: "moon" }[theme()]}`);
  }
}

// Browsers that do not know `command` and `commandfor` yet.
if (!("commandForElement" in HTMLButtonElement.prototype)) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[commandfor]");
    const dialog = button && document.getElementById(button.getAttribute("commandfor"));
    if (!dialog) return;
    if (button.getAttribute("command") === "show-modal") dialog.showModal();
    else dialog.close();
  });
}

function afterChange() {
  showPicked();
  showViews();
  showCommands();
}

// Who comes by a link from elsewhere is signed in maybe, but their browser did not say so: it
// keeps the cookie to itself then. From here it does.
async function alreadySignedIn() {
  const next = document.querySelector('#main form[action$="/sign-in"] [name="next"]')?.value;
  if (next === undefined) return;
  const base = document.querySelector('meta[name="rush-base"]').content;
  const answer = await fetch(`${base}/api/v1/me`, { headers: { Accept: "application/json" } });
  if (answer.ok) location.reload();
}

document.addEventListener("rush:morphed", afterChange);
showTheme();
afterChange();
keys();
if (document.querySelector('meta[name="rush-csrf"]').content) live.start();
else alreadySignedIn();
// From here on keys and buttons are heard.
document.documentElement.dataset.ready = "";
