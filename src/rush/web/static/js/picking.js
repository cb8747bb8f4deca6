// Choosing runs for what is done to many at once.

const boxes = () => [...document.querySelectorAll('#main input[name="run"]')];

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
  const all = bar.querySelector('[name="all"]').checked;
  const number = boxes().filter((box) => box.checked).length;
  bar.querySelector("[data-picked]").textContent = all ? "All that match" : `${number} chosen`;
  for (const button of bar.querySelectorAll("button")) button.disabled = !all && !number;
  for (const row of document.querySelectorAll("#main tr[data-row]")) {
    row.setAttribute("aria-selected", String(Boolean(row.querySelector('input[name="run"]')?.checked)));
  }
}
