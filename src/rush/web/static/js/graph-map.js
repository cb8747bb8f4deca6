/**
 * A graph from afar: all boxes of one state are one path. The small map in the corner is made of
 * the same paths; it appears only when the graph does not fit its window, and moves it.
 */

import { s } from "./dom.js";
import { STATES, stateClass } from "./state.js";

const WIDTH = 176;
const HEIGHT = 104;
/** Of its window it covers no more: on a telephone there is little beside it. */
const SHARE = 0.25;

/**
 * @param {import("./graph-focus.js").GraphJob[]} jobs
 * @param {Map<string, import("./graph-layout.js").Placed>} places
 * @returns {SVGPathElement[]}
 */
export function farPaths(jobs, places) {
  /** @type {Map<string, string[]>} */
  const boxes = new Map();
  for (const { job, state } of jobs) {
    const { x, y, width, height } = /** @type {import("./graph-layout.js").Placed} */ (places.get(job));
    const key = state ?? "";
    if (!boxes.has(key)) boxes.set(key, []);
    boxes.get(key)?.push(`M${x} ${y}h${width}v${height}h${-width}z`);
  }
  const drawn = ["", ...STATES].filter((state) => boxes.has(state));
  return drawn.map((state) => s("path", { class: `gr-all ${stateClass(state)}`, d: boxes.get(state)?.join("") }));
}

export class GraphMap {
  /** @param {import("./graph-view.js").View} view */
  constructor(view) {
    this.view = view;
    this.layer = s("g");
    this.window = s("rect", { class: "gr-window" });
    this.svg = s("svg", { class: "gr-map", "aria-hidden": "true" }, this.layer, this.window);
    for (const name of ["pointerdown", "pointermove"]) {
      this.svg.addEventListener(name, (/** @type {PointerEvent} */ event) => event.buttons && this.#move(event));
    }
  }

  paint() {
    const { width, height } = this.view;
    this.svg.classList.toggle("gr-hidden", this.view.fits);
    if (this.view.fits) return;
    const most = this.view.svg.clientWidth * SHARE;
    const scale = Math.min(Math.min(WIDTH, most) / width, HEIGHT / height);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", (width * scale).toFixed(1));
    this.svg.setAttribute("height", (height * scale).toFixed(1));
    const seen = this.view.window;
    for (const side of /** @type {const} */ (["x", "y", "width", "height"])) this.window.setAttribute(side, seen[side].toFixed(1));
    this.window.setAttribute("stroke-width", (1.5 / scale).toFixed(1));
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const box = this.svg.getBoundingClientRect();
    const { scale, width, height } = this.view;
    this.view.show(scale, { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height });
  }
}
