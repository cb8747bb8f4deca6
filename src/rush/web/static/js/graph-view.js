/**
 * A window onto a drawing that may be larger: drag, pinch, wheel and buttons move and scale it.
 * It writes one transform, and says when the window has moved.
 */

const LEAST = 0.02;
const MOST = 2;

export class View {
  /** @type {Map<number, {x: number, y: number}>} */
  #fingers = new Map();
  #frame = 0;
  #dragged = false;
  x = 0;
  y = 0;
  scale = 1;
  /** The drawing's size. */
  width = 1;
  height = 1;

  /**
   * @param {SVGSVGElement} svg
   * @param {SVGGElement} layer what is moved
   * @param {() => void} moved
   */
  constructor(svg, layer, moved) {
    this.svg = svg;
    this.layer = layer;
    this.moved = moved;
    svg.addEventListener("pointerdown", (event) => this.#down(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) svg.addEventListener(end, (event) => this.#up(/** @type {PointerEvent} */ (event)));
    svg.addEventListener("click", (event) => this.#dragged && (event.preventDefault(), event.stopPropagation()), true);
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  get window() {
    const { clientWidth, clientHeight } = this.svg;
    return { x: -this.x / this.scale, y: -this.y / this.scale, width: clientWidth / this.scale, height: clientHeight / this.scale };
  }

  get fits() {
    const { x, y, width, height } = this.window;
    return x <= 1 && y <= 1 && x + width >= this.width - 1 && y + height >= this.height - 1;
  }

  /** The scale at which everything can be seen. @param {number} [most] */
  fitting(most = 1) {
    const { clientWidth, clientHeight } = this.svg;
    return Math.max(LEAST, Math.min(most, (clientWidth - 24) / this.width, (clientHeight - 24) / this.height));
  }

  /** @param {number} scale @param {{x: number, y: number}} [centre] of the drawing */
  show(scale, centre = { x: this.width / 2, y: this.height / 2 }) {
    this.scale = Math.max(LEAST, Math.min(MOST, scale));
    this.x = this.svg.clientWidth / 2 - centre.x * this.scale;
    this.y = this.svg.clientHeight / 2 - centre.y * this.scale;
    this.#clamp();
    this.#write();
  }

  /** @param {number} by @param {number} [x] @param {number} [y] what stays where it is */
  zoom(by, x = this.svg.clientWidth / 2, y = this.svg.clientHeight / 2) {
    const scale = Math.max(LEAST, Math.min(MOST, this.scale * by));
    this.x = x - ((x - this.x) / this.scale) * scale;
    this.y = y - ((y - this.y) / this.scale) * scale;
    this.scale = scale;
    this.#clamp();
    this.#write();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#clamp();
    this.#write();
  }

  /** Moves just so far that a box can be seen whole. @param {{x: number, y: number, width: number, height: number}} box */
  reveal(box) {
    const { x, y, width, height } = this.window;
    const pad = 24 / this.scale;
    const dx = box.x - pad < x ? x - box.x + pad : Math.min(0, x + width - box.x - box.width - pad);
    const dy = box.y - pad < y ? y - box.y + pad : Math.min(0, y + height - box.y - box.height - pad);
    if (dx || dy) this.pan(dx * this.scale, dy * this.scale);
  }

  /** A part of the drawing always stays in the window. */
  #clamp() {
    const { clientWidth, clientHeight } = this.svg;
    const clamp = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ room) =>
      size <= room ? Math.max(Math.min(at, room - size + 8), Math.min(8, (room - size) / 2)) : Math.max(room - size - 24, Math.min(24, at));
    this.x = clamp(this.x, this.width * this.scale, clientWidth);
    this.y = clamp(this.y, this.height * this.scale, clientHeight);
  }

  #write() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.layer.setAttribute("transform", `translate(${this.x.toFixed(2)} ${this.y.toFixed(2)}) scale(${this.scale.toFixed(4)})`);
      this.moved();
    });
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    if (this.#fingers.size === 0) this.#dragged = false;
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const at = { x: event.clientX, y: event.clientY };
    if (!this.#dragged && Math.hypot(at.x - before.x, at.y - before.y) < 4) return;
    if (!this.#dragged) this.svg.setPointerCapture(event.pointerId);
    this.#dragged = true;
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.#fingers.set(event.pointerId, at);
    if (!other) return this.pan(at.x - before.x, at.y - before.y);
    const box = this.svg.getBoundingClientRect();
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(at.x - other.x, at.y - other.y);
    this.zoom(is / Math.max(was, 1), (at.x + other.x) / 2 - box.left, (at.y + other.y) / 2 - box.top);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.#fingers.delete(event.pointerId);
  }

  /** With Ctrl or ⌘ the wheel scales; without, it scrolls the page, and sideways the drawing. @param {WheelEvent} event */
  #wheel(event) {
    const box = this.svg.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(-event.deltaY * 0.003), event.clientX - box.left, event.clientY - box.top);
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(-event.deltaX, 0);
    else if (event.shiftKey) this.pan(-event.deltaY, 0);
    else return;
    event.preventDefault();
  }
}
