/**
 * The painted half of the grid: bands under what is chosen, squares on hairlines, and a bar for
 * how long each run took. Only what is in the window is painted.
 *
 * @typedef {import("./grid-model.js").GridModel} GridModel
 * @typedef {{width: number, height: number, left: number, top: number, columns: number[], lines: number[], ratio: number,
 *   names: number, longest: number, here: [number, number] | null, framed: boolean}} Window where cells begin, which are
 *   seen, how wide the names are, and the cell that is pointed at
 */

import { SIZE, stamp } from "./grid-stamps.js";
import { colour, isState, LETTERS, stateColour } from "./state.js";
import { instant, serverNow } from "./time.js";

export const CELL = 22;
const BARS = 44;
export const HEAD = BARS + 40;

/** @param {import("./grid-model.js").Run} run */
export function secondsOf(run) {
  const begun = instant(run.started_at ?? run.created_at);
  return begun === null ? null : ((instant(run.finished_at) ?? serverNow()) - begun) / 1000;
}

/** @param {CanvasRenderingContext2D} brush @param {GridModel} model @param {Window} seen */
export function paintGrid(brush, model, seen) {
  brush.setTransform(seen.ratio, 0, 0, seen.ratio, 0, 0);
  brush.clearRect(0, 0, seen.width, seen.height);
  within(brush, [0, HEAD, seen.width, seen.height - HEAD], () => {
    paintBands(brush, model, seen);
    brush.fillStyle = colour("n2");
    for (let row = seen.lines[0]; row < seen.lines[1]; row += 1) brush.fillRect(0, seen.top + (row + 1) * CELL - 1, seen.width, 1);
  });
  within(brush, [seen.names, HEAD, seen.width, seen.height - HEAD], () => paintCells(brush, model, seen));
  within(brush, [seen.names, 0, seen.width, HEAD], () => paintBars(brush, model, seen));
}

/** @param {CanvasRenderingContext2D} brush @param {[number, number, number, number]} box @param {() => void} paint */
function within(brush, box, paint) {
  brush.save();
  brush.beginPath();
  brush.rect(...box);
  brush.clip();
  paint();
  brush.restore();
}

/** What is chosen, and the row and column of the pointer. @param {CanvasRenderingContext2D} brush @param {GridModel} model @param {Window} seen */
function paintBands(brush, { runs, rows, jobs, chosenRuns, chosenJobs }, { left, top, width, height, here }) {
  const band = (/** @type {string} */ ink, /** @type {number | null} */ row, /** @type {number | null} */ column) => {
    brush.fillStyle = ink;
    if (row !== null) brush.fillRect(0, top + row * CELL, width, CELL);
    if (column !== null) brush.fillRect(left + column * CELL, 0, CELL, height);
  };
  if (here) band(colour("n1"), ...here);
  if (chosenJobs.size) rows.forEach((place, row) => chosenJobs.has(jobs[place].job) && band(colour("accent-soft"), row, null));
  if (chosenRuns.size) runs.forEach((run, column) => chosenRuns.has(String(run.id)) && band(colour("accent-soft"), null, column));
}

/** @param {CanvasRenderingContext2D} brush @param {GridModel} model @param {Window} seen */
function paintCells(brush, model, { left, top, columns, lines, ratio, here, framed }) {
  const inset = (CELL - SIZE) / 2;
  for (let row = lines[0]; row < lines[1]; row += 1) {
    for (let column = columns[0]; column < columns[1]; column += 1) {
      const letter = model.letterAt(model.rows[row], column);
      if (letter === " ") continue;
      brush.drawImage(stamp(LETTERS[letter] ?? "none", ratio), left + column * CELL + inset, top + row * CELL + inset - 0.5, SIZE, SIZE);
    }
  }
  if (here && framed) {
    brush.strokeStyle = colour("accent");
    brush.lineWidth = 2;
    brush.strokeRect(left + here[1] * CELL + 1, top + here[0] * CELL + 1, CELL - 2, CELL - 3);
  }
}

/** How long each run took. @param {CanvasRenderingContext2D} brush @param {GridModel} model @param {Window} seen */
function paintBars(brush, { runs }, { left, width, columns, names, longest }) {
  brush.fillStyle = colour("n3");
  brush.fillRect(names, BARS, width, 1);
  for (let column = columns[0]; column < columns[1]; column += 1) {
    const run = runs[column];
    const tall = Math.max(2, Math.round(((secondsOf(run) ?? 0) / longest) * (BARS - 6)));
    brush.fillStyle = isState(run.state) ? stateColour(run.state) : colour("n5");
    brush.fillRect(left + column * CELL + 5, BARS - tall, CELL - 10, tall);
  }
}
