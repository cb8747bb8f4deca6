/**
 * Loads the parts that a page has, and those that come into it later: a page without a graph
 * reads nothing of graphs.
 */

import "./rush-small.js";

const PARTS = ["rush-timeline", "rush-graph", "rush-log", "rush-grid", "rush-chart"];
const missing = new Set(PARTS);

/** @param {ParentNode} within */
function load(within) {
  for (const part of missing) {
    if (!within.querySelector(part)) continue;
    missing.delete(part);
    import(`./${part}.js`);
  }
}

load(document);
let looking = 0;
new MutationObserver((_, observer) => {
  if (missing.size === 0) return observer.disconnect();
  // Pages change all the time, and seldom by a part.
  looking ||= window.setTimeout(() => {
    looking = 0;
    load(document);
  }, 50);
}).observe(document.documentElement, { childList: true, subtree: true });
