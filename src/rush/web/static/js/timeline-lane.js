/**
 * A lane of a timeline, and what is said about its bars. Where they stand is told later.
 *
 * @typedef {import("./timeline-scale.js").Span} Span
 * @typedef {import("./timeline-scale.js").JobLane} JobLane
 * @typedef {{span: Span, bar: any, parts: {back: any, wait: any, run: any}}} Bar
 * @typedef {{element: any, took: any, text: string, bars: Map<string, Bar>}} Lane
 */

import { badge, h, icon } from "./dom.js";
import { stateClass } from "./state.js";
import { duration, exact, serverNow } from "./time.js";

/** How high a row is in a lane of several. */
export const ROW = 16;

/** @param {number} share */
export const percent = (share) => `${(share * 100).toFixed(4)}%`;

/**
 * @param {JobLane} job
 * @param {Span[]} spans
 * @param {string} text what the lane was made from
 * @param {number} rows
 * @param {boolean} critical
 * @param {(span: Span | undefined) => string | null} hrefOf
 * @returns {Lane}
 */
export function makeLane(job, spans, text, rows, critical, hrefOf) {
  const href = hrefOf(spans[spans.length - 1]);
  const said = job.state ?? "not yet released";
  const name = h(
    href ? "a" : "span",
    { class: `tl-name ${stateClass(job.state)}`, href, title: `${job.job}: ${said}`, tabindex: href ? "-1" : null, "data-key": `${job.job}//` },
    icon(job.state ?? "none", "s"),
    h("span", { class: "tl-word" }, job.job),
    h("span", { class: "visually-hidden" }, said),
  );
  const track = h("div", { class: "tl-track" });
  const took = h("div", { class: "tl-took" });
  const element = h("li", { class: `tl-lane${critical ? " tl-critical" : ""}${rows > 1 ? " tl-rows" : ""}`, "data-job": job.job }, name, track, took);
  const bars = new Map();
  for (const span of spans) {
    const made = makeBar(job, span, rows, hrefOf(span));
    track.append(made.bar);
    bars.set(span.key, made);
  }
  return { element, took, text, bars };
}

/** @param {JobLane} job @param {Span} span @param {number} rows @param {string | null} href @returns {Bar} */
function makeBar(job, span, rows, href) {
  const { attempt } = span;
  const begun = span.started !== null;
  const part = (/** @type {string} */ kind) => h("span", { class: `tl-part ${kind}` });
  const parts = { back: span.failed === null ? null : part("tl-back"), wait: part("tl-wait"), run: begun ? part("tl-run") : null };
  const [done, all] = attempt.progress ?? [0, 0];
  if (parts.run && span.live && all > 0) {
    const share = h("span", { class: "tl-done" });
    share.style.width = percent(Math.min(1, done / all));
    parts.run.append(share);
    parts.run.classList.add("tl-partial");
  }
  const bar = h(
    href ? "a" : "button",
    { class: `tl-bar ${stateClass(attempt.state)}`, href, type: href ? null : "button", tabindex: "-1", "aria-label": sentence(job, span), "data-key": `${job.job}//${span.key}` },
    parts.back,
    parts.wait,
    parts.run,
    !begun && ["Stuck", "Cancelled", "Skipped"].includes(attempt.state) && icon(attempt.state, "s"),
    attempt.state === "Failed" && h("span", { class: "tl-end" }, icon("Failed", "s")),
  );
  if (rows > 1) {
    bar.style.top = `${6 + span.row * ROW}px`;
    bar.style.height = `${ROW}px`;
  }
  return { span, bar, parts };
}

/** A bar in one sentence, for ears. @param {JobLane} job @param {Span} span */
function sentence(job, span) {
  const said = facts(span).filter(([what]) => what !== "Error");
  return `${job.job}: ${said.map(([what, words]) => `${what} ${words}`).join(", ").replaceAll("\n", ", ")}`;
}

/** @param {Span} span @returns {[string, string][]} */
function facts(span) {
  const { attempt, failed, ready, started, ended } = span;
  const now = serverNow();
  const between = (/** @type {number} */ a, /** @type {number} */ b) => duration((b - a) / 1000);
  const round = attempt.round > 1 ? `, round ${attempt.round}` : "";
  const item = attempt.item ? `, item ${attempt.item}` : "";
  /** @type {[string, string][]} */
  const found = [["Attempt", `${attempt.attempt}${round}${item}, ${attempt.state}`]];
  if (failed !== null && ready !== null) found.push(["Backed off", between(failed, ready)]);
  if (ready !== null) found.push(["Waited", between(ready, Math.max(ready, started ?? ended ?? now))]);
  if (started !== null) found.push([ended === null ? "Running for" : "Ran", between(started, ended ?? now)]);
  if (attempt.progress) found.push(["Progress", `${attempt.progress[0]} of ${attempt.progress[1]}`]);
  if (attempt.worker) found.push(["Worker", attempt.worker]);
  if (ready !== null) found.push([ready > now ? "Ready at" : "Ready", exact(ready)]);
  if (started !== null) found.push(["Started", exact(started)]);
  if (ended !== null) found.push(["Finished", exact(ended)]);
  if (attempt.error) found.push(["Error", attempt.error.slice(0, 300)]);
  return found;
}

/** What is shown beside the pointer, or beside the bar that has the focus. @param {JobLane} job @param {Span} span */
export function tipOf(job, span) {
  const list = h("dl", { class: "facts" });
  for (const [what, words] of facts(span)) list.append(h("dt", {}, what), h("dd", {}, words));
  return h("div", {}, h("div", { class: "row" }, h("b", {}, job.job), badge(span.attempt.state)), list);
}
