/**
 * What stands around the lanes of a timeline: the times above, and the words below.
 */

import { h, s } from "./dom.js";
import { dayLabel, duration, step, tickLabel, ticks } from "./time.js";
import { percent } from "./timeline-lane.js";

/** How wide a time is, with some room. */
const LABEL = 84;
const LETTER = 7;

/**
 * Round times and hairlines for them. A time has its day where that is another than before, and
 * is left out where it has no room.
 * @param {ReturnType<typeof import("./timeline-scale.js").scaleOf>} scale
 * @param {number} width
 */
export function makeAxis(scale, width) {
  const marks = [];
  const lines = [];
  const line = (/** @type {number} */ x, /** @type {string | null} */ kind) => s("line", { class: kind, x1: percent(x), x2: percent(x), y1: 0, y2: "100%" });
  const size = step(1 / scale.perTime, Math.max(1, Math.floor(width / LABEL)));
  let day = dayLabel(scale.from);
  for (const { t0, t1, x0, x1, gap } of scale.segments) {
    if (gap) {
      marks.push(makeGap(t1 - t0, x0, x1));
      lines.push(line(x0, "tl-break"), line(x1, "tl-break"));
      continue;
    }
    let clear = x0 * width;
    for (const at of ticks(t0, t1, size)) {
      const x = scale.place(at);
      const today = dayLabel(at);
      const words = tickLabel(at, size);
      const label = today === day || today === words ? words : `${today} ${words}`;
      const wide = label.length * LETTER + 8;
      const room = x * width >= clear && x * width + wide < x1 * width + 8;
      const mark = h("div", { class: "tl-tick" }, room && h("span", {}, label));
      mark.style.left = percent(x);
      marks.push(mark);
      lines.push(line(x, null));
      if (room) [clear, day] = [x * width + wide, today];
    }
  }
  return { marks, lines };
}

/** @param {number} time @param {number} x0 @param {number} x1 */
function makeGap(time, x0, x1) {
  const words = duration(time / 1000);
  const gap = h("div", { class: "tl-gap", title: `${words} in which nothing ran are left out` }, h("span", {}, words));
  gap.style.left = percent(x0);
  gap.style.width = percent(x1 - x0);
  return gap;
}

/** What the looks mean, and the path that decided. @param {string[]} path @param {number} seconds */
export function makeFoot(path, seconds) {
  const entry = (/** @type {string} */ kind, /** @type {string} */ word) => h("span", { class: "tl-key" }, h("span", { class: `tl-part ${kind}` }), word);
  const names = path.length > 6 ? [...path.slice(0, 3), "…", ...path.slice(-2)] : path;
  const words = path.length > 1 ? [h("span", {}, h("b", {}, "Critical path: "), names.join(" → "), `, ${duration(seconds)}`)] : [];
  return [entry("tl-back", "backing off"), entry("tl-wait", "waiting"), entry("tl-run", "running"), ...words];
}
