/**
 * <rush-graph src states>: the jobs of a pipeline and their order, left to right.
 *
 * Near enough to be read, boxes are elements, and only those in the window exist. From afar all
 * boxes of one state are one path, so that 2,000 jobs cost no more than a few.
 */

import { fill, h, s, safe, tool } from "./dom.js";
import { makeBox, setState, sizeOf, tick, wordsOf } from "./graph-box.js";
import { firstFocus, neighbours, partOf } from "./graph-focus.js";
import { layOut, pathOf } from "./graph-layout.js";
import { farPaths, GraphMap } from "./graph-map.js";
import { View } from "./graph-view.js";
import { Part, tooltip } from "./part.js";

/** @typedef {import("./graph-focus.js").GraphJob} GraphJob */
/** @typedef {import("./graph-layout.js").Placed} Placed */

/** Below this scale names cannot be read, and boxes are only colours. */
const READABLE = 0.45;
/** What cannot be shown whole at this scale begins with a part. */
const ENOUGH = matchMedia("(max-width: 480px)").matches ? 0.7 : 0.5;

class Graph extends Part {
  /** @type {GraphJob[]} */ jobs = [];
  /** @type {Map<string, GraphJob>} */ byName = new Map();
  /** @type {Map<string, Placed>} */ places = new Map();
  /** @type {{from: string, to: string, d: string, x0: number, x1: number, y0: number, y1: number}[]} */ edges = [];
  /** @type {Map<string, import("./graph-box.js").BoxNode>} */ nodes = new Map();
  /** @type {Map<number, any>} */ lines = new Map();
  /** What it began with. @type {string | null} */ first = null;
  stateful = false;
  laidOut = "";
  /** The part and direction that were asked for when it was laid out. */
  asked = "";
  current = "";
  timer = 0;
  repaint = 0;

  static get observedAttributes() {
    return ["src", "states", "focus", "direction", "selected"];
  }

  constructor() {
    super();
    this.far = s("g", { class: "gr-far" });
    this.near = s("g", { class: "gr-near" });
    this.layer = s("g", {}, this.far, this.near);
    const arrow = s("marker", { id: "gr-arrow", viewBox: "0 0 6 6", refX: 6, refY: 3, markerWidth: 6, markerHeight: 6, orient: "auto" }, s("path", { class: "gr-head", d: "M0 0L6 3L0 6z" }));
    this.svg = s("svg", { class: "gr-canvas", role: "group" }, s("defs", {}, arrow), this.layer);
    this.view = new View(this.svg, this.layer, () => this.paint());
    this.choice = h("select", { "aria-label": "Part of the graph", onchange: () => this.choose(this.choice.value) });
    this.find = h("input", { type: "search", placeholder: "Find a job", "aria-label": "Find a job", onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && this.seek() });
    this.following = tool("follow", "Follow what runs", () => this.follow(this.following.getAttribute("aria-pressed") !== "true"), { text: "Follow", "aria-pressed": "false" });
    this.turn = tool("down", "Top to bottom", () => this.setAttributeAndTell("direction", this.direction === "right" ? "down" : "right"));
    this.tools = h(
      "div",
      { class: "gr-tools row" },
      this.choice,
      this.find,
      this.following,
      h("span", { class: "end joined" }, this.turn, tool("minus", "Smaller", () => this.view.zoom(1 / 1.4)), tool("plus", "Larger", () => this.view.zoom(1.4)), tool("fit", "Show all", () => this.fit(true))),
    );
    this.map = new GraphMap(this.view);
    this.frame = h("div", { class: "gr-frame-box" }, this.svg, this.map.svg);
    this.svg.addEventListener("click", (/** @type {MouseEvent} */ event) => this.onClick(event));
    this.svg.addEventListener("dblclick", (/** @type {MouseEvent} */ event) => this.onDouble(event));
    this.svg.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    this.svg.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => this.onOver(event));
    this.svg.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.onFarPoint(event));
    this.svg.addEventListener("pointerleave", () => (this.trace(null), tooltip(null)));
    this.svg.addEventListener("focusin", (/** @type {FocusEvent} */ event) => this.trace(/** @type {Element} */ (event.target).closest(".gr-box")));
    this.resized = new ResizeObserver(() => this.view.pan(0, 0));
  }

  connected() {
    this.resized.observe(this.svg);
    this.timer = window.setInterval(() => !document.hidden && this.nodes.forEach((node) => node.job.state === "Running" && tick(node)), 1000);
  }

  disconnected() {
    this.resized.disconnect();
    clearInterval(this.timer);
    tooltip(null);
  }

  /** @param {string} name */
  attributeChanged(name) {
    if (!this.answer) return;
    if (name === "selected") this.mark();
    else if (name !== "states") this.show(this.answer);
  }

  get direction() {
    const said = this.getAttribute("direction");
    return said === "right" || said === "down" ? said : matchMedia("(max-width: 480px)").matches ? "down" : "right";
  }

  get focusOn() {
    const said = this.getAttribute("focus");
    return said && (["all", "failed", "running"].includes(said) || this.byName.has(said)) ? said : (this.first ?? "all");
  }

  /** @param {string} name @param {string} value */
  setAttributeAndTell(name, value) {
    this.setAttribute(name, value);
    this.tell("rush:view", { focus: this.focusOn, direction: this.direction });
  }

  /** @param {string} focus */
  choose(focus) {
    this.setAttributeAndTell("focus", focus);
  }

  /** With `states`, only what has changed is read again. */
  async load() {
    const states = this.getAttribute("states");
    if (this.answer === null || !states) return super.load();
    const { now, states: changed, reset } = await this.read(states);
    if (reset) return super.load();
    const jobs = this.answer.jobs.map((/** @type {GraphJob} */ job) => (Object.hasOwn(changed, job.job) ? { ...job, ...changed[job.job] } : job));
    this.data = { ...this.answer, now, jobs };
  }

  /** @param {{jobs: GraphJob[], run: any}} answer */
  show(answer) {
    const jobs = answer?.jobs ?? [];
    if (jobs.length === 0) return this.replaceChildren(this.emptiness("This pipeline has no jobs."));
    const begins = !this.frame.isConnected;
    if (begins) this.replaceChildren(this.tools, this.frame);
    this.byName = new Map(jobs.map((job) => [job.job, job]));
    this.first ??= firstFocus(jobs);
    this.stateful = Boolean(answer.run) || jobs.some((job) => job.state !== null);
    const part = partOf(jobs, this.focusOn);
    const text = JSON.stringify([this.direction, this.stateful, part.jobs.map((job) => [job.job, job.depends_on])]);
    this.jobs = part.jobs;
    this.drawChoices(jobs);
    const asked = `${this.focusOn} ${this.direction}`;
    if (text !== this.laidOut) {
      const anchor = asked === this.asked ? this.anchor() : null;
      [this.laidOut, this.asked] = [text, asked];
      this.layOut();
      if (anchor && this.places.has(anchor.job)) this.hold(anchor);
      else this.fit(false);
    } else {
      for (const [name, node] of this.nodes) {
        const job = /** @type {GraphJob} */ (this.byName.get(name));
        if (JSON.stringify(job) !== JSON.stringify(node.job)) setState(node, job, /** @type {Placed} */ (this.places.get(name)), this.stateful);
      }
      this.drawFar();
    }
    this.svg.setAttribute("aria-label", `Graph of ${this.jobs.length} jobs. Arrow keys follow the edges, Enter opens a job.`);
    this.mark();
    this.following.hidden = answer.run?.state !== "Running" || jobs.length < 12;
    if (this.following.getAttribute("aria-pressed") === "true") this.follow(true);
  }

  layOut() {
    const boxes = this.jobs.map((job) => sizeOf(job, this.stateful));
    const names = new Set(this.jobs.map((job) => job.job));
    const edges = this.jobs.flatMap((job) => job.depends_on.filter((other) => names.has(other)).map((other) => /** @type {[string, string]} */ ([other, job.job])));
    const found = layOut(boxes, edges, this.direction);
    this.places = found.boxes;
    this.around = neighbours(this.jobs);
    this.edges = found.routes.map(({ from, to, points }) => {
      const xs = points.map(([x]) => x);
      const ys = points.map(([, y]) => y);
      return { from, to, d: pathOf(points, this.direction), x0: Math.min(...xs), x1: Math.max(...xs), y0: Math.min(...ys), y1: Math.max(...ys) };
    });
    [this.view.width, this.view.height] = [found.width, found.height];
    this.near.replaceChildren();
    this.nodes.clear();
    this.lines.clear();
    this.drawFar();
    const whole = Math.min(1, (this.clientWidth - 24) / found.width);
    const scale = whole < ENOUGH && this.jobs.length <= 150 ? 0.8 : Math.max(0.5, whole);
    this.frame.style.height = `${Math.round(Math.max(120, Math.min(innerHeight * 0.72, found.height * scale + 32)))}px`;
  }

  /** Everything at once if it can be read or is too much to read; else the beginning, or what matters. @param {boolean} all */
  fit(all) {
    const scale = this.view.fitting();
    if (all || scale >= ENOUGH || this.jobs.length > 150) return this.view.show(scale);
    const matters = this.jobs.find((job) => job.state === "Stuck" || job.state === "Failed") ?? this.jobs.find((job) => job.state === "Running") ?? this.jobs[0];
    const place = /** @type {Placed} */ (this.places.get(matters.job));
    this.view.show(0.8, { x: place.x + place.width / 2, y: place.y + place.height / 2 });
  }

  /** The box nearest to the middle of the window, and where it is in it. */
  anchor() {
    const { x, y, width, height } = this.view.window;
    let found = null;
    let least = Infinity;
    for (const [job, at] of this.places) {
      const far = Math.hypot(at.x + at.width / 2 - x - width / 2, at.y + at.height / 2 - y - height / 2);
      if (far < least) [least, found] = [far, { job, x: at.x, y: at.y }];
    }
    return found;
  }

  /** After a new layout, what was looked at stays where it was. @param {{job: string, x: number, y: number}} anchor */
  hold({ job, x, y }) {
    const at = /** @type {Placed} */ (this.places.get(job));
    this.view.pan((x - at.x) * this.view.scale, (y - at.y) * this.view.scale);
  }

  /** Keeps what runs in the window. @param {boolean} on */
  follow(on) {
    this.following.setAttribute("aria-pressed", String(on));
    const running = on ? this.jobs.find((job) => job.state === "Running") : undefined;
    if (running) this.goTo(running.job, false);
  }

  /** @param {GraphJob[]} jobs */
  drawChoices(jobs) {
    const parts = /** @type {[string, string][]} */ ([["failed", "Around what failed"], ["running", "Around what runs"]]);
    const options = [h("option", { value: "all" }, `All ${jobs.length} jobs`)];
    for (const [focus, words] of parts) {
      const { jobs: near, centre } = partOf(jobs, focus);
      if (centre.length || this.focusOn === focus) options.push(h("option", { value: focus }, `${words} (${centre.length ? near.length : 0})`));
    }
    if (!["all", "failed", "running"].includes(this.focusOn)) options.push(h("option", { value: this.focusOn }, `Around ${this.focusOn} (${this.jobs.length})`));
    this.choice.replaceChildren(...options);
    this.choice.value = this.focusOn;
    this.choice.hidden = jobs.length < 12 && options.length === 1;
    this.find.hidden = jobs.length < 30;
    const turned = this.direction === "right";
    this.turn.setAttribute("aria-label", turned ? "Draw it from top to bottom" : "Draw it from left to right");
    this.turn.setAttribute("title", this.turn.getAttribute("aria-label"));
    this.turn.firstChild.firstChild.setAttribute("transform", turned ? "" : "rotate(-90 8 8)");
  }

  // What is in the window -------------------------------------------------------------------------

  /** The whole graph as a path a state. */
  drawFar() {
    const paths = farPaths(this.jobs, this.places);
    this.far.replaceChildren(s("path", { class: "gr-lines", d: this.edges.map((edge) => edge.d).join("") }), ...paths);
    this.map.layer.replaceChildren(...paths.map((path) => path.cloneNode()));
    this.view.pan(0, 0);
  }

  paint() {
    const readable = this.view.scale >= READABLE;
    this.far.setAttribute("display", readable ? "none" : "inline");
    this.near.setAttribute("display", readable ? "inline" : "none");
    this.svg.setAttribute("tabindex", readable ? "-1" : "0");
    if (readable) this.paintNear();
    this.map.paint();
  }

  /** Makes what has come into the window, and removes what has left it, but never what has the focus. */
  paintNear() {
    const { x, y, width, height } = this.view.window;
    const [x0, x1, y0, y1] = [x - 60, x + width + 60, y - 60, y + height + 60];
    this.edges.forEach((edge, index) => {
      const seen = edge.x0 < x1 && edge.x1 > x0 && edge.y0 < y1 && edge.y1 > y0;
      const line = this.lines.get(index);
      if (seen && !line) {
        const made = s("path", { class: "gr-edge", d: edge.d, "marker-end": "url(#gr-arrow)", "data-from": edge.from, "data-to": edge.to });
        this.lines.set(index, made);
        this.near.prepend(made);
      } else if (!seen && line) (line.remove(), this.lines.delete(index));
    });
    const held = /** @type {HTMLElement | null} */ (document.activeElement)?.closest?.(".gr-box");
    for (const job of this.jobs) {
      const at = /** @type {Placed} */ (this.places.get(job.job));
      const seen = at.x < x1 && at.x + at.width > x0 && at.y < y1 && at.y + at.height > y0;
      const node = this.nodes.get(job.job);
      if (seen && !node) this.addBox(this.byName.get(job.job) ?? job, at);
      else if (!seen && node && node.element !== held) (node.element.remove(), this.nodes.delete(job.job));
    }
    this.makeReachable();
  }

  /** @param {GraphJob} job @param {Placed} at */
  addBox(job, at) {
    const href = fill(this.getAttribute("job-href"), { job: job.job, run: this.answer.run?.id ?? "" });
    const node = makeBox(job, at, href && safe(href) ? href : null, this.stateful);
    node.element.classList.toggle("is-selected", this.getAttribute("selected") === job.job);
    this.nodes.set(job.job, node);
    this.near.append(node.element);
    return node;
  }

  /** One stop for Tab: the box last visited, or the first that is seen. */
  makeReachable() {
    const wanted = this.nodes.has(this.current) ? this.current : [...this.nodes.keys()][0];
    for (const [name, { element }] of this.nodes) element.setAttribute("tabindex", name === wanted ? "0" : "-1");
  }

  mark() {
    const chosen = this.getAttribute("selected");
    for (const [name, { element }] of this.nodes) element.classList.toggle("is-selected", name === chosen);
  }

  // Pointer and keyboard ------------------------------------------------------------------------------

  /** The job at a point of the window, where boxes are no elements. @param {MouseEvent} event */
  jobAt(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left - this.view.x) / this.view.scale;
    const y = (event.clientY - box.top - this.view.y) / this.view.scale;
    return this.jobs.find((job) => {
      const at = /** @type {Placed} */ (this.places.get(job.job));
      return x >= at.x && x <= at.x + at.width && y >= at.y && y <= at.y + at.height;
    });
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const name = /** @type {any} */ (event.target).closest(".gr-box")?.dataset.job;
    if (name === undefined || event.metaKey || event.ctrlKey || event.shiftKey) return;
    this.current = name;
    if (!this.tell("rush:open", { job: name })) event.preventDefault();
  }

  /** From afar a double click comes nearer; near, it leaves only what belongs to the box. @param {MouseEvent} event */
  onDouble(event) {
    const job = this.jobAt(event);
    if (!job) return;
    event.preventDefault();
    if (this.view.scale >= READABLE) this.choose(job.job);
    else this.goTo(job.job, false);
  }

  /** @param {PointerEvent} event */
  onOver(event) {
    this.trace(/** @type {Element} */ (event.target).closest(".gr-box"));
  }

  /** @param {PointerEvent} event */
  onFarPoint(event) {
    const job = this.view.scale < READABLE && !event.buttons ? this.jobAt(event) : undefined;
    tooltip(job ? h("div", {}, h("b", {}, job.job), h("div", {}, wordsOf(job).join(" · "))) : null, event.clientX, event.clientY);
  }

  /** The edges of a box stand out. @param {Element | null} box */
  trace(box) {
    const name = /** @type {any} */ (box)?.dataset.job;
    for (const line of this.lines.values()) line.classList.toggle("is-traced", name !== undefined && (line.dataset.from === name || line.dataset.to === name));
  }

  /** @param {string} name @param {boolean} focus */
  goTo(name, focus) {
    const at = this.places.get(name);
    if (!at) return;
    this.current = name;
    if (this.view.scale < READABLE) this.view.show(0.8, { x: at.x + at.width / 2, y: at.y + at.height / 2 });
    else this.view.reveal(at);
    if (!focus) return;
    const node = this.nodes.get(name) ?? this.addBox(/** @type {GraphJob} */ (this.byName.get(name)), at);
    this.makeReachable();
    node.element.focus({ preventScroll: true });
  }

  seek() {
    const words = this.find.value.trim().toLowerCase();
    const found = words ? this.jobs.filter((job) => job.job.toLowerCase().includes(words)) : [];
    this.find.setAttribute("aria-invalid", String(words !== "" && found.length === 0));
    if (found.length) this.goTo(found[(found.findIndex((job) => job.job === this.current) + 1) % found.length].job, false);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const right = this.direction === "right";
    const keys = right ? ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"] : ["ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft"];
    const way = keys.indexOf(event.key);
    const name = /** @type {any} */ (event.target).closest(".gr-box")?.dataset.job;
    if (event.key === "+" || event.key === "-") this.view.zoom(event.key === "+" ? 1.4 : 1 / 1.4);
    else if (event.key === "0") this.fit(true);
    else if (event.key === "f" && name !== undefined) this.choose(name);
    else if (event.key === "Escape" && this.focusOn !== "all") this.choose("all");
    else if (way >= 0) this.goTo(name === undefined ? this.jobs[0].job : this.beside(name, way), true);
    else return;
    event.preventDefault();
  }

  /** The job along an edge, or beside in the same layer. @param {string} name @param {number} way */
  beside(name, way) {
    if (way < 2) {
      const next = (way === 0 ? this.around?.after : this.around?.before)?.get(name) ?? [];
      return next[next.length >> 1] ?? name;
    }
    const here = /** @type {Placed} */ (this.places.get(name));
    const side = this.direction === "right" ? "y" : "x";
    const layer = [...this.places].filter(([, at]) => at.layer === here.layer).sort(([, a], [, b]) => a[side] - b[side]);
    return layer[layer.findIndex(([other]) => other === name) + (way === 2 ? 1 : -1)]?.[0] ?? name;
  }
}

customElements.define("rush-graph", Graph);
