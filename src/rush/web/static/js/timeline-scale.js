/**
 * What a timeline is drawn from: spans of attempts, a scale that can leave out idle times,
 * and the path that decided how long the run took. Pure: no page, no clock.
 *
 * @typedef {{item: number, round: number, attempt: number, state: string, worker: string | null, ready_at: string | null,
 *   started_at: string | null, finished_at: string | null, reason?: string | null, error?: string | null,
 *   progress?: [number, number] | null}} Attempt
 * @typedef {{job: string, state: string | null, depends_on: string[], attempts: Attempt[]}} JobLane
 * @typedef {{attempt: Attempt, key: string, failed: number | null, ready: number, started: number | null,
 *   ended: number | null, from: number, live: boolean, row: number}} Span
 * @typedef {{t0: number, t1: number, x0: number, x1: number, gap: boolean}} Segment
 */

import { instant } from "./time.js";

/** An idle time is left out when it is longer than all that was done, so many times. */
const IDLE_TIMES = 4;
const IDLE_AT_LEAST = 30_000;
/** How much of the width a time that is left out takes. */
const GAP_SHARE = 0.05;
const MOST_ROWS = 10;

/**
 * The attempts of a job as spans: backing off from `failed` to `ready`, waiting until `started`,
 * running until `ended` (null: until now). Items that run side by side get rows of their own.
 * @param {JobLane} job
 * @param {number | null} round only this round; null: all
 * @returns {Span[]}
 */
export function spansOf(job, round) {
  /** @type {Map<number, {end: number, round: number}>} */
  const last = new Map();
  const spans = [];
  for (const attempt of job.attempts) {
    if (round !== null && attempt.round !== round) continue;
    const { item, state } = attempt;
    const ended = instant(attempt.finished_at);
    // What is live and not Running has not begun, whatever its row remembers of the time before.
    const said = ended !== null || state === "Running" ? instant(attempt.started_at) : null;
    const known = [instant(attempt.ready_at), said, ended].filter((at) => at !== null);
    if (known.length === 0) continue;
    const before = last.get(item);
    const over = before?.end ?? -Infinity;
    const ready = Math.max(over, instant(attempt.ready_at) ?? Math.min(...known));
    const started = said ?? (ended !== null && state !== "Cancelled" && state !== "Skipped" ? ready : null);
    const failed = before !== undefined && before.round === attempt.round && ready > over && state !== "Stuck" ? over : null;
    spans.push({
      attempt,
      // A Stuck row has the number of the attempt that failed last.
      key: `${item}/${attempt.round}/${attempt.attempt}${state === "Stuck" ? "/stuck" : ""}`,
      failed,
      ready,
      started: started === null ? null : Math.max(started, over),
      ended,
      from: failed ?? ready,
      live: ended === null && state !== "Stuck",
      row: 0,
    });
    if (ended !== null) last.set(item, { end: ended, round: attempt.round });
  }
  stack(spans);
  return spans;
}

/** Spans that overlap get rows of their own; beyond a few, they share the last. @param {Span[]} spans */
function stack(spans) {
  /** @type {number[]} */
  const rows = [];
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    let row = rows.findIndex((end) => end <= span.from);
    if (row < 0) row = Math.min(rows.length, MOST_ROWS - 1);
    rows[row] = Math.max(rows[row] ?? 0, span.ended ?? Infinity);
    span.row = row;
  }
}

/**
 * The times in which nothing ran and nothing was about to, long enough to be left out.
 * @param {Span[]} spans
 * @param {number} from
 * @param {number} to
 * @param {number} now
 * @returns {[number, number][]}
 */
export function idleTimes(spans, from, to, now) {
  const busy = spans
    .map((span) => /** @type {[number, number]} */ ([span.started ?? span.ended ?? span.ready, span.live && span.started !== null ? now : (span.ended ?? span.ready)]))
    .concat([[from, from], [to, to]])
    .sort((a, b) => a[0] - b[0]);
  if (now > from && now < to) busy.push([now, now]);
  busy.sort((a, b) => a[0] - b[0]);
  const idle = [];
  let end = from;
  for (const [begin, until] of busy) {
    if (begin > end) idle.push(/** @type {[number, number]} */ ([end, begin]));
    end = Math.max(end, until);
  }
  const total = to - from;
  const long = idle.filter(([a, b]) => b - a >= IDLE_AT_LEAST);
  const left = total - long.reduce((sum, [a, b]) => sum + (b - a), 0);
  return long.filter(([a, b]) => b - a > IDLE_TIMES * left);
}

/**
 * A scale from instants to shares of the width, leaving out `gaps`.
 * @param {number} from
 * @param {number} to
 * @param {[number, number][]} gaps
 */
export function scaleOf(from, to, gaps) {
  const margin = (to - from - gaps.reduce((sum, [a, b]) => sum + (b - a), 0)) * 0.01;
  const cuts = gaps.map(([a, b]) => /** @type {[number, number]} */ ([a + margin, b - margin])).filter(([a, b]) => b > a);
  const share = cuts.length ? Math.min(GAP_SHARE, 0.4 / cuts.length) : 0;
  const shown = to - from - cuts.reduce((sum, [a, b]) => sum + (b - a), 0) || 1;
  const perTime = (1 - share * cuts.length) / shown;
  /** @type {Segment[]} */
  const segments = [];
  let t = from;
  let x = 0;
  const add = (/** @type {number} */ t1, /** @type {boolean} */ gap) => {
    const x1 = gap ? x + share : x + (t1 - t) * perTime;
    segments.push({ t0: t, t1, x0: x, x1, gap });
    [t, x] = [t1, x1];
  };
  for (const [a, b] of cuts) {
    add(a, false);
    add(b, true);
  }
  add(to, false);
  /** @param {number} at */
  const place = (at) => {
    if (at <= from) return 0;
    const segment = segments.find(({ t1 }) => at <= t1) ?? segments[segments.length - 1];
    const { t0, t1, x0, x1 } = segment;
    return t1 === t0 ? x0 : Math.min(1, x0 + ((at - t0) / (t1 - t0)) * (x1 - x0));
  };
  return { from, to, segments, place, perTime };
}

/**
 * The jobs that decided how long the run took: from what ended last, back through what each had waited for longest.
 * @param {JobLane[]} jobs
 * @param {Map<string, Span[]>} spans
 * @param {number} now
 * @returns {string[]} from the first to the last
 */
export function criticalPath(jobs, spans, now) {
  const byName = new Map(jobs.map((job) => [job.job, job]));
  /** @param {string} name */
  const endOf = (name) =>
    Math.max(-Infinity, ...(spans.get(name) ?? []).filter((span) => span.started !== null).map((span) => span.ended ?? now));
  const latest = (/** @type {string[]} */ names) =>
    names.reduce((best, name) => (endOf(name) > endOf(best) ? name : best), names[0]);
  const path = [];
  const seen = new Set();
  let name = jobs.length ? latest(jobs.map((job) => job.job)) : undefined;
  while (name !== undefined && endOf(name) > -Infinity && !seen.has(name)) {
    seen.add(name);
    path.unshift(name);
    name = latest((byName.get(name)?.depends_on ?? []).filter((other) => byName.has(other)));
  }
  return path;
}
