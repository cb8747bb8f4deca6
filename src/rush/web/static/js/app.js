// What every page does: live updates, the theme, keys, the palette.

import * as live from "./live.js";

const THEMES = ["auto", "light", "dark"];

const actions = {
  live: () => live.turn(!live.isOn()),
  theme: nextTheme,
  unsay: (event) => event.target.closest(".toast").remove(),
};

document.addEventListener("click", (event) => {
  const name = event.target.closest?.("[data-do]")?.dataset.do;
  if (name in actions) actions[name](event);
});

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
    button.getAttribute("command") === "show-modal" ? dialog.showModal() : dialog.close();
  });
}

showTheme();
live.start();
