/**
 * The rows of a log that are in the window, as elements.
 *
 * @typedef {import("./log-store.js").LogStore} LogStore
 * @typedef {import("./log-store.js").LogRecord} LogRecord
 */

import { pieces, plain, stripped, visible } from "./ansi.js";
import { fill, h, safe } from "./dom.js";
import { ATTEMPT } from "./log-store.js";
import { clock, exact, instant } from "./time.js";

export const ROW = 18;
const TAB = 8;
/** @type {Record<string, string>} */
const SHORT = { WARNING: "WARN", CRITICAL: "FATAL" };

export class LogRows {
  wide = true;
  /** On a phone there is room for the text, and little for what stands before it. */
  narrow = false;
  times = "local";
  /** @type {RegExp | null} */ pattern = null;
  /** @type {string | null} */ jobHref = null;
  /** @type {number | null} */ start = null;
  /** How many letters the widest job's name has. */
  jobWidth = 0;
  letter = 7.2;
  /** @type {Set<string>} */ #speakers = new Set();

  /** What decides about the columns. @param {LogRecord[]} records that have just been read */
  learn(records) {
    for (const record of records) {
      const who = `${record[2]}#${record[ATTEMPT]}`;
      this.#speakers.add(who);
      this.jobWidth = Math.max(this.jobWidth, Math.min(24, who.length));
    }
  }

  forget() {
    this.#speakers.clear();
    this.jobWidth = 0;
  }

  /** @param {HTMLElement} within */
  measure(within) {
    const probe = h("span", { class: "lg-row lg-probe" }, "0".repeat(100));
    within.append(probe);
    this.letter = probe.getBoundingClientRect().width / 100 || 7.2;
    probe.remove();
  }

  /** Where only one speaks, nobody has to be told who. */
  get who() {
    return this.#speakers.size < 2 ? -1 : Math.min(this.narrow ? 10 : 24, this.jobWidth);
  }

  /** How many letters stand before the text. */
  get lead() {
    const time = this.times === "off" || this.narrow ? 0 : 14;
    return time + (this.narrow ? 2 : 6) + this.who + 2;
  }

  /** How many rows a line takes in so much room. @param {number} width */
  wrapper(width) {
    const letters = Math.max(16, Math.floor((width - 28) / this.letter) - this.lead);
    return (/** @type {string} */ line) => this.#cut(line, letters).length;
  }

  /** A line in rows of so many letters; tabs are as wide as they look. @param {string} line @param {number} letters */
  #cut(line, letters) {
    const flat = line.includes("\t") ? line.replaceAll("\t", " ".repeat(TAB)) : line;
    const rows = [];
    for (let at = 0; at === 0 || at < flat.length; at += letters) rows.push(flat.slice(at, at + letters));
    this.letters = letters;
    return rows;
  }

  /**
   * @param {LogStore} store
   * @param {number} from the first row
   * @param {number} count
   * @param {number} hit which match one has gone to
   * @returns {HTMLElement[]}
   */
  make(store, from, count, hit) {
    const made = [];
    if (store.shown.length === 0) return [h("div", { class: "lg-row quiet" }, "No line matches.")];
    const current = hit >= 0 ? store.hits[hit] : -1;
    let place = store.placeAt(from);
    for (let row = store.starts[place]; row < from + count && place < store.shown.length; place += 1) {
      const index = store.shown[place];
      const lines = this.#linesOf(store.records[index]);
      for (let line = 0; line < lines.length; line += 1, row += 1) {
        if (row >= from && row < from + count) made.push(this.#row(store.records[index], index, lines[line], line === 0, place === current));
      }
    }
    return made;
  }

  /** The rows of a record: pieces of text with their looks. @param {LogRecord} record */
  #linesOf(record) {
    const look = plain();
    return record[6].split("\n").flatMap((line) => {
      const whole = pieces(line, look);
      if (this.wide || !this.letters) return [whole];
      return this.#split(whole, Math.max(1, this.#cut(stripped(line), this.letters).length));
    });
  }

  /** Pieces cut into rows; the last takes what the escapes have added. @param {import("./ansi.js").Piece[]} whole @param {number} count */
  #split(whole, count) {
    /** @type {import("./ansi.js").Piece[][]} */
    const rows = [[]];
    let room = this.letters ?? 80;
    for (const piece of whole) {
      let text = piece.text.replaceAll("\t", " ".repeat(TAB));
      while (text) {
        const last = rows.length === count;
        rows[rows.length - 1].push({ ...piece, text: last ? text : text.slice(0, room) });
        const left = last ? "" : text.slice(room);
        room -= text.length - left.length;
        text = left;
        if (room <= 0 && !last) {
          rows.push([]);
          room = this.letters ?? 80;
        }
      }
    }
    while (rows.length < count) rows.push([]);
    return rows;
  }

  /** @param {LogRecord} record @param {number} index @param {import("./ansi.js").Piece[]} line @param {boolean} head @param {boolean} current */
  #row(record, index, line, head, current) {
    const [at, level, job, item, round, attempt] = record;
    const moment = instant(at);
    const row = h("div", { class: `lg-row${current ? " lg-current" : ""}${level ? ` lg-${level}` : ""}` });
    if (this.times !== "off" && !this.narrow) row.append(h("span", { class: "lg-time", title: head && moment !== null ? exact(moment) : null }, head && moment !== null ? this.#time(moment) : ""));
    row.append(h("span", { class: "lg-level", title: level }, head ? (SHORT[level ?? ""] ?? level ?? "").slice(0, this.narrow ? 1 : 5) : ""));
    const who = h("span", { class: "lg-job", hidden: this.who < 0 });
    who.style.width = `${this.who + 1}ch`;
    if (head) {
      const href = fill(this.jobHref, { job, item, round, attempt });
      who.append(h("a", { href: href && safe(href) ? href : null, "data-record": index, tabindex: "-1", title: `${job}, attempt ${attempt}` }, visible(`${job}#${attempt}`)));
    }
    const text = h("span", { class: "lg-text", dir: "ltr" });
    for (const piece of line) text.append(this.#piece(piece));
    row.append(who, text);
    return row;
  }

  /** @param {number} moment */
  #time(moment) {
    if (this.times === "elapsed") return `+${((moment - (this.start ?? moment)) / 1000).toFixed(3)}`;
    return clock(moment, { day: false, digits: 3, utc: this.times === "utc" });
  }

  /** @param {import("./ansi.js").Piece} piece */
  #piece({ text, classes, ink, paper }) {
    const parts = this.#marked(text);
    if (!classes && !ink && !paper) return parts;
    const span = h("span", { class: classes }, parts);
    // A colour of the job's own choice, moved towards the ink so that it can be read in both themes.
    if (ink) span.style.color = `color-mix(in oklab, ${ink} 65%, var(--n10))`;
    if (paper) span.style.backgroundColor = paper;
    return span;
  }

  /** The text with what is searched marked in it. @param {string} text */
  #marked(text) {
    const whole = document.createDocumentFragment();
    if (!this.pattern) {
      whole.append(text);
      return whole;
    }
    let at = 0;
    for (const match of text.matchAll(new RegExp(this.pattern.source, "gi"))) {
      if (match[0] === "") break;
      whole.append(text.slice(at, match.index), h("mark", {}, match[0]));
      at = match.index + match[0].length;
    }
    whole.append(text.slice(at));
    return whole;
  }
}
