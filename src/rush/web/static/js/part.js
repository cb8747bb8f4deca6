/**
 * What all parts of a page have in common: they read JSON from an address, draw it, and
 * read it again when the page says that something of theirs has changed.
 *
 * A part fetches one thing at a time, and not more often than every 300 ms; asked in between,
 * it fetches once more afterwards. While its tab is hidden it rests.
 */

import { copy, h, tool } from "./dom.js";
import { onTheme } from "./state.js";
import { learnNow } from "./time.js";

const REST = 300;

export class Part extends HTMLElement {
  /** @type {Promise<void> | null} */
  #fetching = null;
  #again = false;
  #last = 0;
  /** @type {AbortController | null} */
  #life = null;
  /** @type {(() => void) | null} */
  #forgetTheme = null;
  #ready = false;
  /** What was last read. @type {any} */
  answer = null;

  static get observedAttributes() {
    return ["src"];
  }

  connectedCallback() {
    this.#ready = true;
    this.#life = new AbortController();
    const { signal } = this.#life;
    document.addEventListener("rush:changed", (event) => this.#onChanged(/** @type {CustomEvent} */ (event)), { signal });
    document.addEventListener("visibilitychange", () => !document.hidden && this.#again && this.refresh(), { signal });
    this.#forgetTheme = onTheme(() => this.themeChanged());
    this.connected(signal);
    if (this.answer === null) this.refresh();
  }

  disconnectedCallback() {
    this.#life?.abort();
    this.#forgetTheme?.();
    this.disconnected();
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (!this.#ready || before === after) return;
    if (name === "src") this.refresh();
    else this.attributeChanged(name);
  }

  // What a part does of its own.
  /** @param {AbortSignal} _signal ends when the part leaves the page */
  connected(_signal) {}
  disconnected() {}
  themeChanged() {}
  /** @param {string} _name */
  attributeChanged(_name) {}
  /** @param {any} _answer */
  show(_answer) {}
  /** Reads anew and shows it. @returns {Promise<void>} */
  async load() {
    const src = this.getAttribute("src");
    if (src) this.data = await this.read(src);
  }

  get data() {
    return this.answer;
  }

  set data(answer) {
    this.answer = answer;
    if (answer?.now) learnNow(answer.now);
    this.querySelector(":scope > .part-error")?.remove();
    this.show(answer);
  }

  /** Reads again what is shown; asked while it reads, it reads once more afterwards. */
  refresh() {
    if (this.#fetching) {
      this.#again = true;
      return this.#fetching;
    }
    if (document.hidden && this.answer !== null) {
      this.#again = true;
      return Promise.resolve();
    }
    this.#again = false;
    this.#fetching = this.#read().finally(() => {
      this.#fetching = null;
      if (this.#again && this.isConnected) this.refresh();
    });
    return this.#fetching;
  }

  async #read() {
    const early = this.#last + REST - performance.now();
    if (this.#last && early > 0) await new Promise((wake) => setTimeout(wake, early));
    this.#last = performance.now();
    try {
      await this.load();
    } catch (problem) {
      if (!this.isConnected) return;
      this.#fail(problem instanceof Error ? problem.message : String(problem));
    }
  }

  /** @param {string} address @returns {Promise<any>} */
  async read(address) {
    let response;
    try {
      response = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin", signal: this.#life?.signal });
    } catch {
      throw new Error("The server does not answer.");
    }
    if (response.ok) return response.json();
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail || problem.title || `The server answers ${response.status}.`);
  }

  /** @param {CustomEvent} event */
  #onChanged(event) {
    const topics = event.detail?.topics ?? [];
    const mine = (this.getAttribute("topics") ?? "").split(/\s+/).filter(Boolean);
    if (topics.length === 0 || mine.some((topic) => topics.includes(topic))) this.refresh();
  }

  /** What was shown stays; a line above it says what is wrong. @param {string} message */
  #fail(message) {
    this.querySelector(":scope > .part-error")?.remove();
    this.prepend(
      h("div", { class: "part-error banner s-Stuck", role: "alert" }, `${message} `, tool("retry", "Try again", () => this.refresh(), { text: "Try again" })),
    );
  }

  /** The sentence, and the command that fills what is empty. @param {string} sentence */
  emptiness(sentence) {
    const command = this.getAttribute("empty-command");
    return h(
      "div",
      { class: "empty" },
      h("p", {}, this.getAttribute("empty") ?? sentence),
      command && h("p", { class: "row" }, h("code", {}, command), tool("copy", "Copy the command", () => copy(command), { text: "Copy" })),
    );
  }

  /** @param {string} name @param {Record<string, unknown>} detail @returns {boolean} false when somebody took it on */
  tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, cancelable: true }));
  }
}

let tip = /** @type {HTMLElement | null} */ (null);

/**
 * Shows lines of text beside a point, or hides them.
 * @param {Node | null} content
 * @param {number} [x] @param {number} [y] in the window
 */
export function tooltip(content, x = 0, y = 0) {
  if (!tip?.isConnected) {
    tip = h("div", { class: "tip", role: "tooltip", hidden: true });
    document.body.append(/** @type {HTMLElement} */ (tip));
  }
  const box = /** @type {HTMLElement} */ (tip);
  box.hidden = content === null;
  if (content === null) return;
  box.replaceChildren(content);
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - width - 4))}px`;
  box.style.top = `${y + 16 + height > innerHeight ? Math.max(4, y - height - 8) : y + 16}px`;
}
