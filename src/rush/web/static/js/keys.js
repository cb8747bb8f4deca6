// Keys: j and k go through the rows, Enter opens one, / searches, ? says what there is.

import { palette } from "./palette.js";
import { boxOf } from "./picking.js";

const KEYS = [
  ["j, k", "the next row, the one before"],
  ["Enter, o", "open the row"],
  ["x", "choose the row"],
  ["/", "search"],
  ["g then h, p, r, w, a", "Home, Pipelines, Runs, Workers, Audit"],
  ["Ctrl K", "go to a page, a pipeline or a run"],
  ["Esc", "close what is open"],
  ["?", "this list"],
];

const PLACES = { h: "/", p: "/pipelines", r: "/runs", w: "/workers", a: "/audit" };

let going = 0;

export function keys() {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest?.("input, select, textarea, dialog, rush-timeline, rush-graph, rush-grid, rush-log")) return;
    if (press(event.key)) event.preventDefault();
  });
}

function press(key) {
  if (performance.now() - going < 1000 && key in PLACES) {
    going = 0;
    location.href = document.querySelector('meta[name="rush-base"]').content + PLACES[key];
    return true;
  }
  switch (key) {
    case "g": going = performance.now(); return true;
    case "j": return step(1);
    case "k": return step(-1);
    case "o": return open();
    case "Enter": return document.activeElement?.matches("tr") && open();
    case "x": return choose();
    case "/": return search();
    case "?": help(); return true;
    case "Escape": return close();
    default: return false;
  }
}

function step(by) {
  const rows = [...document.querySelectorAll("#main tr[data-row]")];
  if (!rows.length) return false;
  const here = rows.indexOf(document.activeElement?.closest?.("tr"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function open() {
  const link = document.activeElement?.closest?.("tr")?.querySelector("a[data-open]");
  link?.click();
  return Boolean(link);
}

function choose() {
  const box = boxOf(document.activeElement?.closest?.("tr"));
  box?.click();
  return Boolean(box);
}

function search() {
  const field = document.querySelector("#main [data-search], #main input[type=search]");
  field?.focus();
  return Boolean(field);
}

function close() {
  const link = document.querySelector('#drawer [data-do="close"]');
  link?.click();
  return Boolean(link);
}

function help() {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Keys");
  const body = dialog.appendChild(document.createElement("div"));
  body.className = "body";
  const list = body.appendChild(document.createElement("dl"));
  list.className = "facts";
  for (const [key, does] of KEYS) {
    const term = list.appendChild(document.createElement("dt"));
    term.appendChild(document.createElement("kbd")).textContent = key;
    list.appendChild(document.createElement("dd")).textContent = does;
  }
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
