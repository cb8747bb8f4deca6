// Choosing rows for what is done to many at once.

const BOX = "td.pick input";
const boxes = () => [...document.querySelectorAll(`#main ${BOX}`)];

export function isPick(box) {
  return box.matches?.(BOX);
}

export function boxOf(row) {
  return row?.querySelector(BOX);
}

export function pickAll(event) {
  for (const box of boxes()) box.checked = event.target.checked;
  showPicked();
}

export function pickAllThatMatch(event) {
  for (const box of boxes()) box.disabled = event.target.checked;
  showPicked();
}

export function showPicked() {
  const bar = document.getElementById("bulk");
  if (!bar) return;
  const everything = bar.querySelector('[name="all"]');
  const all = Boolean(everything?.checked);
  const number = boxes().filter((box) => box.checked).length;
  bar.hidden = !everything && !number;
  bar.querySelector("[data-picked]").textContent = all ? "All that match" : `${number} chosen`;
  for (const button of bar.querySelectorAll("button")) button.disabled = !all && !number;
  for (const row of document.querySelectorAll("#main tr[data-row]")) {
    row.setAttribute("aria-selected", String(Boolean(boxOf(row)?.checked)));
  }
}

// The runs and jobs that were chosen on a grid: a form takes them on.
export function showChosen({ runs, jobs }) {
  const bar = document.getElementById("bulk-grid");
  if (!bar) return;
  bar.hidden = !runs.length && !jobs.length;
  const field = (name, value) => Object.assign(document.createElement("input"), { type: "hidden", name, value });
  bar.querySelector("[data-chosen]").replaceChildren(...runs.map((run) => field("run", run)), ...jobs.map((job) => field("job", job)));
  const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  bar.querySelector("[data-picked]").textContent = jobs.length ? `${counted(runs.length, "run")}, ${counted(jobs.length, "job")}` : counted(runs.length, "run");
  const [retry, ...others] = bar.querySelectorAll("button");
  retry.textContent = jobs.length ? "Run again from these jobs" : "Retry what is stuck";
  retry.disabled = !runs.length;
  for (const button of others) button.disabled = !runs.length || jobs.length > 0;
}
