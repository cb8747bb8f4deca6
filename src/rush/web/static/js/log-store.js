/**
 * The records of a log as far as they have been read, and which of them are shown. Pages come
 * in front and behind; a million records are gone through in slices, so that nothing stands still.
 *
 * @typedef {[at: string | null, level: string | null, job: string, item: number, round: number, attempt: number, text: string]} LogRecord
 */

import { stripped } from "./ansi.js";

export const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
/** How long a slice of work may take, in milliseconds. */
const SLICE = 8;

export const AT = 0;
export const LEVEL = 1;
export const JOB = 2;
export const ATTEMPT = 5;
export const TEXT = 6;

/** @param {string} text */
function linesIn(text) {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

const breath = () => new Promise((resolve) => setTimeout(resolve, 0));

export class LogStore {
  /** @type {LogRecord[]} */ records = [];
  /** The shown records, and at which row each begins. @type {number[]} */ shown = [];
  /** @type {number[]} */ starts = [];
  /** Those that hold what is searched, as places in `shown`. @type {number[]} */ hits = [];
  rows = 0;
  /** @type {RegExp | null} */ pattern = null;
  only = false;
  least = 0;
  job = "";
  /** @type {((text: string) => number) | null} how many rows a line takes when it is wrapped */
  #wrap = null;
  #run = 0;
  #sifting = false;

  clear() {
    this.records = [];
    this.#restart();
  }

  #restart() {
    this.#run += 1;
    this.#sifting = false;
    this.shown = [];
    this.starts = [];
    this.hits = [];
    this.rows = 0;
  }

  /** @param {string} query a text, or a /pattern/ */
  search(query) {
    this.pattern = null;
    if (!query) return;
    const written = /^\/(.+)\/$/.exec(query)?.[1];
    try {
      this.pattern = new RegExp(written ?? query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    } catch {
      this.pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    }
  }

  /** @param {LogRecord} record */
  passes(record) {
    const level = record[LEVEL];
    if (this.least > 0) {
      const rank = level === null ? 1 : LEVELS.indexOf(level);
      if (rank >= 0 && rank < this.least) return false;
    }
    return !this.job || record[JOB] === this.job;
  }

  /** @param {LogRecord} record */
  matches(record) {
    return this.pattern !== null && this.pattern.test(stripped(record[TEXT]));
  }

  /** @param {LogRecord} record */
  heightOf(record) {
    if (this.#wrap === null) return linesIn(record[TEXT]);
    let rows = 0;
    for (const line of record[TEXT].split("\n")) rows += this.#wrap(stripped(line));
    return rows;
  }

  /** @param {((text: string) => number) | null} wrap */
  set wrap(wrap) {
    this.#wrap = wrap;
  }

  /** @param {number} index in `records` */
  #take(index) {
    const record = this.records[index];
    if (!this.passes(record)) return;
    const hit = this.pattern !== null && this.matches(record);
    if (this.only && this.pattern !== null && !hit) return;
    if (hit) this.hits.push(this.shown.length);
    this.starts.push(this.rows);
    this.shown.push(index);
    this.rows += this.heightOf(record);
  }

  /** @param {LogRecord[]} records newer ones */
  append(records) {
    const from = this.records.length;
    for (const record of records) this.records.push(record);
    // What is sifting comes to them by itself, in their order.
    if (this.#sifting) return;
    for (let index = from; index < this.records.length; index += 1) this.#take(index);
  }

  /** @param {LogRecord[]} records older ones; `sift` has to follow */
  prepend(records) {
    this.records = records.concat(this.records);
    this.#restart();
  }

  /**
   * Goes through all records anew. What another call has overtaken ends without a word.
   * @param {(share: number) => void} [tell] called now and then while it takes long
   * @returns {Promise<boolean>} whether it came to the end
   */
  async sift(tell) {
    this.#restart();
    const run = this.#run;
    this.#sifting = true;
    let began = performance.now();
    for (let index = 0; index < this.records.length; index += 1) {
      this.#take(index);
      if (index % 512 === 511 && performance.now() - began > SLICE) {
        tell?.(index / this.records.length);
        await breath();
        if (run !== this.#run) return false;
        began = performance.now();
      }
    }
    this.#sifting = false;
    return true;
  }

  /** The place in `shown` of the record that stands at a row. @param {number} row */
  placeAt(row) {
    let [low, high] = [0, this.starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @param {LogRecord} record @returns {number} its row, or that of the next shown */
  rowOf(record) {
    const index = this.records.indexOf(record);
    let [low, high] = [0, this.shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shown[middle] < index) low = middle + 1;
      else high = middle;
    }
    return this.starts[low] ?? Math.max(0, this.rows - 1);
  }
}
