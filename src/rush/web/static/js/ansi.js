/**
 * What a terminal would make of a line: pieces of text with a look, and everything that would
 * drive a terminal, or turn the order of text, made visible or left out. Pure.
 *
 * @typedef {{text: string, classes: string, ink: string | null, paper: string | null}} Piece
 * @typedef {{bold: boolean, dim: boolean, italic: boolean, under: boolean, inverse: boolean, ink: string | number | null, paper: string | number | null}} Look
 */

const ESCAPE = "\u001b";
// Colour codes are kept; other sequences (cursor, title, links) are left out.
const SEQUENCE = /\u001b(?:\[([0-9;:]*)m|\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])/g;
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** @returns {Look} */
export function plain() {
  return { bold: false, dim: false, italic: false, under: false, inverse: false, ink: null, paper: null };
}

/** Controls and marks that reorder text, in a form that can be seen. @param {string} text */
export function visible(text) {
  return text.replace(UNSEEN, (mark) => {
    const code = mark.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** The text without its colours: what is searched, counted and copied. @param {string} text */
export function stripped(text) {
  return text.includes(ESCAPE) ? text.replace(SEQUENCE, "") : text;
}

/** Codes of 256 colours, as a number of the 16 or as rgb. @param {number} code */
function palette(code) {
  if (code < 16) return code;
  if (code >= 232) return `rgb(${Array(3).fill((code - 232) * 10 + 8).join(" ")})`;
  const level = (/** @type {number} */ n) => (n === 0 ? 0 : n * 40 + 55);
  const cube = code - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}

/** @param {Look} look @param {number[]} codes */
function apply(look, codes) {
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index];
    if (code === 0) Object.assign(look, plain());
    else if (code === 1) look.bold = true;
    else if (code === 2) look.dim = true;
    else if (code === 3) look.italic = true;
    else if (code === 4) look.under = true;
    else if (code === 7) look.inverse = true;
    else if (code === 22) look.bold = look.dim = false;
    else if (code === 23) look.italic = false;
    else if (code === 24) look.under = false;
    else if (code === 27) look.inverse = false;
    else if (code >= 30 && code <= 37) look.ink = code - 30;
    else if (code >= 90 && code <= 97) look.ink = code - 82;
    else if (code >= 40 && code <= 47) look.paper = code - 40;
    else if (code >= 100 && code <= 107) look.paper = code - 92;
    else if (code === 39) look.ink = null;
    else if (code === 49) look.paper = null;
    else if (code === 38 || code === 48) {
      const side = code === 38 ? "ink" : "paper";
      if (codes[index + 1] === 5) {
        look[side] = palette(Math.min(255, Math.max(0, codes[index + 2] || 0)));
        index += 2;
      } else if (codes[index + 1] === 2) {
        look[side] = `rgb(${codes.slice(index + 2, index + 5).map((n) => Math.min(255, n || 0)).join(" ")})`;
        index += 4;
      }
    }
  }
}

/** @param {string} text @param {Look} look @returns {Piece} */
function piece(text, look) {
  const [ink, paper] = look.inverse ? [look.paper, look.ink] : [look.ink, look.paper];
  const classes = [];
  if (look.bold) classes.push("a-bold");
  if (look.dim) classes.push("a-dim");
  if (look.italic) classes.push("a-italic");
  if (look.under) classes.push("a-under");
  if (look.inverse && ink === null && paper === null) classes.push("a-inverse");
  if (typeof ink === "number") classes.push(`a-ink${ink}`);
  if (typeof paper === "number") classes.push(`a-paper${paper}`);
  return { text: visible(text), classes: classes.join(" "), ink: typeof ink === "string" ? ink : null, paper: typeof paper === "string" ? paper : null };
}

/**
 * @param {string} line
 * @param {Look} [look] goes on from line to line of a record
 * @returns {Piece[]}
 */
export function pieces(line, look = plain()) {
  if (!line.includes(ESCAPE)) return line ? [piece(line, look)] : [];
  const found = [];
  let at = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    if (match.index > at) found.push(piece(line.slice(at, match.index), look));
    if (match[1] !== undefined) apply(look, match[1].split(/[;:]/).map(Number));
    at = match.index + match[0].length;
  }
  if (at < line.length) found.push(piece(line.slice(at), look));
  return found;
}
