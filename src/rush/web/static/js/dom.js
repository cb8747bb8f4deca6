/**
 * Elements without a framework. Text goes in as text nodes and attributes as attributes:
 * nothing here parses HTML, so nothing from the database is ever more than text.
 *
 * @typedef {Node | string | number | null | undefined | false} Child
 */

const SVG = "http://www.w3.org/2000/svg";
const SPRITE = new URL("../icons.svg", import.meta.url).href;

/** @param {Element} node @param {Record<string, any>} attributes */
function assign(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "href" && !safe(value)) continue;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Links go to pages only: never to `javascript:` and its like. @param {unknown} href */
export function safe(href) {
  try {
    return ["http:", "https:"].includes(new URL(String(href), document.baseURI).protocol);
  } catch {
    return false;
  }
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `onclick` and the like are listeners
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  assign(node, attributes);
  append(node, children);
  return node;
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function s(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  assign(node, attributes);
  append(node, children);
  return node;
}

/** @param {Node} node @param {Child[]} children */
function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A shape of the sprite. @param {string} name @param {string} [kind] */
export function icon(name, kind = "") {
  return s("svg", { class: `icon ${kind}`.trim(), "aria-hidden": "true" }, s("use", { href: `${SPRITE}#${name}` }));
}

/** A state as shape and word. @param {string | null} state */
export function badge(state) {
  if (!state) return h("span", { class: "state quiet" }, icon("none"), "not yet");
  return h("span", { class: "state", "data-state": state }, icon(state), state);
}

/** A button with a shape. @param {string} shape @param {string} label @param {() => void} act @param {Record<string, any>} [more] */
export function tool(shape, label, act, more = {}) {
  const { text = null, ...attributes } = more;
  return h(
    "button",
    { type: "button", class: `button quiet small${text ? "" : " square"}`, "aria-label": label, title: label, onclick: act, ...attributes },
    icon(shape, "s"),
    text,
  );
}

/**
 * Fills `{job}` and its like in an address; every value is encoded.
 * @param {string | null} template
 * @param {Record<string, unknown>} values
 * @returns {string | null}
 */
export function fill(template, values) {
  if (!template) return null;
  return template.replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? encodeURIComponent(String(values[name])) : whole));
}

/** Puts a text on the clipboard; pages without a secure context have no API for it. @param {string} text */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "visually-hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
