/**
 * The small parts: a time that says how long ago it was, a duration that counts, a button that
 * copies. Without scripts they are the text that the server sent.
 */

import { copy, h, icon } from "./dom.js";
import { clock, duration, exact, instant, learnNow, relative, serverNow, zone } from "./time.js";

/** All that change with time, refreshed together. @type {Set<{refresh: () => void}>} */
const living = new Set();

setInterval(() => {
  if (!document.hidden) for (const each of living) each.refresh();
}, 1000);

learnNow(document.documentElement.dataset.now);

class Time extends HTMLElement {
  said = "";

  static get observedAttributes() {
    return ["at", "form"];
  }

  connectedCallback() {
    living.add(this);
    this.refresh();
  }

  disconnectedCallback() {
    living.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.refresh();
  }

  refresh() {
    const at = instant(this.getAttribute("at"));
    if (at === null) return;
    const form = this.getAttribute("form") ?? "relative";
    const words = form === "clock" ? clock(at, { day: false }) : form === "full" ? `${clock(at)} ${zone(at)}` : relative(at);
    if (words === this.said && this.firstElementChild) return;
    this.said = words;
    const title = exact(at);
    this.replaceChildren(h("time", { datetime: this.getAttribute("at"), title }, words));
  }
}

class Duration extends HTMLElement {
  static get observedAttributes() {
    return ["from", "to"];
  }

  connectedCallback() {
    this.refresh();
  }

  disconnectedCallback() {
    living.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.refresh();
  }

  refresh() {
    const from = instant(this.getAttribute("from"));
    const to = instant(this.getAttribute("to"));
    if (from === null) return;
    if (to === null) living.add(this);
    else living.delete(this);
    const seconds = Math.max(0, (to ?? serverNow()) - from) / 1000;
    // What counts does so in whole seconds: no tenths that jump.
    const words = duration(to === null ? Math.floor(seconds) : seconds);
    if (this.textContent !== words) this.textContent = words;
  }
}

class Copy extends HTMLElement {
  static get observedAttributes() {
    return ["text"];
  }

  attributeChangedCallback() {
    this.button?.setAttribute("title", this.getAttribute("text"));
  }

  connectedCallback() {
    if (this.button) return;
    const label = this.textContent?.trim() || "Copy";
    this.button = h("button", { type: "button", class: "button small quiet", title: this.getAttribute("text"), onclick: () => this.act(label) }, icon("copy", "s"), h("span", { "aria-live": "polite" }, label));
    this.replaceChildren(this.button);
  }

  /** @param {string} label */
  async act(label) {
    const words = this.button.lastChild;
    try {
      await copy(this.getAttribute("text") ?? "");
      words.textContent = "Copied";
    } catch {
      words.textContent = "Not copied";
    }
    setTimeout(() => (words.textContent = label), 1500);
  }
}

customElements.define("rush-time", Time);
customElements.define("rush-duration", Duration);
customElements.define("rush-copy", Copy);
