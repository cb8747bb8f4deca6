/**
 * <rush-timeline src>: what a run did when. One lane a job, one bar an attempt: backing off
 * dotted, waiting hatched, running solid; a line for now; the path that decided is thicker.
 *
 * Times in which nothing happened for long are left out, and say so; they can be shown.
 */

import { fill, h, s, safe, tool } from "./dom.js";
import { Part, tooltip } from "./part.js";
import { dayLabel, duration, instant, serverNow, step, zone } from "./time.js";
import { makeAxis, makeFoot } from "./timeline-axis.js";
import { makeLane, percent, ROW, tipOf } from "./timeline-lane.js";
import { criticalPath, idleTimes, scaleOf, spansOf } from "./timeline-scale.js";

/** @typedef {import("./timeline-scale.js").Span} Span */
/** @typedef {import("./timeline-scale.js").JobLane} JobLane */
/** @typedef {import("./timeline-lane.js").Lane} Lane */

const LANE = 28;
/** On a phone the name stands above the track. */
const NAME = 20;
const NARROW = matchMedia("(max-width: 480px)");
/** From so many lanes on one may choose which are shown. */
const MANY = 30;
/** @type {Record<string, (job: JobLane, critical: Set<string>) => boolean>} */
const CHOICES = {
  all: () => true,
  critical: (job, critical) => critical.has(job.job),
  live: (job) => job.state !== null && ["Waiting", "Ready", "Running"].includes(job.state),
  failed: (job) => job.attempts.some((attempt) => attempt.state === "Failed" || attempt.state === "Stuck"),
};
const ZOOMS = [1, 2, 4, 8, 16, 32, 64];

class Timeline extends Part {
  /** @type {Map<string, Lane>} */ lanes = new Map();
  /** @type {Map<string, Span[]>} */ spans = new Map();
  /** @type {ReturnType<typeof scaleOf> | null} */ scale = null;
  /** @type {string[]} */ path = [];
  zoom = 1;
  timer = 0;

  static get observedAttributes() {
    return ["src", "gaps", "round", "selected", "job-href"];
  }

  constructor() {
    super();
    this.round = h("select", { "aria-label": "Round", onchange: () => this.view("round", this.round.value) });
    this.choice = h("select", { "aria-label": "Jobs shown", onchange: () => this.show(this.answer) });
    this.gaps = h("button", { type: "button", class: "button quiet small", onclick: () => this.view("gaps", this.collapsed ? "true" : "collapsed") });
    this.tools = h(
      "div",
      { class: "tl-tools row" },
      this.choice,
      this.round,
      this.gaps,
      h("span", { class: "end joined" }, tool("minus", "Show more time", () => this.zoomBy(-1)), tool("plus", "Show less time", () => this.zoomBy(1)), tool("fit", "Show all", () => this.zoomBy(-9))),
    );
    this.corner = h("div", { class: "tl-name quiet" });
    this.axis = h("div", { class: "tl-track" });
    this.head = h("div", { class: "tl-head", "aria-hidden": "true" }, this.corner, this.axis, h("div", { class: "tl-took" }, "ran"));
    this.list = h("ul", { class: "plain tl-lanes", "aria-label": "Jobs of this run" });
    this.grid = s("g", { class: "tl-grid" });
    this.route = s("g", { class: "tl-route" });
    this.over = s("svg", { class: "tl-over", "aria-hidden": "true" }, this.grid, this.route);
    this.nowLine = h("div", { class: "tl-now", "aria-hidden": "true" });
    this.inner = h("div", { class: "tl-inner" }, h("div", { class: "tl-layer" }, this.over), this.head, this.list, h("div", { class: "tl-layer tl-front" }, this.nowLine));
    this.scroller = h("div", { class: "tl-scroll", tabindex: "-1" }, this.inner);
    this.foot = h("p", { class: "tl-foot small quiet" });
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    this.list.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.onPoint(event));
    this.list.addEventListener("pointerleave", () => tooltip(null));
    this.list.addEventListener("focusin", (/** @type {FocusEvent} */ event) => this.onFocus(event));
    this.list.addEventListener("focusout", () => tooltip(null));
    this.list.addEventListener("click", (/** @type {MouseEvent} */ event) => this.onClick(event));
    this.scroller.addEventListener("wheel", (/** @type {WheelEvent} */ event) => this.onWheel(event), { passive: false });
    this.resized = new ResizeObserver(() => this.drawAxis());
  }

  connected() {
    this.resized.observe(this.axis);
    if (this.answer) this.beat();
  }

  disconnected() {
    this.resized.disconnect();
    clearTimeout(this.timer);
    tooltip(null);
  }

  /** @param {string} name */
  attributeChanged(name) {
    if (!this.answer) return;
    if (name === "selected") this.mark();
    else {
      if (name === "job-href") this.lanes.clear();
      this.show(this.answer);
    }
  }

  get collapsed() {
    return this.getAttribute("gaps") !== "true";
  }

  get chosenRound() {
    const round = Number(this.getAttribute("round"));
    return Number.isInteger(round) && round > 0 ? round : null;
  }

  /** @param {string} name @param {string} value */
  view(name, value) {
    this.setAttribute(name, value);
    this.tell("rush:view", { gaps: this.collapsed ? "collapsed" : "true", round: this.chosenRound ?? "all" });
  }

  get live() {
    return this.answer?.run?.state === "Running" || [...this.spans.values()].some((spans) => spans.some((span) => span.live));
  }

  /** @param {{run: any, jobs: JobLane[]}} answer */
  show(answer) {
    const jobs = answer?.jobs ?? [];
    if (jobs.length === 0) {
      this.lanes.clear();
      this.list.replaceChildren();
      this.replaceChildren(this.emptiness("This run has no jobs yet."));
      return;
    }
    if (!this.inner.isConnected) this.replaceChildren(this.tools, this.scroller, this.foot);
    this.spans = new Map(jobs.map((job) => [job.job, spansOf(job, this.chosenRound)]));
    this.path = criticalPath(jobs, this.spans, serverNow());
    this.drawRounds(jobs);
    this.drawLanes(this.choose(jobs));
    this.layOut(true);
    this.mark();
    this.beat();
  }

  /** A live run moves: four times a second while it is young, then once. */
  beat() {
    clearTimeout(this.timer);
    if (!this.live || !this.isConnected) return;
    const young = this.scale !== null && this.scale.to - this.scale.from < 120_000;
    this.timer = window.setTimeout(() => {
      if (!document.hidden) this.layOut(false);
      this.beat();
    }, young ? 250 : 1000);
  }

  // Time and place --------------------------------------------------------------------------

  /** Chooses the scale, and puts everything in its place; `all` is false when only now has moved. @param {boolean} all */
  layOut(all) {
    const now = serverNow();
    const run = this.answer.run ?? {};
    const spans = [...this.spans.values()].flat();
    const begin = this.chosenRound && this.chosenRound > 1 ? [] : [instant(run.created_at), instant(run.started_at)];
    const from = Math.min(...begin.filter((at) => at !== null), ...spans.map((span) => span.from), this.live ? now : Infinity);
    let to = Math.max(from + 1, ...spans.map((span) => Math.max(span.ended ?? span.ready ?? from, span.started ?? from)));
    if (this.live) to = Math.max(to, now);
    const kept = this.scale;
    if (!all && kept && kept.from === from && kept.to >= to) to = kept.to;
    else if (this.live) to += this.room(to - from, idleTimes(spans, from, to, now));
    const gaps = idleTimes(spans, from, to, now);
    this.gaps.hidden = gaps.length === 0;
    this.gaps.textContent = this.collapsed ? "Show the idle time too" : "Leave the idle time out";
    const scale = scaleOf(from, to, this.collapsed ? gaps : []);
    const moved = all || !kept || kept.to !== scale.to || kept.from !== scale.from || kept.segments.length !== scale.segments.length;
    this.scale = scale;
    for (const lane of this.lanes.values()) {
      for (const { span, bar, parts } of lane.bars.values()) {
        if (moved || span.live) this.place(span, bar, parts, now);
      }
      if (moved || lane.took.dataset.live) this.sum(lane, now);
    }
    if (moved) {
      this.drawAxis();
      this.drawPath(now);
    }
    this.nowLine.hidden = !this.live;
    this.nowLine.style.left = percent(scale.place(now));
  }

  /** Room ahead of now, so that the scale changes in steps and not all the time. @param {number} span @param {[number, number][]} gaps */
  room(span, gaps) {
    const shown = Math.max(1000, span - (this.collapsed ? gaps.reduce((sum, [a, b]) => sum + b - a, 0) : 0));
    const size = step(shown, 12);
    return Math.ceil((shown * 1.02) / size) * size - shown;
  }

  /** @param {Span} span @param {any} bar @param {any} parts @param {number} now */
  place(span, bar, parts, now) {
    const { place } = /** @type {NonNullable<Timeline["scale"]>} */ (this.scale);
    const end = span.ended ?? Math.max(span.started === null && !span.live ? span.ready ?? now : now, span.ready ?? 0);
    const x0 = place(span.from);
    const width = place(end) - x0;
    bar.style.left = percent(x0);
    bar.style.width = percent(width);
    const within = (/** @type {number} */ at) => (width > 0 ? (place(at) - x0) / width : 0);
    const ready = within(span.ready ?? span.from);
    const started = within(span.started ?? end);
    if (parts.back) parts.back.style.width = percent(ready);
    parts.wait.style.left = percent(ready);
    parts.wait.style.width = percent(Math.max(0, started - ready));
    if (parts.run) {
      parts.run.style.left = percent(started);
      parts.run.style.width = percent(Math.max(0, within(end) - started));
    }
  }

  /** What the job has taken in all, at the right. @param {Lane} lane @param {number} now */
  sum(lane, now) {
    let total = 0;
    let live = false;
    for (const { span } of lane.bars.values()) {
      if (span.started === null) continue;
      total += (span.ended ?? now) - span.started;
      live ||= span.live;
    }
    lane.took.textContent = total ? duration(total / 1000) : "";
    if (live) lane.took.dataset.live = "yes";
    else delete lane.took.dataset.live;
  }

  drawAxis() {
    const width = this.axis.clientWidth;
    if (!this.scale || !width) return;
    const { marks, lines } = makeAxis(this.scale, width);
    this.axis.replaceChildren(...marks);
    this.grid.replaceChildren(...lines);
    this.corner.textContent = `${dayLabel(this.scale.from)}, ${zone(this.scale.from)}`;
  }

  /** Thin lines from lane to lane along the path that decided. @param {number} now */
  drawPath(now) {
    const { place } = /** @type {NonNullable<Timeline["scale"]>} */ (this.scale);
    const middles = this.path.map((job) => this.lanes.get(job)?.element.dataset.middle);
    const begins = this.path.map((job) => this.spans.get(job)?.[0]?.from);
    const lines = this.path.map((_, index) => {
      const [x, y1, y2] = [begins[index], middles[index - 1], middles[index]];
      return x === undefined || !y1 || !y2 ? null : s("line", { x1: percent(place(x)), x2: percent(place(x)), y1, y2 });
    });
    this.route.replaceChildren(...lines.filter((line) => line !== null));
    const last = (this.spans.get(this.path[this.path.length - 1]) ?? []).filter((span) => span.started !== null);
    const took = begins[0] === undefined ? 0 : Math.max(begins[0], ...last.map((span) => span.ended ?? now)) - begins[0];
    this.foot.replaceChildren(...makeFoot(this.path, took / 1000));
  }

  // Lanes ---------------------------------------------------------------------------------------

  /** @param {JobLane[]} jobs */
  drawRounds(jobs) {
    const rounds = [...new Set(jobs.flatMap((job) => job.attempts.map((attempt) => attempt.round)))].sort((a, b) => a - b);
    this.round.hidden = rounds.length < 2;
    if (this.round.options.length !== rounds.length + 1) {
      this.round.replaceChildren(h("option", { value: "all" }, "All rounds"), ...rounds.map((round) => h("option", { value: round }, `Round ${round}`)));
    }
    this.round.value = String(this.chosenRound ?? "all");
  }

  /** The lanes to show, where there are many. @param {JobLane[]} jobs @returns {JobLane[]} */
  choose(jobs) {
    const critical = new Set(this.path);
    const found = Object.fromEntries(Object.entries(CHOICES).map(([key, holds]) => [key, jobs.filter((job) => holds(job, critical))]));
    this.choice.hidden = jobs.length < MANY;
    if (this.choice.hidden) return jobs;
    const chosen = found[this.choice.value]?.length ? this.choice.value : "all";
    const words = { all: "All jobs", critical: "On the critical path", live: "Waiting or running", failed: "Failed at least once" };
    this.choice.replaceChildren(
      ...Object.entries(words).map(([key, word]) => h("option", { value: key, disabled: found[key].length === 0, selected: key === chosen }, `${word} (${found[key].length})`)),
    );
    return found[chosen];
  }

  /** @param {JobLane[]} jobs */
  drawLanes(jobs) {
    const names = new Set(jobs.map((job) => job.job));
    for (const [name, lane] of this.lanes) if (!names.has(name)) (lane.element.remove(), this.lanes.delete(name));
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.closest?.(".tl-bar, .tl-name");
    const kept = focused && this.contains(focused) ? /** @type {HTMLElement} */ (focused).dataset.key : null;
    const critical = new Set(this.path);
    const elements = [];
    let top = 0;
    for (const job of jobs) {
      const spans = this.spans.get(job.job) ?? [];
      const rows = Math.max(1, ...spans.map((span) => span.row + 1));
      const above = NARROW.matches ? NAME : 0;
      const height = above + (rows === 1 ? LANE : rows * ROW + 12);
      const text = JSON.stringify([job, this.chosenRound, critical.has(job.job)]);
      let lane = this.lanes.get(job.job);
      if (lane?.text !== text) {
        lane = makeLane(job, spans, text, rows, critical.has(job.job), (span) => this.hrefOf(job.job, span));
        this.lanes.set(job.job, lane);
      }
      lane.element.style.height = `${height}px`;
      lane.element.dataset.middle = String(top + (above + height) / 2);
      top += height;
      elements.push(lane.element);
    }
    if (elements.length !== this.list.children.length || elements.some((element, index) => this.list.children[index] !== element)) {
      this.list.replaceChildren(...elements);
    }
    this.makeReachable(kept);
  }

  /** @param {string} job @param {Span | undefined} span */
  hrefOf(job, span) {
    const { attempt = "", round = "", item = "" } = span?.attempt ?? {};
    const href = fill(this.getAttribute("job-href"), { job, attempt, round, item, run: this.answer.run?.id ?? "" });
    return href && safe(href) ? href : null;
  }

  mark() {
    const chosen = this.getAttribute("selected");
    for (const [name, lane] of this.lanes) lane.element.classList.toggle("here", name === chosen);
  }

  // Pointer and keyboard ----------------------------------------------------------------------------

  /** @param {EventTarget | null} target */
  at(target) {
    const bar = /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest(".tl-bar, .tl-name") : null);
    if (!bar) return null;
    const [name, key] = (bar.dataset.key ?? "").split("//");
    const job = this.answer.jobs.find((/** @type {JobLane} */ each) => each.job === name);
    return { bar, job, span: this.lanes.get(name)?.bars.get(key)?.span };
  }

  /** @param {PointerEvent} event */
  onPoint(event) {
    const found = this.at(event.target);
    if (found?.job && found.span) tooltip(tipOf(found.job, found.span), event.clientX, event.clientY);
    else tooltip(null);
  }

  /** @param {FocusEvent} event */
  onFocus(event) {
    const found = this.at(event.target);
    if (!found?.job || !found.span || !found.bar.matches(":focus-visible")) return;
    const { left, bottom } = found.bar.getBoundingClientRect();
    tooltip(tipOf(found.job, found.span), Math.max(left, 0), bottom - 12);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const found = this.at(event.target);
    if (!found?.job || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const last = found.span ?? (this.spans.get(found.job.job) ?? []).at(-1);
    const { item = 0, round = 1, attempt = 0 } = last?.attempt ?? {};
    if (!this.tell("rush:open", { job: found.job.job, item, round, attempt })) event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const lanes = [...this.list.children];
    const lane = lanes.indexOf(/** @type {Element} */ (event.target).closest("li"));
    const stops = (/** @type {number} */ index) => [...(lanes[index]?.querySelectorAll(".tl-bar") ?? [])];
    const here = stops(lane).indexOf(/** @type {Element} */ (event.target));
    const away = { ArrowUp: -1, k: -1, ArrowDown: 1, j: 1, Home: -lanes.length, End: lanes.length }[event.key];
    let next;
    if (event.key === "ArrowRight") next = stops(lane)[here + 1];
    else if (event.key === "ArrowLeft") next = stops(lane)[here - 1];
    else if (away) {
      let index = Math.max(-1, Math.min(lanes.length, lane + away));
      const direction = Math.abs(away) > 1 ? -Math.sign(away) : away;
      if (Math.abs(away) > 1) index = away < 0 ? 0 : lanes.length - 1;
      while (index >= 0 && index < lanes.length && stops(index).length === 0) index += direction;
      next = stops(index).at(-1);
    } else return;
    event.preventDefault();
    if (next) this.focusOn(/** @type {HTMLElement} */ (next));
  }

  /** @param {HTMLElement} bar */
  focusOn(bar) {
    for (const other of this.list.querySelectorAll('.tl-bar[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    bar.setAttribute("tabindex", "0");
    bar.focus({ preventScroll: true });
    bar.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** One stop for Tab in the whole timeline; focus survives a redraw. @param {string | null | undefined} kept */
  makeReachable(kept) {
    const bars = [...this.list.querySelectorAll(".tl-bar")];
    const same = kept && bars.find((bar) => bar.dataset.key === kept);
    if (same && document.activeElement !== same) this.focusOn(same);
    if (!bars.some((bar) => bar.getAttribute("tabindex") === "0")) bars[0]?.setAttribute("tabindex", "0");
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? 1 : -1, event.clientX);
  }

  /** @param {number} by @param {number} [x] what stays where it is */
  zoomBy(by, x) {
    const box = this.axis.getBoundingClientRect();
    const view = this.scroller.getBoundingClientRect();
    const at = x ?? (view.left + view.right) / 2;
    const share = (at - box.left) / box.width;
    this.zoom = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(this.zoom) + by))];
    this.inner.style.width = `${this.zoom * 100}%`;
    this.scroller.scrollLeft += this.axis.getBoundingClientRect().left + share * this.axis.clientWidth - at;
  }
}

customElements.define("rush-timeline", Timeline);
