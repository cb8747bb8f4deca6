/**
 * <rush-chart kind src>: a day of runs as stacked bars, or how long runs took as points. Lines
 * and words are few: the values are in the tooltip, and the names beside what they name.
 */

import { h, icon, s, safe } from "./dom.js";
import { Part, tooltip } from "./part.js";
import { isState, stateClass } from "./state.js";
import { clock, duration, exact, instant, step, tickLabel, ticks } from "./time.js";

const BOTTOM = 20;
const TOP = 8;
const BAD = ["Failed", "Stuck"];

/** A round number that is at least so large. @param {number} value */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((round) => round >= value) ?? value;
}

class Chart extends Part {
  place = -1;
  wide = 0;
  tall = 120;
  /** The height of the values, and where they begin. */
  room = 0;
  left = 0;
  /** @type {any[]} */ points = [];
  /** @type {{count: number, size: number, begin: number, length: number} | null} */ buckets = null;

  static get observedAttributes() {
    return ["src", "kind", "height", "caption"];
  }

  constructor() {
    super();
    this.caption = h("p", { class: "ch-title" });
    this.svg = s("svg", { class: "ch-canvas", tabindex: "0", role: "group", "aria-roledescription": "chart" });
    this.labels = h("div", { class: "ch-labels small" });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.frame = h("div", { class: "ch-frame" }, this.svg);
    this.svg.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.onPoint(event));
    this.svg.addEventListener("pointerleave", () => this.point(-1));
    this.svg.addEventListener("blur", () => this.point(-1));
    this.svg.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    this.svg.addEventListener("click", () => this.choose());
    this.resized = new ResizeObserver(() => this.answer && this.draw());
  }

  connected() {
    // The attribute `title` would be a tooltip of the browser's own.
    if (this.hasAttribute("title")) {
      this.setAttribute("caption", this.title);
      this.removeAttribute("title");
    }
    this.resized.observe(this.frame);
  }

  disconnected() {
    this.resized.disconnect();
    tooltip(null);
  }

  attributeChanged() {
    if (this.answer) this.show(this.answer);
  }

  /** @param {any} answer */
  show(answer) {
    const empty = this.getAttribute("kind") === "durations" ? !answer?.points?.length : !answer?.series?.some((/** @type {any} */ one) => one.values.some((/** @type {number} */ n) => n > 0));
    this.caption.textContent = this.getAttribute("caption") ?? "";
    this.caption.hidden = !this.caption.textContent;
    if (empty) return this.replaceChildren(this.caption, this.emptiness("Nothing ran in this time."));
    if (!this.frame.isConnected) this.replaceChildren(this.caption, this.labels, this.frame, this.status);
    this.draw();
  }

  draw() {
    this.wide = this.frame.clientWidth;
    this.tall = Number(this.getAttribute("height")) || 120;
    if (!this.wide) return;
    this.svg.setAttribute("height", String(this.tall));
    this.svg.setAttribute("viewBox", `0 0 ${this.wide} ${this.tall}`);
    this.room = this.tall - TOP - BOTTOM;
    if (this.getAttribute("kind") === "durations") this.drawDurations();
    else this.drawStack();
  }

  /** The values' axis: hairlines, their numbers at the left. @param {number[]} values @param {(value: number) => number} y @param {(value: number) => string} words */
  axis(values, y, words) {
    const labels = values.map((value) => words(value));
    this.left = Math.max(24, ...labels.map((label) => label.length * 6.4 + 10));
    return values.flatMap((value, index) => [
      s("line", { class: value === 0 ? "ch-base" : "ch-line", x1: this.left, x2: this.wide, y1: y(value), y2: y(value) }),
      s("text", { class: "ch-tick", x: this.left - 6, y: y(value) + 3.5, "text-anchor": "end" }, labels[index]),
    ]);
  }

  /** Round times below. @param {number} from @param {number} to @param {(at: number) => number} x */
  times(from, to, x) {
    const size = step(to - from, Math.max(1, Math.floor((this.wide - this.left) / 72)));
    return ticks(from, to, size).flatMap((at) => {
      const inside = x(at) > this.left + 12 && x(at) < this.wide - 20;
      return [
        s("line", { class: "ch-base", x1: x(at), x2: x(at), y1: TOP + this.room, y2: TOP + this.room + 4 }),
        inside && s("text", { class: "ch-tick", x: x(at), y: this.tall - 4, "text-anchor": "middle" }, tickLabel(at, size)),
      ].filter((node) => node !== false);
    });
  }

  // Bars --------------------------------------------------------------------------------------------

  drawStack() {
    const { from, to, series } = this.answer;
    const [begin, end] = [instant(from) ?? 0, instant(to) ?? 1];
    const worst = [...series].sort((a, b) => Number(BAD.includes(b.state)) - Number(BAD.includes(a.state)));
    const count = Math.max(...series.map((/** @type {any} */ one) => one.values.length));
    const sums = Array.from({ length: count }, (_, index) => series.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + (one.values[index] ?? 0), 0));
    const most = ceiling(Math.max(1, ...sums));
    const { room } = this;
    const y = (/** @type {number} */ value) => TOP + room - (value / most) * room;
    const lines = this.axis(most >= 4 ? [0, most / 2, most] : [0, most], y, (value) => value.toLocaleString("en"));
    const { left } = this;
    const size = (this.wide - left) / count;
    const x = (/** @type {number} */ at) => left + ((at - begin) / (end - begin)) * (this.wide - left);
    const gap = size > 4 ? 1 : 0;
    /** @type {Map<string, string[]>} */
    const paths = new Map();
    sums.forEach((_, index) => {
      let base = TOP + room;
      for (const { state, values } of worst) {
        if (!values[index]) continue;
        // What is one of thousands is still to be seen.
        const high = Math.max(2, (values[index] / most) * room);
        if (!paths.has(state)) paths.set(state, []);
        paths.get(state)?.push(`M${(left + index * size + gap / 2).toFixed(2)} ${base.toFixed(2)}v${(-high).toFixed(2)}h${(size - gap).toFixed(2)}v${high.toFixed(2)}z`);
        base -= high;
      }
    });
    this.buckets = { count, size, begin, length: (end - begin) / count };
    this.band = s("rect", { class: "ch-band", y: TOP, height: room, width: size, visibility: "hidden" });
    this.svg.replaceChildren(this.band, ...lines, ...[...paths].map(([state, d]) => s("path", { class: `ch-bars ${stateClass(state)}`, d: d.join("") })), ...this.times(begin, end, x));
    this.name(series.map((/** @type {any} */ one) => [one.state, one.name, one.values.reduce((/** @type {number} */ sum, /** @type {number} */ n) => sum + n, 0)]));
  }

  /** The names with their sums, instead of a legend. @param {[string, string, number][]} sums */
  name(sums) {
    this.labels.replaceChildren(
      ...sums.filter(([, , sum]) => sum > 0).map(([state, name, sum]) => h("span", { class: "state", "data-state": state }, isState(state) && icon(state, "s"), `${sum.toLocaleString("en")} ${name}`)),
    );
    this.svg.setAttribute("aria-label", `${this.getAttribute("caption") ?? "Chart"}: ${sums.map(([, name, sum]) => `${sum} ${name}`).join(", ")}. Arrow keys go through it.`);
  }

  /** @param {number} index */
  bucketWords(index) {
    const { begin, length } = /** @type {NonNullable<Chart["buckets"]>} */ (this.buckets);
    const at = begin + index * length;
    const day = clock(at).slice(0, 16);
    return `${day} to ${clock(at + length, { day: false }).slice(0, 5)}`;
  }

  // Points -------------------------------------------------------------------------------------------

  drawDurations() {
    const { p50, p95 } = this.answer;
    /** @type {any[]} */
    const points = this.answer.points.map((/** @type {any} */ point) => ({ ...point, at: instant(point.at) })).filter((/** @type {any} */ point) => point.at !== null && point.seconds !== null).sort((/** @type {any} */ a, /** @type {any} */ b) => a.at - b.at);
    const longest = Math.max(0.001, ...points.map((point) => point.seconds));
    const size = step(longest * 1000, 3) / 1000;
    const most = longest < 0.003 ? longest : Math.ceil(longest / size) * size;
    const { room } = this;
    const y = (/** @type {number} */ seconds) => TOP + room - (Math.min(seconds, most) / most) * room;
    const values = Array.from({ length: Math.round(most / size) + 1 }, (_, index) => index * size);
    const lines = this.axis(values, y, (seconds) => (seconds === 0 ? "0" : duration(seconds).replace(" m 00 s", " min").replace(" h 00 m", " h")));
    let [begin, end] = [points[0].at, points[points.length - 1].at];
    if (end - begin < 1000) [begin, end] = [begin - 30_000, end + 30_000];
    const right = 56;
    const x = (/** @type {number} */ at) => this.left + 6 + ((at - begin) / (end - begin)) * (this.wide - this.left - right - 6);
    const marks = points.map((point) => this.mark(point, x(point.at), y(point.seconds)));
    const close = typeof p50 === "number" && typeof p95 === "number" && y(p50) - y(p95) < 11;
    const levels = [["p95", p95], [close ? "" : "p50", p50]].flatMap(([name, seconds]) =>
      typeof seconds === "number"
        ? [s("line", { class: "ch-level", x1: this.left, x2: this.wide - right + 4, y1: y(seconds), y2: y(seconds) }), s("text", { class: "ch-name", x: this.wide, y: y(seconds) + 3.5, "text-anchor": "end" }, name && (close ? "p50, p95" : name))]
        : [],
    );
    this.points = points.map((point) => ({ ...point, x: x(point.at), y: y(point.seconds) }));
    this.svg.replaceChildren(...lines, ...levels, ...marks, ...this.times(begin, end, x));
    const said = [["p50", p50], ["p95", p95]].filter(([, seconds]) => typeof seconds === "number").map(([name, seconds]) => `${name} ${duration(/** @type {number} */ (seconds))}`);
    this.labels.replaceChildren(...[points.length === 1 ? "1 run" : `${points.length.toLocaleString("en")} runs`, ...said].map((words) => h("span", { class: "quiet" }, words)));
    this.svg.setAttribute("aria-label", `${this.getAttribute("caption") ?? "Durations"}: ${points.length} runs, ${said.join(", ")}. Arrow keys go through them.`);
  }

  /** A shape a state, so that it is not its colour alone. @param {any} point @param {number} x @param {number} y */
  mark(point, x, y) {
    const at = `M${x.toFixed(1)} ${y.toFixed(1)}`;
    const d = point.state === "Failed" ? `${at}m-3.5-3.5l7 7m0-7l-7 7` : point.state === "Stuck" ? `${at}m-4-1.7v3.4l2.3 2.3h3.4l2.3-2.3v-3.4l-2.3-2.3h-3.4z` : point.state === "Cancelled" ? `${at}m-3 3l6-6` : `${at}m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0`;
    const kind = ["Failed", "Cancelled"].includes(point.state) ? "ch-cross" : point.state === "Running" ? "ch-ring" : "ch-dot";
    const path = s("path", { class: `${kind} ${stateClass(point.state)}`, d });
    return point.href && safe(point.href) ? s("a", { href: point.href, tabindex: "-1", "aria-label": `${point.label}, ${point.state}, ${duration(point.seconds)}` }, path) : path;
  }

  // Pointer and keyboard --------------------------------------------------------------------------------

  get count() {
    return this.getAttribute("kind") === "durations" ? this.points.length : (this.buckets?.count ?? 0);
  }

  /** @param {PointerEvent} event */
  onPoint(event) {
    const box = this.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (this.getAttribute("kind") === "durations") {
      let best = -1;
      let least = 24 ** 2;
      for (const [index, point] of (this.points).entries()) {
        const far = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (far < least) [best, least] = [index, far];
      }
      this.point(best, event.clientX, event.clientY);
    } else {
      const index = Math.floor((x - this.left) / (this.buckets?.size ?? 1));
      this.point(index >= 0 && index < this.count ? index : -1, event.clientX, event.clientY);
    }
  }

  /** @param {number} index @param {number} [x] @param {number} [y] */
  point(index, x, y) {
    this.place = index;
    this.band?.setAttribute("visibility", index >= 0 ? "visible" : "hidden");
    if (index < 0) return tooltip(null);
    const box = this.svg.getBoundingClientRect();
    const { lines, at } = this.getAttribute("kind") === "durations" ? this.aboutPoint(index) : this.aboutBucket(index);
    tooltip(h("div", { class: "ch-tip" }, ...lines.map((line, place) => h("div", {}, place === 0 ? h("b", {}, line) : line))), x ?? box.left + at[0], y ?? box.top + at[1]);
    if (x === undefined) this.status.textContent = lines.join(", ");
  }

  /** @param {number} index @returns {{lines: string[], at: number[]}} */
  aboutPoint(index) {
    const point = /** @type {any} */ (this.points[index]);
    return { lines: [`${point.label ?? ""} ${point.state}`.trim(), duration(point.seconds), exact(point.at)], at: [point.x, point.y] };
  }

  /** @param {number} index @returns {{lines: string[], at: number[]}} */
  aboutBucket(index) {
    const { size } = /** @type {NonNullable<Chart["buckets"]>} */ (this.buckets);
    const x = this.left + index * size;
    this.band?.setAttribute("x", x.toFixed(2));
    const values = this.answer.series.map((/** @type {any} */ one) => `${(one.values[index] ?? 0).toLocaleString("en")} ${one.name}`);
    return { lines: [this.bucketWords(index), ...values], at: [x + size, TOP + 8] };
  }

  choose() {
    if (this.place < 0) return;
    if (this.getAttribute("kind") === "durations" || !this.buckets) return;
    const at = this.buckets.begin + this.place * this.buckets.length;
    this.tell("rush:range", { from: new Date(at).toISOString(), to: new Date(at + this.buckets.length).toISOString() });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const ways = { ArrowRight: 1, ArrowLeft: -1, Home: -this.count, End: this.count };
    const way = ways[/** @type {keyof typeof ways} */ (event.key)];
    if (way !== undefined) {
      const begin = this.place < 0 && way < 0 ? this.count : this.place;
      this.point(Math.max(0, Math.min(this.count - 1, begin + way)));
    } else if (event.key === "Enter") {
      const href = this.getAttribute("kind") === "durations" ? this.points[this.place]?.href : null;
      if (href && safe(href)) location.assign(href);
      else this.choose();
    } else if (event.key === "Escape") this.point(-1);
    else return;
    event.preventDefault();
  }
}

customElements.define("rush-chart", Chart);
