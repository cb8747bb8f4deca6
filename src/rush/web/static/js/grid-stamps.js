/**
 * The squares of the grid, each drawn once and then stamped. What is complete is plain; what
 * wants to be seen has a mark as well as a colour.
 *
 * @typedef {import("./state.js").State} State
 */

import { colour, stateColour } from "./state.js";

export const SIZE = 14;

/** @type {Map<string, HTMLCanvasElement>} */
let stamps = new Map();

export function forgetStamps() {
  stamps = new Map();
}

/** @param {State | "none"} state @param {number} ratio device pixels a pixel */
export function stamp(state, ratio) {
  const key = `${state} ${ratio}`;
  let found = stamps.get(key);
  if (!found) {
    found = document.createElement("canvas");
    found.width = found.height = Math.round(SIZE * ratio);
    const brush = /** @type {CanvasRenderingContext2D} */ (found.getContext("2d"));
    brush.scale(ratio, ratio);
    brush.lineCap = "round";
    draw(brush, state);
    stamps.set(key, found);
  }
  return found;
}

/** @param {CanvasRenderingContext2D} brush @param {State | "none"} state */
function draw(brush, state) {
  const ink = state === "none" ? colour("n5") : stateColour(state);
  brush.fillStyle = brush.strokeStyle = ink;
  brush.lineWidth = 1.5;
  const line = (/** @type {number[]} */ ...points) => {
    brush.beginPath();
    brush.moveTo(points[0], points[1]);
    for (let index = 2; index < points.length; index += 2) brush.lineTo(points[index], points[index + 1]);
    brush.stroke();
  };
  const round = (/** @type {number} */ radius, /** @type {number} */ from = 0, /** @type {number} */ to = 2 * Math.PI) => {
    brush.beginPath();
    brush.arc(7, 7, radius, from, to);
  };
  if (state === "none") {
    brush.fillRect(6, 6, 2, 2);
  } else if (state === "Complete") {
    // There are so many of them: paler, so that the others stand out.
    brush.globalAlpha = 0.75;
    brush.fillRect(0, 0, 14, 14);
  } else if (state === "Failed") {
    brush.fillRect(0, 0, 14, 14);
    brush.strokeStyle = colour("on-state");
    brush.lineWidth = 2;
    line(4, 4, 10, 10);
    line(10, 4, 4, 10);
  } else if (state === "Stuck") {
    brush.beginPath();
    for (const [x, y] of [[4, 0], [10, 0], [14, 4], [14, 10], [10, 14], [4, 14], [0, 10], [0, 4]]) brush.lineTo(x, y);
    brush.fill();
    brush.fillStyle = colour("on-state");
    brush.fillRect(6, 2.75, 2, 5.5);
    brush.fillRect(6, 9.5, 2, 2);
  } else if (state === "Running") {
    brush.strokeRect(0.75, 0.75, 12.5, 12.5);
    round(3.75);
    brush.fill();
  } else if (state === "Ready") {
    round(4.5);
    brush.lineWidth = 2;
    brush.stroke();
  } else if (state === "Waiting") {
    round(5.5);
    brush.stroke();
    line(7, 4, 7, 7, 9.25, 8.5);
  } else if (state === "Cancelled") {
    brush.strokeRect(0.75, 0.75, 12.5, 12.5);
    line(3.5, 10.5, 10.5, 3.5);
  } else if (state === "Skipped") {
    brush.setLineDash([2.2, 2.4]);
    brush.lineCap = "butt";
    brush.strokeRect(0.75, 0.75, 12.5, 12.5);
  }
}
