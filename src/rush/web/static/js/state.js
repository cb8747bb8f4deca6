/**
 * The eight states of a job: words, letters, colours and shapes, in one place for all parts.
 *
 * @typedef {"Waiting"|"Ready"|"Running"|"Complete"|"Failed"|"Stuck"|"Cancelled"|"Skipped"} State
 */

/** @type {State[]} */
export const STATES = ["Waiting", "Ready", "Running", "Complete", "Failed", "Stuck", "Cancelled", "Skipped"];

/** The letters of the grid's rows. @type {Record<string, State>} */
export const LETTERS = {
  w: "Waiting", y: "Ready", r: "Running", c: "Complete", f: "Failed", s: "Stuck", x: "Cancelled", k: "Skipped",
};

/** @param {unknown} state @returns {state is State} */
export function isState(state) {
  return STATES.includes(/** @type {State} */ (state));
}

/** @param {unknown} state @returns {string} the class that sets `--state` */
export function stateClass(state) {
  return isState(state) ? `s-${state}` : "s-none";
}

/** @type {Map<string, string>} */
let colours = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * The colour that a custom property has in the theme of now, for canvases.
 * @param {string} name as in tokens.css, without the dashes
 */
export function colour(name) {
  let found = colours.get(name);
  if (found === undefined) {
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
    probe.style.color = `var(--${name})`;
    found = getComputedStyle(probe).color;
    probe.remove();
    colours.set(name, found);
  }
  return found;
}

/** @param {State} state */
export function stateColour(state) {
  return colour(`s-${state.toLowerCase()}`);
}

/**
 * Calls back when the theme has changed; returns how to stop.
 * @param {() => void} callback
 */
export function onTheme(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

function themeChanged() {
  colours = new Map();
  for (const listener of listeners) listener();
}

new MutationObserver(themeChanged).observe(document.documentElement, { attributeFilter: ["data-theme", "class"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
