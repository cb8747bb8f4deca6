// What a form of an action tells while it is filled in. The command below it does what the form
// does: with the parameters that were changed in it, and the reason.

const PLAIN = /^[\w@%+=:,./-]+$/;

/** Show in each form what a terminal would be told. */
export function showCommands() {
  for (const place of document.querySelectorAll("#main form [data-command]")) show(place);
}

export function followForm(event) {
  const { target } = event;
  if (target.matches?.("textarea[data-params]")) judge(target);
  const place = target.form?.querySelector("[data-command]");
  if (place) show(place);
}

// A line that is none keeps the form from being sent: what was typed would be lost. And what is
// new or gone beside what was shown may be a slip.
function judge(field) {
  const wrong = lines(field.value).find((line) => !/^[^=\s]+\s*=/.test(line));
  field.setCustomValidity(wrong ? `“${wrong}” is no key=value` : "");
  const said = field.parentElement.querySelector("[data-slips]");
  if (!said) return;
  const before = names(field.defaultValue), now = names(field.value);
  const added = now.filter((name) => !before.includes(name)), gone = before.filter((name) => !now.includes(name));
  said.textContent = [
    before.length && added.length ? `New: ${added.join(", ")}.` : "",
    gone.length ? `Stays as it is: ${gone.join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}

function names(text) {
  return lines(text).map((line) => line.split("=")[0].trim());
}

function show(place) {
  const text = told(place.dataset.command, place.closest("form").elements);
  place.querySelector("code").textContent = text;
  place.querySelector("rush-copy").setAttribute("text", text);
}

function told(command, { params, why }) {
  const before = new Set(lines(params?.defaultValue));
  const changed = lines(params?.value).filter((line) => !before.has(line));
  const reason = why?.value.trim();
  return [command, ...changed.map((line) => `-p ${quoted(line)}`), ...(reason ? [`--why ${quoted(reason)}`] : [])].join(" ");
}

function lines(text = "") {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

// As the shells of POSIX read it.
function quoted(text) {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
