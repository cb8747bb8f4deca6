// The command below the form of an action does what the form does: with the parameters that were
// changed in it, and the reason.

const PLAIN = /^[\w@%+=:,./-]+$/;

/** Show in each form what a terminal would be told. */
export function showCommands() {
  for (const place of document.querySelectorAll("#main form [data-command]")) show(place);
}

export function followCommand(event) {
  const place = event.target.form?.querySelector("[data-command]");
  if (place) show(place);
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
