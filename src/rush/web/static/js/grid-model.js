/**
 * Runs × jobs as letters, one a cell, and which rows and columns are chosen. Pure.
 *
 * @typedef {{id: number | string, jobinstance: number, state: string, created_at: string, started_at: string | null, finished_at: string | null}} Run
 * @typedef {{job: string, depth?: number}} Row
 */

const NONE = ".".charCodeAt(0);
const DONE = new Set([..."ck. "].map((letter) => letter.charCodeAt(0)));

export class GridModel {
  /** @type {Row[]} */ jobs = [];
  /** @type {Run[]} */ runs = [];
  /** The rows that are shown, as places in `jobs`. @type {number[]} */ rows = [];
  /** @type {Map<string, Uint8Array>} */ cells = new Map();
  /** @type {Set<string>} */ chosenRuns = new Set();
  /** @type {Set<string>} */ chosenJobs = new Set();
  only = "all";
  words = "";

  /** @param {{jobs: Row[], runs: Run[]}} structure */
  build({ jobs, runs }) {
    this.jobs = jobs;
    this.runs = runs;
    this.cells = new Map();
    const names = new Set(jobs.map((row) => row.job));
    const ids = new Set(runs.map((run) => String(run.id)));
    this.chosenJobs = new Set([...this.chosenJobs].filter((job) => names.has(job)));
    this.chosenRuns = new Set([...this.chosenRuns].filter((id) => ids.has(id)));
  }

  /** @param {Record<string, string>} cells */
  fill(cells) {
    for (const [id, letters] of Object.entries(cells)) {
      const row = this.lettersOf(id);
      for (let index = 0; index < Math.min(letters.length, row.length); index += 1) row[index] = letters.charCodeAt(index);
    }
  }

  /** @param {{changes?: [string | number, number, string][], runs?: Run[]}} delta */
  change({ changes = [], runs = [] }) {
    for (const run of runs) {
      const place = this.runs.findIndex((other) => String(other.id) === String(run.id));
      if (place >= 0) this.runs[place] = run;
      else this.runs.push(run);
    }
    for (const [id, index, letter] of changes) this.lettersOf(String(id))[index] = letter.charCodeAt(0);
  }

  /** @param {string} id */
  lettersOf(id) {
    let row = this.cells.get(id);
    if (!row || row.length !== this.jobs.length) {
      row = new Uint8Array(this.jobs.length).fill(NONE);
      this.cells.set(id, row);
    }
    return row;
  }

  /** @param {number} job a place in `jobs` @param {number} run a place in `runs` */
  letterAt(job, run) {
    return String.fromCharCode(this.cells.get(String(this.runs[run].id))?.[job] ?? NONE);
  }

  /** Which rows are shown: all, or those that are not all well, and whose name has the words. */
  choose() {
    const words = this.words.trim().toLowerCase();
    const shown = this.runs.map((run) => this.cells.get(String(run.id)));
    this.rows = [];
    this.jobs.forEach((row, index) => {
      if (words && !row.job.toLowerCase().includes(words)) return;
      if (this.only === "open" && shown.every((letters) => !letters || DONE.has(letters[index]))) return;
      this.rows.push(index);
    });
  }

  /**
   * Chooses one, or with `extend` all from the last that was chosen.
   * @param {"chosenRuns" | "chosenJobs"} which @param {string[]} all @param {number} place @param {number | null} since
   */
  toggle(which, all, place, since) {
    const chosen = this[which];
    const on = !chosen.has(all[place]);
    const [from, to] = since === null ? [place, place] : [Math.min(place, since), Math.max(place, since)];
    for (const each of all.slice(from, to + 1)) on ? chosen.add(each) : chosen.delete(each);
  }
}
