/**
 * A box of a graph: a job's name, its state as an edge stripe, a shape and a word, and what it
 * took. It is drawn once; a new state only swaps its class, its shape and its words.
 *
 * @typedef {import("./graph-focus.js").GraphJob} GraphJob
 * @typedef {import("./graph-layout.js").Placed} Placed
 * @typedef {{element: any, use: any, meta: any, done: any, job: GraphJob}} BoxNode
 */

import { h, icon, s } from "./dom.js";
import { stateClass } from "./state.js";
import { duration, instant, serverNow } from "./time.js";

const SIDE = 26;
const MOST_WIDTH = 230;
const LEAST_WIDTH = 96;
const TALL = 42;
const LOW = 28;

/** @type {CanvasRenderingContext2D | null} */
let ruler = null;
/** @type {Map<string, number>} */
const widths = new Map();

/** How wide a text is; asked once of each. @param {string} text */
function widthOf(text) {
  let width = widths.get(text);
  if (width === undefined) {
    if (!ruler) {
      ruler = h("canvas").getContext("2d");
      /** @type {CanvasRenderingContext2D} */ (ruler).font = `500 13px ${getComputedStyle(document.body).fontFamily}`;
    }
    width = /** @type {CanvasRenderingContext2D} */ (ruler).measureText(text).width;
    widths.set(text, width);
  }
  return width;
}

/** The text, or as much of its beginning as has room. @param {string} text @param {number} room */
function shortened(text, room) {
  if (widthOf(text) <= room) return text;
  let keep = Math.max(1, Math.floor((text.length * room) / widthOf(text)));
  while (keep > 1 && widthOf(`${text.slice(0, keep)}…`) > room) keep -= 1;
  return `${text.slice(0, keep)}…`;
}

/** @param {GraphJob} job @param {boolean} stateful whether the graph is of a run */
export function sizeOf(job, stateful) {
  const least = stateful ? 160 : LEAST_WIDTH;
  return { id: job.job, width: Math.round(Math.max(least, Math.min(MOST_WIDTH, widthOf(job.job) + SIDE + (stateful ? 10 : 0)))), height: stateful ? TALL : LOW };
}

/** @param {GraphJob} job */
export function wordsOf(job) {
  const words = [job.state ?? "not yet released"];
  const started = instant(job.started_at);
  if (job.state === "Running" && started !== null) words.push(duration(Math.max(0, serverNow() - started) / 1000));
  else if (job.seconds !== null && job.seconds !== undefined) words.push(duration(job.seconds));
  if ((job.attempts ?? 0) > 1) words.push(`×${job.attempts}`);
  return words;
}

/** @param {GraphJob} job @param {Placed} at @param {string | null} href @param {boolean} stateful @returns {BoxNode} */
export function makeBox(job, at, href, stateful) {
  const name = shortened(job.job, at.width - SIDE - (stateful ? 4 : -8));
  const shape = icon(job.state ?? "none", "s");
  shape.setAttribute("x", "12");
  shape.setAttribute("y", "8");
  shape.setAttribute("width", "12");
  shape.setAttribute("height", "12");
  const meta = s("text", { class: "gr-meta", x: 12, y: 33 });
  const done = s("rect", { class: "gr-done", x: 4, y: at.height - 3, width: 0, height: 3 });
  const element = s(
    "a",
    { class: "gr-box", href, transform: `translate(${at.x} ${at.y})`, tabindex: "-1", role: "link", "data-job": job.job },
    s("title", {}, job.job),
    s("rect", { class: "gr-frame", width: at.width, height: at.height, rx: 2 }),
    s("rect", { class: "gr-stripe", width: 4, height: at.height }),
    stateful && shape,
    // A beginning is no word for who listens, nor are two texts that touch each other.
    s("text", { class: "gr-name", x: stateful ? 29 : 12, y: 18.5, "aria-hidden": name === job.job ? null : "true" }, name),
    " ",
    stateful && meta,
    stateful && done,
  );
  const node = { element, use: shape.firstChild, meta, done, job };
  setState(node, job, at, stateful);
  return node;
}

/** @param {BoxNode} node @param {GraphJob} job @param {Placed} at @param {boolean} stateful */
export function setState(node, job, at, stateful) {
  node.job = job;
  const marks = [...node.element.classList].filter((name) => name.startsWith("is-"));
  node.element.setAttribute("class", ["gr-box", stateClass(job.state), ...marks].join(" "));
  if (!stateful) return node.element.setAttribute("aria-label", job.job);
  const shape = node.use.getAttribute("href");
  const wanted = shape.replace(/#.*/, `#${job.state ?? "none"}`);
  if (shape !== wanted) node.use.setAttribute("href", wanted);
  const [done, all] = job.progress ?? [0, 0];
  node.done.setAttribute("width", String(all > 0 && job.state === "Running" ? (Math.min(1, done / all) * (at.width - 4)).toFixed(1) : 0));
  tick(node);
}

/** What counts while a job runs. @param {BoxNode} node */
export function tick(node) {
  const words = wordsOf(node.job);
  const text = words.join(" · ");
  if (node.meta.textContent === text) return;
  node.meta.textContent = text;
  const attempts = node.job.attempts ?? 0;
  // What stands in the box, as it stands there, and then what it means.
  node.element.setAttribute("aria-label", `${node.job.job} ${text}${attempts > 1 ? `, attempt ${attempts}` : ""}`);
}
