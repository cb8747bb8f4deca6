/**
 * <rush-grid structure states>: the runs of a pipeline, newest at the right, and what became of
 * each job in them. The squares are painted; the names and heads in the window are elements.
 */

import { fill, h, icon, safe } from "./dom.js";
import { GridModel } from "./grid-model.js";
import { CELL, HEAD, paintGrid, secondsOf } from "./grid-paint.js";
import { forgetStamps, SIZE, stamp } from "./grid-stamps.js";
import { Part, tooltip } from "./part.js";
import { isState, LETTERS, stateClass, STATES } from "./state.js";
import { clock, duration, instant, learnNow, relative } from "./time.js";

const LABEL_EVERY = 46;

class Grid extends Part {
  model = new GridModel();
  headText = "";
  nameText = "";
  longest = 1;
  /** @type {string | null} */ cursor = null;
  /** The cell with the cursor or under the pointer: row and column. @type {[number, number] | null} */ here = null;
  byKey = false;
  frame = 0;
  /** @type {{chosenRuns: number | null, chosenJobs: number | null}} */ since = { chosenRuns: null, chosenJobs: null };

  static get observedAttributes() {
    return ["structure", "states", "only"];
  }

  constructor() {
    super();
    this.choice = h("select", { "aria-label": "Jobs shown", onchange: () => this.setAttribute("only", this.choice.value) }, h("option", { value: "all" }, "All jobs"), h("option", { value: "open" }, "Not complete in some run"));
    this.find = h("input", { type: "search", placeholder: "Find a job", "aria-label": "Find a job", oninput: () => this.rechoose() });
    this.older = h("a", { class: "button small quiet end" }, "Older runs");
    this.tools = h("div", { class: "gd-tools row" }, this.choice, this.find, this.older);
    this.canvas = h("canvas", { class: "gd-canvas", "aria-hidden": "true" });
    this.corner = h("div", { class: "gd-corner" });
    this.heads = h("div", { class: "gd-heads" });
    this.names = h("div", { class: "gd-names" });
    this.stick = h("div", { class: "gd-stick" }, this.canvas, h("div", { class: "gd-clip gd-clip-names" }, this.names), h("div", { class: "gd-clip gd-clip-heads" }, this.heads), this.corner);
    this.space = h("div", { class: "gd-space" });
    this.scroller = h("div", { class: "gd-scroll", tabindex: "0", role: "application", "aria-label": "Grid of runs and jobs. Arrow keys move, Enter opens, c chooses the run, x the job." }, this.stick, this.space);
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.legend = h("p", { class: "gd-legend small quiet" });
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    this.scroller.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.onPoint(event));
    this.scroller.addEventListener("pointerleave", () => (this.point(null, false), tooltip(null)));
    this.scroller.addEventListener("click", (/** @type {MouseEvent} */ event) => this.onClick(event));
    this.scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    this.scroller.addEventListener("blur", () => tooltip(null));
    this.resized = new ResizeObserver(() => this.draw());
  }

  connected() {
    this.resized.observe(this.scroller);
  }

  disconnected() {
    this.resized.disconnect();
    tooltip(null);
  }

  themeChanged() {
    forgetStamps();
    this.drawLegend();
    this.draw();
  }

  /** @param {string} name */
  attributeChanged(name) {
    if (name === "only") this.rechoose();
    else {
      this.cursor = null;
      this.refresh();
    }
  }

  /** First both; then only what has changed since. */
  async load() {
    const [structure, states] = [this.getAttribute("structure"), this.getAttribute("states")];
    if (!structure || !states) return;
    if (this.cursor !== null) {
      const url = new URL(states, document.baseURI);
      url.searchParams.set("after", this.cursor);
      const delta = await this.read(url.href);
      if (!delta.reset) return this.follow(delta);
    }
    const [whole, cells] = await Promise.all([this.read(structure), this.read(states)]);
    this.data = { ...whole, ...cells };
  }

  /** @param {any} delta */
  follow(delta) {
    learnNow(delta.now);
    this.cursor = delta.cursor ?? this.cursor;
    const atEnd = this.atEnd;
    this.model.change(delta);
    this.querySelector(":scope > .part-error")?.remove();
    this.rechoose();
    if (atEnd) this.toEnd();
  }

  /** @param {any} answer structure and states in one */
  show(answer) {
    this.cursor = answer?.cursor ?? null;
    if (!answer?.runs?.length) return this.replaceChildren(this.emptiness("This pipeline has not run yet."));
    const begins = !this.scroller.isConnected;
    if (begins) this.replaceChildren(this.tools, this.scroller, this.legend, this.status);
    const atEnd = begins || this.atEnd;
    this.model.build(answer);
    this.model.fill(answer.cells ?? {});
    if (answer.older && safe(answer.older)) this.older.href = answer.older;
    this.older.hidden = !answer.older;
    this.tools.hidden = !answer.older && answer.jobs.length < 12;
    this.choice.hidden = this.find.hidden = answer.jobs.length < 12;
    this.rechoose();
    if (atEnd) this.toEnd();
  }

  rechoose() {
    this.model.only = this.choice.value = this.getAttribute("only") === "open" ? "open" : "all";
    this.model.words = this.find.value;
    this.model.choose();
    this.longest = Math.max(1, ...this.model.runs.map((run) => secondsOf(run) ?? 0));
    this.drawLegend();
    this.draw();
  }

  // Painting ---------------------------------------------------------------------------------------

  get nameWidth() {
    return this.clientWidth < 480 ? 128 : 224;
  }

  get atEnd() {
    return this.scroller.scrollLeft + this.scroller.clientWidth >= this.scroller.scrollWidth - 4;
  }

  toEnd() {
    this.size();
    this.scroller.scrollLeft = this.scroller.scrollWidth;
  }

  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.scroller.isConnected) this.paint();
    });
  }

  size() {
    const { runs, rows } = this.model;
    const height = HEAD + Math.max(1, rows.length) * CELL + 1;
    this.space.style.width = `${this.nameWidth + runs.length * CELL + 8}px`;
    this.space.style.height = `${height}px`;
    this.scroller.style.height = `${Math.min(height + 14, Math.max(280, innerHeight * 0.78))}px`;
    const { clientWidth, clientHeight } = this.scroller;
    this.stick.style.width = `${clientWidth}px`;
    this.stick.style.height = `${clientHeight}px`;
    this.space.style.marginTop = `${-clientHeight}px`;
    return [clientWidth, clientHeight];
  }

  paint() {
    const [width, height] = this.size();
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      [this.canvas.style.width, this.canvas.style.height] = [`${width}px`, `${height}px`];
    }
    const { scrollLeft, scrollTop } = this.scroller;
    const left = this.nameWidth - scrollLeft;
    const top = HEAD - scrollTop;
    const { runs, rows } = this.model;
    const columns = [Math.max(0, Math.floor(scrollLeft / CELL)), Math.min(runs.length, Math.ceil((scrollLeft + width - this.nameWidth) / CELL))];
    const lines = [Math.max(0, Math.floor(scrollTop / CELL)), Math.min(rows.length, Math.ceil((scrollTop + height - HEAD) / CELL))];
    paintGrid(/** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d")), this.model, {
      width, height, left, top, columns, lines, ratio, names: this.nameWidth, longest: this.longest, here: this.here, framed: this.byKey,
    });
    this.makeHeads(left, columns);
    this.makeNames(top, lines);
    this.corner.style.width = this.stick.children[1].style.width = `${this.nameWidth}px`;
    this.stick.children[2].style.left = `${this.nameWidth}px`;
    this.corner.replaceChildren(h("span", {}, duration(this.longest)), h("span", {}, `${rows.length.toLocaleString("en")} jobs`));
  }

  // Heads and names -----------------------------------------------------------------------------------

  /** @param {number} left @param {number[]} columns */
  makeHeads(left, columns) {
    const every = Math.ceil(LABEL_EVERY / CELL);
    const { runs, chosenRuns } = this.model;
    const text = JSON.stringify([columns, runs.slice(...columns), [...chosenRuns], this.getAttribute("run-href")]);
    if (text !== this.headText) {
      this.headText = text;
      /** @type {HTMLElement[]} */
      const made = [];
      for (let column = columns[0]; column < columns[1]; column += 1) {
        const run = runs[column];
        const href = fill(this.getAttribute("run-href"), { run: run.id, jobinstance: run.jobinstance });
        const label = `Run ${run.jobinstance}, ${run.state}`;
        const shown = (runs.length - 1 - column) % every === 0;
        const box = h("input", { type: "checkbox", "aria-label": `Choose run ${run.jobinstance}`, "data-column": column, tabindex: "-1" });
        box.checked = chosenRuns.has(String(run.id));
        const head = h("div", { class: "gd-head" }, h("a", { class: stateClass(run.state), href: href && safe(href) ? href : null, "aria-label": label, tabindex: shown ? null : "-1", "data-column": column }, shown && h("span", {}, run.jobinstance), run.state !== "Complete" && icon(run.state, "s")), box);
        head.style.left = `${column * CELL}px`;
        made.push(head);
      }
      this.keepFocus(() => this.heads.replaceChildren(...made));
    }
    this.heads.style.transform = `translateX(${left - this.nameWidth}px)`;
  }

  /** @param {number} top @param {number[]} lines */
  makeNames(top, lines) {
    const { jobs, rows, chosenJobs } = this.model;
    const text = JSON.stringify([rows.slice(...lines).map((place) => [place, jobs[place].job, chosenJobs.has(jobs[place].job)]), lines[0]]);
    if (text !== this.nameText) {
      this.nameText = text;
      /** @type {HTMLElement[]} */
      const made = [];
      for (let row = lines[0]; row < lines[1]; row += 1) {
        const { job } = jobs[rows[row]];
        const box = h("input", { type: "checkbox", "aria-label": `Choose ${job}`, "data-row": row, tabindex: "-1" });
        box.checked = chosenJobs.has(job);
        const name = h("label", { class: "gd-name", title: job }, box, h("span", {}, job));
        name.style.top = `${row * CELL}px`;
        made.push(name);
      }
      this.keepFocus(() => this.names.replaceChildren(...made));
    }
    this.names.style.transform = `translateY(${top - HEAD}px)`;
  }

  /** @param {() => void} replace */
  keepFocus(replace) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const label = focused && this.stick.contains(focused) ? focused.getAttribute("aria-label") : null;
    replace();
    if (label) [...this.stick.querySelectorAll("[aria-label]")].find((each) => each.getAttribute("aria-label") === label)?.focus({ preventScroll: true });
  }

  drawLegend() {
    const seen = new Set([...this.model.cells.values()].flatMap((letters) => [...new Set(letters)].map((code) => LETTERS[String.fromCharCode(code)])));
    const ratio = devicePixelRatio || 1;
    this.legend.replaceChildren(
      ...STATES.filter((state) => seen.has(state)).map((state) => {
        const sample = h("canvas", { width: SIZE * ratio, height: SIZE * ratio, "aria-hidden": "true" });
        sample.getContext("2d").drawImage(stamp(state, ratio), 0, 0);
        [sample.style.width, sample.style.height] = ["12px", "12px"];
        return h("span", { class: "gd-key" }, sample, state);
      }),
    );
  }

  // Pointer and keyboard ---------------------------------------------------------------------------------

  /** @param {MouseEvent} event @returns {[number, number] | null} */
  cellAt(event) {
    const box = this.scroller.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (x < this.nameWidth || y < HEAD || x > this.scroller.clientWidth || y > this.scroller.clientHeight) return null;
    const column = Math.floor((x - this.nameWidth + this.scroller.scrollLeft) / CELL);
    const row = Math.floor((y - HEAD + this.scroller.scrollTop) / CELL);
    return column < this.model.runs.length && row < this.model.rows.length ? [row, column] : null;
  }

  /** @param {[number, number] | null} cell @param {boolean} byKey */
  point(cell, byKey) {
    if (cell?.[0] === this.here?.[0] && cell?.[1] === this.here?.[1] && byKey === this.byKey) return;
    [this.here, this.byKey] = [cell, byKey];
    this.draw();
  }

  /** @param {number} row @param {number} column */
  wordsOf(row, column) {
    const run = this.model.runs[column];
    const { job } = this.model.jobs[this.model.rows[row]];
    const state = LETTERS[this.model.letterAt(this.model.rows[row], column)];
    const begun = instant(run.started_at ?? run.created_at);
    return { job, run, state: state ?? "not yet released", began: begun === null ? "" : `${clock(begun)}, ${relative(begun)}`, took: secondsOf(run) };
  }

  /** @param {number} row @param {number} column */
  tipOf(row, column) {
    const { job, run, state, began, took } = this.wordsOf(row, column);
    return h(
      "div",
      {},
      h("div", { class: "row" }, h("b", {}, job), h("span", { class: "state", "data-state": state }, isState(state) && icon(state), state)),
      h("dl", { class: "facts" }, h("dt", {}, "Run"), h("dd", {}, `${run.jobinstance}, ${run.state}`), h("dt", {}, "Started"), h("dd", {}, began), h("dt", {}, "Took"), h("dd", {}, duration(took))),
    );
  }

  /** @param {PointerEvent} event */
  onPoint(event) {
    const cell = this.cellAt(event);
    if (cell || !this.byKey) this.point(cell, false);
    this.scroller.style.cursor = cell ? "pointer" : "";
    const head = /** @type {any} */ (event.target).closest(".gd-head a")?.dataset.column;
    if (cell) tooltip(this.tipOf(...cell), event.clientX, event.clientY);
    else if (head !== undefined) {
      const { run, began, took } = this.wordsOf(0, Number(head));
      tooltip(h("div", {}, h("b", {}, `Run ${run.jobinstance}, ${run.state}`), h("div", {}, began), h("div", {}, duration(took))), event.clientX, event.clientY);
    } else tooltip(null);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {any} */ (event.target);
    if (target.dataset?.row !== undefined) return this.pick("chosenJobs", Number(target.dataset.row), event.shiftKey);
    if (target.type === "checkbox") return this.pick("chosenRuns", Number(target.dataset.column), event.shiftKey);
    const cell = this.cellAt(event);
    if (cell && !target.closest("a, label")) this.open(...cell, event.metaKey || event.ctrlKey);
  }

  /** @param {"chosenRuns" | "chosenJobs"} which @param {number} place @param {boolean} extend */
  pick(which, place, extend) {
    const { model } = this;
    const all = which === "chosenRuns" ? model.runs.map((run) => String(run.id)) : model.rows.map((row) => model.jobs[row].job);
    model.toggle(which, all, place, extend ? this.since[which] : null);
    this.since[which] = place;
    this.draw();
    this.tell("rush:select", { runs: model.runs.filter((run) => model.chosenRuns.has(String(run.id))).map((run) => run.id), jobs: [...model.chosenJobs] });
  }

  /** Nothing is chosen any more: what was chosen has been acted on. */
  clearSelection() {
    this.model.chosenRuns.clear();
    this.model.chosenJobs.clear();
    this.draw();
  }

  /** @param {number} row @param {number} column @param {boolean} apart in a window of its own */
  open(row, column, apart) {
    const { job, run } = this.wordsOf(row, column);
    const href = fill(this.getAttribute("job-href"), { job, run: run.id, jobinstance: run.jobinstance });
    if (!apart && !this.tell("rush:open", { run: run.id, job })) return;
    if (!href || !safe(href)) return;
    if (apart) window.open(href, "_blank", "noopener");
    else location.assign(href);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.target !== this.scroller || event.metaKey || event.ctrlKey || event.altKey) return;
    const [rows, columns] = [this.model.rows.length, this.model.runs.length];
    const [row, column] = this.here ?? [0, columns - 1];
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowUp: [-1, 0], k: [-1, 0], ArrowDown: [1, 0], j: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0], Home: [-rows, 0], End: [rows, 0] };
    const way = ways[event.key];
    if (way && rows) {
      const begin = this.here === null || !this.byKey;
      const next = begin && this.here === null ? [row, column] : [row + way[0], column + way[1]];
      this.moveTo(Math.max(0, Math.min(rows - 1, next[0])), Math.max(0, Math.min(columns - 1, next[1])));
    } else if (event.key === "Enter" && this.here) this.open(row, column, false);
    else if ((event.key === "c" || event.key === " ") && this.here) this.pick("chosenRuns", column, event.shiftKey);
    else if (event.key === "x" && this.here) this.pick("chosenJobs", row, event.shiftKey);
    else return;
    event.preventDefault();
  }

  /** @param {number} row @param {number} column */
  moveTo(row, column) {
    this.point([row, column], true);
    const { clientWidth, clientHeight } = this.scroller;
    const show = (/** @type {number} */ at, /** @type {number} */ scroll, /** @type {number} */ room) => Math.max(at + CELL - room, Math.min(at, scroll));
    this.scroller.scrollTop = show(row * CELL, this.scroller.scrollTop, clientHeight - HEAD);
    this.scroller.scrollLeft = show(column * CELL, this.scroller.scrollLeft, clientWidth - this.nameWidth);
    const { job, run, state } = this.wordsOf(row, column);
    this.status.textContent = `${job}, run ${run.jobinstance}: ${state}`;
    const box = this.scroller.getBoundingClientRect();
    tooltip(this.tipOf(row, column), box.left + this.nameWidth + column * CELL - this.scroller.scrollLeft, box.top + HEAD + (row + 1) * CELL - this.scroller.scrollTop - 8);
  }
}

customElements.define("rush-grid", Grid);
