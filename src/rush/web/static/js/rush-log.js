/**
 * <rush-log src>: what the jobs of a run have said. Only the rows in the window exist; pages
 * are read as one scrolls, newer lines when they come, and everything when one searches.
 */

import { stripped } from "./ansi.js";
import { copy, h, safe, tool } from "./dom.js";
import { isOn } from "./live.js";
import { AT, ATTEMPT, JOB, LEVELS, LogStore, TEXT } from "./log-store.js";
import { LogRows, ROW } from "./log-rows.js";
import { Part } from "./part.js";
import { instant } from "./time.js";

const PAGE = 2000;
const LARGE_PAGE = 20_000;
/** No element can be much higher; beyond, a pixel of the scrollbar is more than one of the log. */
const MOST_HEIGHT = 8_000_000;
/** After a change there are some more looks: so much later each, in milliseconds. */
const AFTERWARDS = [1000, 2000, 5000, 10_000, 20_000];
/** So many rows before its end, the page before is read. */
const AHEAD = 200;

class Log extends Part {
  store = new LogStore();
  /** How often it was looked since something has changed. */
  looks = 0;
  later = 0;
  /** @type {string | null} */ first = null;
  /** @type {string | null} */ last = null;
  hasOlder = false;
  /** @type {number | null} */ total = null;
  /** The address that was read. @type {string | null} */ source = null;
  reading = false;
  all = false;
  hit = -1;
  unseen = 0;
  frame = 0;
  sifting = 0;
  epoch = 0;

  static get observedAttributes() {
    return ["src", "level", "query", "follow", "wrap", "job-filter", "times"];
  }

  constructor() {
    super();
    this.rows = new LogRows();
    this.query = h("input", { type: "search", placeholder: "Search, or /pattern/", "aria-label": "Search the log", oninput: () => this.change("query", this.query.value) });
    this.query.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") this.toHit(event.shiftKey ? -1 : 1);
      else return;
      event.preventDefault();
    });
    this.found = h("span", { class: "small quiet tabular lg-found", role: "status" });
    this.onlyHits = h("button", { type: "button", class: "button small quiet", "aria-pressed": "false", onclick: () => this.toggleOnly() }, "Only matches");
    this.level = h("select", { "aria-label": "Least level", onchange: () => this.change("level", this.level.value) }, h("option", { value: "" }, "All levels"), ...LEVELS.slice(1).map((level) => h("option", { value: level }, level === "CRITICAL" ? level : `${level} and above`)));
    this.times = h("select", { "aria-label": "Times", onchange: () => this.change("times", this.times.value) }, ...[["local", "Local time"], ["utc", "UTC"], ["elapsed", "Since the start"], ["off", "No times"]].map(([value, words]) => h("option", { value }, words)));
    this.wrapped = tool("wrap", "Wrap long lines", () => this.change("wrap", this.hasAttribute("wrap") ? null : ""));
    this.following = tool("follow", "Follow", () => this.change("follow", this.hasAttribute("follow") ? null : ""), { text: "Follow" });
    this.tools = h(
      "div",
      { class: "lg-tools row" },
      h("span", { class: "joined lg-search" }, this.query, tool("up", "Match before", () => this.toHit(-1)), tool("down", "Next match", () => this.toHit(1))),
      this.onlyHits,
      this.found,
      h("span", { class: "end row" }, this.level, this.times, this.wrapped, this.following, tool("copy", "Copy what is shown", () => copy(this.text())), tool("download", "Download", () => this.download())),
    );
    this.body = h("div", { class: "lg-rows" });
    this.space = h("div", { class: "lg-space" }, this.body);
    this.scroller = h("div", { class: "lg-scroll", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Log" }, this.space);
    this.news = h("button", { type: "button", class: "lg-news button small primary", hidden: true, onclick: () => this.change("follow", "") });
    this.foot = h("p", { class: "lg-foot small quiet", role: "status" });
    this.frameBox = h("div", { class: "lg-frame" }, this.scroller, this.news);
    this.scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    this.body.addEventListener("click", (/** @type {MouseEvent} */ event) => this.onClick(event));
    this.resized = new ResizeObserver(() => this.onResize());
  }

  /** @param {AbortSignal} signal */
  connected(signal) {
    document.addEventListener("rush:changed", () => (this.looks = 0), { signal });
    if (matchMedia("(max-width: 480px)").matches) this.setAttribute("wrap", "");
    this.resized.observe(this.scroller);
  }

  disconnected() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
  }

  /** @param {string} name */
  attributeChanged(name) {
    if (this.answer === null) return;
    this.takeAttributes();
    if (name === "follow") {
      if (this.hasAttribute("follow")) this.toEnd();
      this.draw();
    } else if (name === "times") this.draw();
    else this.sift();
  }

  /** @param {string} name @param {string | null} value */
  change(name, value) {
    if (value === null || (value === "" && (name === "query" || name === "level"))) this.removeAttribute(name);
    else this.setAttribute(name, value);
    this.tell("rush:view", {
      query: this.getAttribute("query") ?? "", level: this.getAttribute("level") ?? "", follow: this.hasAttribute("follow"), wrap: this.hasAttribute("wrap"), times: this.rows.times,
    });
  }

  /** What the attributes say, in the store and on the buttons. */
  takeAttributes() {
    const query = this.getAttribute("query") ?? "";
    this.store.search(query);
    this.store.only = this.onlyHits.getAttribute("aria-pressed") === "true";
    this.store.least = Math.max(0, LEVELS.indexOf(this.getAttribute("level") ?? ""));
    this.store.job = this.getAttribute("job-filter") ?? "";
    this.rows.wide = !this.hasAttribute("wrap");
    this.rows.narrow = this.scroller.clientWidth > 0 && this.scroller.clientWidth < 480;
    this.scroller.classList.toggle("lg-narrow", this.rows.narrow);
    this.rows.times = this.getAttribute("times") ?? "local";
    this.rows.pattern = this.store.pattern;
    this.rows.jobHref = this.getAttribute("job-href");
    this.store.wrap = this.rows.wide ? null : this.rows.wrapper(this.scroller.clientWidth);
    if (this.query.value !== query) this.query.value = query;
    this.level.value = this.getAttribute("level") ?? "";
    this.times.value = this.rows.times;
    this.wrapped.setAttribute("aria-pressed", String(!this.rows.wide));
    this.following.setAttribute("aria-pressed", String(this.hasAttribute("follow")));
    this.onlyHits.disabled = !query;
    this.scroller.classList.toggle("lg-wrap", !this.rows.wide);
  }

  toggleOnly() {
    this.onlyHits.setAttribute("aria-pressed", String(this.onlyHits.getAttribute("aria-pressed") !== "true"));
    this.takeAttributes();
    this.sift();
  }

  // Reading --------------------------------------------------------------------------------------

  /** @param {Record<string, string | number>} more */
  address(more) {
    const url = new URL(this.getAttribute("src") ?? "", document.baseURI);
    for (const [name, value] of Object.entries(more)) url.searchParams.set(name, String(value));
    return url.href;
  }

  /** The last page first; then, each time, what is newer. */
  async load() {
    const src = this.getAttribute("src");
    if (!src) return;
    if (src !== this.source) {
      this.source = src;
      this.epoch += 1;
      this.store.clear();
      this.rows.forget();
      [this.first, this.last, this.hasOlder, this.all, this.reading] = [null, null, false, false, false];
      this.take(await this.read(this.address({ limit: PAGE })), true);
      this.lookAgain();
      return;
    }
    for (let more = true; more && this.isConnected; ) {
      const page = await this.read(this.address(this.last === null ? { limit: PAGE } : { limit: LARGE_PAGE, after: this.last }));
      more = page.after && page.lines.length > 0;
      this.take(page, false);
    }
    this.lookAgain();
  }

  /** Lines may be kept after what they tell of, and nobody tells of that. */
  lookAgain() {
    clearTimeout(this.later);
    if (!isOn() || this.looks >= AFTERWARDS.length) return;
    this.later = setTimeout(() => this.refresh(), AFTERWARDS[this.looks]);
    this.looks += 1;
  }

  get data() {
    return this.answer;
  }

  set data(page) {
    this.source = this.getAttribute("src");
    this.store.clear();
    this.rows.forget();
    this.take(page, true);
  }

  /** Lines at the end. @param {any} page @param {boolean} whole whether they are the first that are read */
  take(page, whole) {
    this.answer = page;
    this.querySelector(":scope > .part-error")?.remove();
    if (whole || this.first === null) [this.first, this.hasOlder] = [page.first ?? null, Boolean(page.before)];
    if (page.last) this.last = page.last;
    if (page.total !== undefined) this.total = page.total;
    if (page.lines.length === 0 && this.store.records.length === 0) return void this.replaceChildren(this.emptiness("Nothing has been logged yet."));
    const begins = !this.frameBox.isConnected;
    if (begins) this.replaceChildren(this.tools, this.frameBox, this.foot);
    const { lead } = this.rows;
    this.rows.learn(page.lines);
    const moved = !this.rows.wide && this.rows.lead !== lead;
    if (whole || begins || moved) this.takeAttributes();
    const atEnd = this.atEnd;
    this.store.append(page.lines);
    if (moved) this.sift();
    this.rows.start = instant(this.store.records[0]?.[AT]);
    if (this.hasAttribute("follow") || whole || begins) this.toEnd();
    else if (!atEnd) this.unseen += page.lines.length;
    this.draw();
    if (this.store.pattern) this.readAll();
    else if (this.rowAtTop < AHEAD) this.readBefore(PAGE);
  }

  /** The page before; what is looked at stays where it is. @param {number} limit */
  async readBefore(limit) {
    if (this.reading || !this.hasOlder || this.first === null) return false;
    this.reading = true;
    const { epoch } = this;
    try {
      const page = await this.read(this.address({ limit, before: this.first }));
      if (epoch !== this.epoch) return false;
      this.hasOlder = Boolean(page.before) && page.lines.length > 0;
      this.first = page.first ?? this.first;
      this.anchor();
      this.store.prepend(page.lines);
      this.rows.learn(page.lines);
      this.takeAttributes();
      await this.sift();
      return true;
    } catch (problem) {
      this.say(`Older lines could not be read: ${problem instanceof Error ? problem.message : problem}`);
      return false;
    } finally {
      if (epoch === this.epoch) this.reading = false;
    }
  }

  /** Everything, page by page; one goes on with what is there meanwhile. */
  async readAll() {
    if (this.all) return;
    this.all = true;
    while (this.hasOlder && this.all && this.isConnected) {
      if (!(await this.readBefore(LARGE_PAGE))) {
        if (!this.reading) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    this.all = false;
    this.drawWords();
  }

  /** Chooses anew what is shown; what is at the top stays there, as far as it is still shown. */
  async sift() {
    const top = this.anchor();
    const end = this.hasAttribute("follow");
    const done = await this.store.sift((share) => {
      this.sifting = share;
      this.drawWords();
    });
    if (!done) return;
    this.sifting = 0;
    this.hit = -1;
    this.rows.start = instant(this.store.records[0]?.[AT]);
    if (end) this.toEnd();
    else if (top) this.scrollToRow(this.store.rowOf(top.record) + top.within);
    this.draw();
    if (this.store.pattern) this.readAll();
  }

  /** The record at the top, and how many rows of it are above; it is remembered while rows are being chosen. */
  anchor() {
    if (this.store.shown.length) {
      const row = this.rowAtTop;
      const place = this.store.placeAt(row);
      this.kept = { record: this.store.records[this.store.shown[place]], within: row - this.store.starts[place] };
    }
    return this.kept;
  }

  // Rows and pixels ---------------------------------------------------------------------------------

  get height() {
    return Math.min(this.store.rows * ROW, MOST_HEIGHT);
  }

  /** How many rows a scrolled pixel is. */
  get rowsPerPixel() {
    const room = this.scroller.clientHeight;
    const pixels = Math.max(1, this.height - room);
    return this.store.rows * ROW <= MOST_HEIGHT ? 1 / ROW : (this.store.rows - room / ROW) / pixels;
  }

  get rowAtTop() {
    return this.scroller.scrollTop * this.rowsPerPixel;
  }

  get atEnd() {
    return this.scroller.scrollTop + this.scroller.clientHeight >= this.height - ROW;
  }

  /** @param {number} row */
  scrollToRow(row) {
    this.space.style.height = `${this.height}px`;
    this.scroller.scrollTop = row / this.rowsPerPixel;
  }

  toEnd() {
    this.unseen = 0;
    this.space.style.height = `${this.height}px`;
    this.scroller.scrollTop = this.height;
  }

  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    this.space.style.height = `${this.height}px`;
    const low = !this.hasOlder && this.store.rows * ROW < innerHeight * 0.6;
    this.scroller.style.height = low ? `${Math.max(4, this.store.rows) * ROW + 20}px` : "";
    // With nothing to scroll in it the wheel belongs to the page.
    this.scroller.style.overscrollBehavior = low ? "auto" : "";
    const count = Math.ceil(this.scroller.clientHeight / ROW) + 1;
    const top = Math.max(0, Math.min(this.rowAtTop, this.store.rows - 1));
    const whole = Math.floor(top);
    this.body.replaceChildren(...this.rows.make(this.store, whole, count + 1, this.hit));
    this.body.style.transform = `translateY(${this.scroller.scrollTop - (top - whole) * ROW}px)`;
    this.drawWords();
  }

  drawWords() {
    const { store } = this;
    const number = (/** @type {number} */ n) => n.toLocaleString("en");
    const most = this.total !== null && this.total > store.records.length ? ` of about ${number(this.total)}` : "";
    const words = [this.hasOlder ? `${number(store.records.length)}${most} lines read` : `${number(store.records.length)} ${store.records.length === 1 ? "line" : "lines"}`];
    if (store.shown.length !== store.records.length && !this.sifting) words.push(`${number(store.shown.length)} shown`);
    if (this.all && this.hasOlder) words.push("reading on …");
    this.foot.textContent = words.join(" · ");
    const hits = `${number(store.hits.length)} ${store.hits.length === 1 ? "match" : "matches"}`;
    this.found.textContent = store.pattern ? (this.sifting ? `searching, ${Math.round(this.sifting * 100)} %` : this.hit >= 0 ? `${number(this.hit + 1)} of ${hits}` : hits) : "";
    if (this.atEnd) this.unseen = 0;
    this.news.hidden = this.unseen === 0;
    this.news.textContent = `${number(this.unseen)} new ${this.unseen === 1 ? "line" : "lines"} ↓`;
  }

  /** @param {string} words */
  say(words) {
    this.foot.textContent = words;
  }

  // Pointer and keyboard ------------------------------------------------------------------------------

  onScroll() {
    const { scrollTop } = this.scroller;
    if (this.hasAttribute("follow") && scrollTop < (this.lastTop ?? 0) && !this.atEnd) this.change("follow", null);
    this.lastTop = scrollTop;
    this.draw();
    if (this.rowAtTop < AHEAD && !this.reading) this.readBefore(PAGE * 4);
  }

  onResize() {
    if (this.answer === null || !this.frameBox.isConnected) return;
    this.rows.measure(this.scroller);
    this.takeAttributes();
    if (this.rows.wide) return this.draw();
    this.sift();
  }

  /** @param {number} by */
  toHit(by) {
    const { hits, starts } = this.store;
    if (hits.length === 0) return;
    if (this.hit < 0) {
      const here = this.store.placeAt(this.rowAtTop);
      const next = hits.findIndex((place) => place >= here);
      this.hit = by > 0 ? Math.max(0, next) : (next <= 0 ? hits.length : next) - 1;
    } else this.hit = (this.hit + by + hits.length) % hits.length;
    const row = starts[hits[this.hit]];
    const room = this.scroller.clientHeight / ROW;
    if (row < this.rowAtTop || row > this.rowAtTop + room - 2) this.scrollToRow(Math.max(0, row - room / 3));
    if (this.hasAttribute("follow")) this.change("follow", null);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "/") this.query.focus();
    else if (event.key === "n" || event.key === "N") this.toHit(event.key === "n" ? 1 : -1);
    else if (event.key === "End" || event.key === "G") this.toEnd();
    else if (event.key === "Home" || event.key === "g") this.scroller.scrollTop = 0;
    else if (event.key === "f") this.change("follow", this.hasAttribute("follow") ? null : "");
    else if (event.key === "w") this.change("wrap", this.hasAttribute("wrap") ? null : "");
    else return;
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const link = /** @type {any} */ (event.target).closest("[data-record]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const [, , job, item, round, attempt] = this.store.records[Number(link.dataset.record)];
    if (!this.tell("rush:open", { job, item, round, attempt })) event.preventDefault();
  }

  /** What is shown, as plain text. */
  text() {
    return this.store.shown.map((index) => {
      const record = this.store.records[index];
      return `${record[AT] ?? "-"} ${record[1] ?? "-"} ${record[JOB]}#${record[ATTEMPT]} ${stripped(record[TEXT])}\n`;
    }).join("");
  }

  download() {
    const said = this.getAttribute("download-href");
    const href = said && safe(said) ? said : URL.createObjectURL(new Blob([this.text()], { type: "text/plain" }));
    const link = h("a", { download: "log.txt" });
    link.href = href;
    link.click();
    if (href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(href), 1000);
  }
}

customElements.define("rush-log", Log);
