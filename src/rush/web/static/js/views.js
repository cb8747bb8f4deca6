// Saved views: addresses of this page that somebody has given a name, kept in this browser.

function read(place) {
  try { return JSON.parse(localStorage.getItem(`rush-views-${place}`)) ?? {}; } catch { return {}; }
}

function write(place, views) {
  try { localStorage.setItem(`rush-views-${place}`, JSON.stringify(views)); } catch { /* not kept, then */ }
}

export function showViews() {
  for (const corner of document.querySelectorAll("[data-views]")) show(corner, corner.dataset.views);
}

function show(corner, place) {
  const views = read(place);
  const links = Object.entries(views).map(([name, search]) => link(name, search));
  corner.replaceChildren(...links, ...buttons(corner, place, views));
  corner.hidden = false;
}

function link(name, search) {
  const anchor = document.createElement("a");
  anchor.className = "facet";
  anchor.href = search;
  anchor.textContent = name;
  if (search === location.search) anchor.setAttribute("aria-current", "true");
  return anchor;
}

function buttons(corner, place, views) {
  const here = Object.keys(views).find((name) => views[name] === location.search);
  if (here) {
    return [button("Forget this view", () => { delete views[here]; write(place, views); show(corner, place); })];
  }
  if (location.search.length < 2) return [];
  return [button("Save this view", () => {
    const name = prompt("What is this view called?")?.trim().slice(0, 40);
    if (!name) return;
    write(place, { ...views, [name]: location.search });
    show(corner, place);
  })];
}

function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "button quiet small";
  made.textContent = label;
  made.addEventListener("click", act);
  return made;
}
