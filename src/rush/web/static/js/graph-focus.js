/**
 * Which part of a graph is shown: all of it, or what is near to something. Pure.
 *
 * @typedef {{job: string, state: string | null, depends_on: string[], seconds?: number | null, started_at?: string | null,
 *   attempts?: number, progress?: [number, number] | null}} GraphJob
 */

/** Beyond so many jobs a graph begins with what matters in it. */
export const MANY = 300;
const HOPS = 2;

const KINDS = /** @type {const} */ ({ failed: ["Failed", "Stuck"], running: ["Running"] });

/** @param {GraphJob[]} jobs */
export function neighbours(jobs) {
  const before = new Map(jobs.map((job) => [job.job, /** @type {string[]} */ ([])]));
  const after = new Map(jobs.map((job) => [job.job, /** @type {string[]} */ ([])]));
  for (const { job, depends_on } of jobs) {
    for (const other of depends_on) {
      if (!after.has(other) || other === job) continue;
      before.get(job)?.push(other);
      after.get(other)?.push(job);
    }
  }
  return { before, after };
}

/** @param {string[]} from @param {Map<string, string[]>} along @param {number} hops */
function reach(from, along, hops) {
  const seen = new Set(from);
  let edge = from;
  for (let hop = 0; hop < hops && edge.length; hop += 1) {
    edge = edge.flatMap((job) => along.get(job) ?? []).filter((job) => !seen.has(job) && seen.add(job));
  }
  return seen;
}

/**
 * @param {GraphJob[]} jobs
 * @param {string} focus "all", "failed", "running", or a job's name for all that it waits for and that waits for it
 * @returns {{jobs: GraphJob[], centre: string[]}} centre: what the part is about
 */
export function partOf(jobs, focus) {
  if (focus === "all") return { jobs, centre: [] };
  const kind = focus === "failed" || focus === "running" ? focus : null;
  const named = jobs.some((job) => job.job === focus);
  const states = /** @type {readonly string[]} */ (kind && !named ? KINDS[kind] : []);
  const centre = named ? [focus] : jobs.filter((job) => states.includes(job.state ?? "")).map((job) => job.job);
  if (centre.length === 0) return { jobs, centre };
  const { before, after } = neighbours(jobs);
  const hops = named ? Infinity : HOPS;
  const found = new Set([...reach(centre, before, hops), ...reach(centre, after, hops)]);
  return { jobs: jobs.filter((job) => found.has(job.job)), centre };
}

/** What a graph begins with when nobody has said it. @param {GraphJob[]} jobs */
export function firstFocus(jobs) {
  if (jobs.length <= MANY) return "all";
  for (const kind of /** @type {const} */ (["failed", "running"])) {
    const { jobs: part, centre } = partOf(jobs, kind);
    if (centre.length && part.length <= MANY) return kind;
  }
  return "all";
}
