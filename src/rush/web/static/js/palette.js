// The palette: go to a page, a pipeline or a run by typing a part of its name.

const base = () => document.querySelector('meta[name="rush-base"]').content;

let open = false;

export async function palette() {
  if (open) return;
  open = true;
  const { dialog, input, list } = build();
  const places = [...document.querySelectorAll(".nav a")].map((a) => ({ name: a.textContent.trim(), kind: "page", href: a.href }));
  let pipelines = [];
  let runs = [];
  let chosen = 0;
  let shown = [];

  const show = () => {
    const typed = input.value.trim().toLowerCase();
    const fits = (each) => each.name.toLowerCase().includes(typed);
    shown = [...places.filter(fits), ...pipelines.filter(fits), ...runs].slice(0, 30);
    chosen = Math.min(chosen, Math.max(0, shown.length - 1));
    list.replaceChildren(...shown.map((each, at) => option(each, at === chosen)));
    input.setAttribute("aria-activedescendant", shown.length ? `palette-${chosen}` : "");
    list.querySelectorAll("[role=option]").forEach((each, at) => { each.id = `palette-${at}`; });
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const go = (at) => { if (shown[at]) location.href = shown[at].href; };

  let asked = 0;
  const findRuns = async () => {
    const mine = ++asked;
    const typed = input.value.trim();
    const found = typed ? (await get(`/api/v1/runs?limit=10&q=${encodeURIComponent(typed)}`))?.runs ?? [] : [];
    if (mine !== asked) return;
    runs = found.map((run) => ({ name: run.name, kind: run.state, href: `${base()}/runs/${run.id}` }));
    show();
  };

  let timer = 0;
  input.addEventListener("input", () => { chosen = 0; show(); clearTimeout(timer); timer = setTimeout(findRuns, 150); });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) { event.preventDefault(); chosen = (chosen + by + shown.length) % Math.max(1, shown.length); show(); }
    if (event.key === "Enter") { event.preventDefault(); go(chosen); }
  });
  list.addEventListener("click", (event) => go([...list.children].indexOf(event.target.closest("[role=option]"))));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => { open = false; dialog.remove(); });
  document.body.append(dialog);
  dialog.showModal();
  show();
  pipelines = ((await get("/api/v1/pipelines")) ?? []).map((each) => ({ name: each.name, kind: "pipeline", href: `${base()}/pipelines/${encodeURIComponent(each.name)}` }));
  show();
}

function build() {
  const dialog = document.createElement("dialog");
  dialog.className = "palette";
  dialog.setAttribute("aria-label", "Go to");
  const input = dialog.appendChild(document.createElement("input"));
  input.type = "text";
  input.placeholder = "A page, a pipeline, a run";
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", "palette-list");
  input.setAttribute("aria-label", "Go to");
  const list = dialog.appendChild(document.createElement("ul"));
  list.id = "palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Places");
  return { dialog, input, list };
}

function option({ name, kind }, selected) {
  const item = document.createElement("li");
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", String(selected));
  item.append(name);
  const what = item.appendChild(document.createElement("span"));
  what.className = "end";
  what.textContent = kind;
  return item;
}

async function get(path) {
  try {
    const answer = await fetch(base() + path, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : null;
  } catch { return null; }
}
