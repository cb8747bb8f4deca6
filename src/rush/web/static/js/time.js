/**
 * Instants and durations, in the words of the pages. Instants are the database's clock:
 * `serverNow()` is what that clock shows now, learned from the answers' `now`.
 */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How far the database's clock is ahead of the browser's, in milliseconds. */
let ahead = 0;

/**
 * An ISO-8601 instant as milliseconds since 1970, with its microseconds as a fraction.
 * @param {string | null | undefined} iso
 * @returns {number | null}
 */
export function instant(iso) {
  if (!iso) return null;
  const parts = /^(.{10})[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?$/.exec(iso);
  if (!parts) {
    const plain = Date.parse(iso);
    return Number.isNaN(plain) ? null : plain;
  }
  const [, day, clock, fraction, zone] = parts;
  const whole = Date.parse(`${day}T${clock}${zone ?? "Z"}`);
  return Number.isNaN(whole) ? null : whole + Number(`0.${fraction ?? 0}`) * SECOND;
}

/** @param {string | null | undefined} iso the database's clock, just read */
export function learnNow(iso) {
  const now = instant(iso);
  if (now !== null) ahead = now - Date.now();
}

/** The database's clock, in milliseconds. */
export function serverNow() {
  return Date.now() + ahead;
}

const two = (/** @type {number} */ n) => String(Math.trunc(n)).padStart(2, "0");

/**
 * A duration in words that keep their width: `2 m 05 s`.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const sign = seconds < 0 ? "−" : "";
  const s = Math.abs(seconds);
  if (s === 0) return "0 s";
  if (s < 0.001) return `${sign}${Math.round(s * 1e6)} µs`;
  if (s < 0.9995) return `${sign}${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${sign}${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${sign}${whole} s`;
  if (whole < 3600) return `${sign}${Math.trunc(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${sign}${Math.trunc(whole / 3600)} h ${two((whole % 3600) / 60)} m`;
  return `${sign}${Math.trunc(whole / 86400)} d ${two((whole % 86400) / 3600)} h`;
}

/**
 * How long ago or how far ahead, roughly: `3 min ago`, `in 2 h`.
 * @param {number} at
 * @param {number} [now]
 */
export function relative(at, now = serverNow()) {
  const apart = Math.abs(now - at);
  if (apart < 5 * SECOND) return "now";
  const [size, unit] =
    apart < MINUTE ? [SECOND, "s"] : apart < HOUR ? [MINUTE, "min"] : apart < DAY ? [HOUR, "h"] : [DAY, "d"];
  const words = `${Math.trunc(apart / size)} ${unit}`;
  return at > now ? `in ${words}` : `${words} ago`;
}

/**
 * The clock of an instant in a zone, as parts.
 * @param {number} at
 * @param {boolean} utc
 */
function parts(at, utc) {
  const date = new Date(Math.floor(at));
  return utc
    ? [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
}

/**
 * `2026-11-26 01:30:00`, with as many digits of the second as are asked for.
 * @param {number} at
 * @param {{utc?: boolean, digits?: number, day?: boolean}} [how]
 */
export function clock(at, { utc = false, digits = 0, day = true } = {}) {
  const [year, month, date, hour, minute, second] = parts(at, utc);
  const micros = Math.round((at - Math.floor(at / SECOND) * SECOND) * 1000);
  const fraction = digits ? `.${String(Math.min(micros, 999999)).padStart(6, "0").slice(0, digits)}` : "";
  const time = `${two(hour)}:${two(minute)}:${two(second)}${fraction}`;
  return day ? `${year}-${two(month)}-${two(date)} ${time}` : time;
}

/** The reader's zone, as people write it: `UTC+2`. @param {number} at */
export function zone(at) {
  const minutes = -new Date(at).getTimezoneOffset();
  const rest = Math.abs(minutes) % 60;
  const sign = minutes < 0 ? "−" : "+";
  return minutes === 0 ? "UTC" : `UTC${sign}${Math.trunc(Math.abs(minutes) / 60)}${rest ? `:${two(rest)}` : ""}`;
}

/** Both the exact UTC and what the reader's clock showed, for a tooltip. @param {number} at */
export function exact(at) {
  const utc = `${clock(at, { utc: true, digits: 6 })} UTC`;
  return zone(at) === "UTC" ? utc : `${utc}\n${clock(at, { digits: 3 })} ${zone(at)}`;
}

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500,
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28].map((n) => n * DAY),
];

/**
 * A round step for the ticks of an axis: the smallest that gives at most `count` ticks.
 * @param {number} span in milliseconds
 * @param {number} count
 */
export function step(span, count) {
  return STEPS.find((size) => span / size <= count) ?? Math.ceil(span / count / DAY) * DAY;
}

/**
 * Ticks at round times of the reader's zone, within [from, to].
 * @param {number} from
 * @param {number} to
 * @param {number} size
 */
export function ticks(from, to, size) {
  const shift = new Date(from).getTimezoneOffset() * MINUTE;
  const first = Math.ceil((from - shift) / size) * size + shift;
  const found = [];
  for (let at = first; at <= to && found.length < 500; at += size) found.push(at);
  return found;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A day of the reader's zone: `26 Nov`. @param {number} at */
export function dayLabel(at) {
  const [, month, date] = parts(at, false);
  return `${date} ${MONTHS[month - 1]}`;
}

/**
 * What stands at a tick: only as much of the clock as the step needs.
 * @param {number} at
 * @param {number} size
 */
export function tickLabel(at, size) {
  const [, , , hour, minute] = parts(at, false);
  if (size >= DAY || (hour === 0 && minute === 0 && size >= MINUTE)) return dayLabel(at);
  if (size >= MINUTE) return `${two(hour)}:${two(minute)}`;
  return clock(at, { day: false, digits: size >= SECOND ? 0 : 3 });
}
