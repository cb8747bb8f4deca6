/**
 * Where the boxes of a graph stand, and how its edges go: a layered layout (Sugiyama), made for
 * graphs of pipelines. Pure; 2,000 boxes take a fraction of a second.
 *
 *  1. A job's layer is one behind the last that it waits for; what has room moves to its successors.
 *  2. An edge over several layers gets a small place in each, so that no edge crosses a box.
 *  3. Each layer is ordered by the middle of its neighbours, to and fro, and the best order is kept.
 *  4. Places across are moved towards their neighbours as far as the order allows, by least squares.
 *
 * @typedef {{id: string, width: number, height: number}} Box
 * @typedef {{x: number, y: number, width: number, height: number, layer: number}} Placed
 * @typedef {{from: string, to: string, points: [number, number][]}} Route
 * @typedef {{id: string | null, layer: number, size: number, depth: number, at: number, order: number, before: Cell[], after: Cell[]}} Cell
 */

const BETWEEN_LAYERS = 56;
const BETWEEN_BOXES = 14;
const BETWEEN_EDGES = 10;
const SWEEPS = 16;
const ALIGNMENTS = 12;
/** Beyond so many places for edges they are drawn straight. */
const MOST_PLACES = 30_000;

/**
 * @param {Box[]} boxes
 * @param {[string, string][]} edges from what is waited for to what waits
 * @param {"right" | "down"} [direction]
 * @returns {{boxes: Map<string, Placed>, routes: Route[], width: number, height: number}}
 */
export function layOut(boxes, edges, direction = "right") {
  const right = direction === "right";
  /** @type {Map<string, Cell>} */
  const cells = new Map();
  for (const box of boxes) {
    cells.set(box.id, {
      id: box.id, layer: 0, size: right ? box.height : box.width, depth: right ? box.width : box.height, at: 0, order: 0, before: [], after: [],
    });
  }
  const known = edges.filter(([from, to]) => from !== to && cells.has(from) && cells.has(to));
  assignLayers(cells, known);
  const chains = makeChains(cells, known);
  const layers = makeLayers(cells, chains);
  orderLayers(layers);
  alignLayers(layers);
  return measure(layers, cells, chains, right);
}

/** @param {Map<string, Cell>} cells @param {[string, string][]} edges */
function assignLayers(cells, edges) {
  /** @type {Map<string, string[]>} */
  const after = new Map([...cells.keys()].map((id) => [id, []]));
  const missing = new Map([...cells.keys()].map((id) => [id, 0]));
  for (const [from, to] of edges) {
    after.get(from)?.push(to);
    missing.set(to, (missing.get(to) ?? 0) + 1);
  }
  const queue = [...cells.keys()].filter((id) => missing.get(id) === 0);
  for (let index = 0; index < queue.length; index += 1) {
    const cell = /** @type {Cell} */ (cells.get(queue[index]));
    for (const next of after.get(queue[index]) ?? []) {
      const other = /** @type {Cell} */ (cells.get(next));
      other.layer = Math.max(other.layer, cell.layer + 1);
      missing.set(next, (missing.get(next) ?? 0) - 1);
      if (missing.get(next) === 0) queue.push(next);
    }
  }
  // What nothing is in front of need not stand at the very beginning, far from its successors.
  const hasBefore = new Set(edges.map(([, to]) => to));
  for (const id of queue) {
    const next = after.get(id) ?? [];
    if (hasBefore.has(id) || next.length === 0) continue;
    const nearest = Math.min(...next.map((other) => cells.get(other)?.layer ?? 0));
    const cell = /** @type {Cell} */ (cells.get(id));
    cell.layer = Math.max(cell.layer, nearest - 1);
  }
}

/** Each edge as a chain of cells, one a layer. @param {Map<string, Cell>} cells @param {[string, string][]} edges */
function makeChains(cells, edges) {
  let places = 0;
  for (const [from, to] of edges) places += Math.max(0, (cells.get(to)?.layer ?? 0) - (cells.get(from)?.layer ?? 0) - 1);
  const bent = places <= MOST_PLACES;
  return edges.map(([from, to]) => {
    const first = /** @type {Cell} */ (cells.get(from));
    const last = /** @type {Cell} */ (cells.get(to));
    const chain = [first];
    for (let layer = first.layer + 1; bent && layer < last.layer; layer += 1) {
      chain.push({ id: null, layer, size: 2, depth: 0, at: 0, order: 0, before: [], after: [] });
    }
    chain.push(last);
    for (let index = 1; index < chain.length; index += 1) {
      chain[index - 1].after.push(chain[index]);
      chain[index].before.push(chain[index - 1]);
    }
    return { from, to, chain };
  });
}

/** @param {Map<string, Cell>} cells @param {{chain: Cell[]}[]} chains @returns {Cell[][]} */
function makeLayers(cells, chains) {
  /** @type {Cell[][]} */
  const layers = [];
  const put = (/** @type {Cell} */ cell) => (layers[cell.layer] ??= []).push(cell);
  // In the order in which a walk from the roots meets them, neighbours begin side by side.
  const seen = new Set();
  const walk = (/** @type {Cell} */ root) => {
    const stack = [root];
    for (let cell = stack.pop(); cell; cell = stack.pop()) {
      if (seen.has(cell)) continue;
      seen.add(cell);
      put(cell);
      for (let index = cell.after.length - 1; index >= 0; index -= 1) stack.push(cell.after[index]);
    }
  };
  for (const cell of cells.values()) if (cell.before.length === 0) walk(cell);
  for (const cell of cells.values()) walk(cell);
  for (const { chain } of chains) for (const cell of chain) if (!seen.has(cell)) walk(cell);
  for (let layer = 0; layer < layers.length; layer += 1) number((layers[layer] ??= []));
  return layers;
}

/** @param {Cell[]} layer */
function number(layer) {
  for (let index = 0; index < layer.length; index += 1) layer[index].order = index;
}

/** @param {Cell[]} neighbours */
function middle(neighbours) {
  const orders = neighbours.map((cell) => cell.order).sort((a, b) => a - b);
  const half = orders.length >> 1;
  return orders.length % 2 ? orders[half] : (orders[half - 1] + orders[half]) / 2;
}

/** @param {Cell[][]} layers */
function orderLayers(layers) {
  let best = crossings(layers);
  let kept = layers.map((layer) => [...layer]);
  for (let sweep = 0; sweep < SWEEPS && best > 0; sweep += 1) {
    const forth = sweep % 2 === 0;
    const order = forth ? layers : [...layers].reverse();
    for (const layer of order) {
      const weight = new Map(
        layer.map((cell) => {
          const neighbours = forth ? cell.before : cell.after;
          return [cell, neighbours.length ? middle(neighbours) : cell.order];
        }),
      );
      layer.sort((a, b) => (weight.get(a) ?? 0) - (weight.get(b) ?? 0) || a.order - b.order);
      number(layer);
    }
    const now = crossings(layers);
    if (now < best) [best, kept] = [now, layers.map((layer) => [...layer])];
  }
  for (let index = 0; index < layers.length; index += 1) number((layers[index] = kept[index]));
}

/** How often edges cross, counted with a Fenwick tree. @param {Cell[][]} layers */
function crossings(layers) {
  let count = 0;
  for (let index = 1; index < layers.length; index += 1) {
    const tree = new Int32Array(layers[index].length + 1);
    let seen = 0;
    for (const cell of layers[index - 1]) {
      const targets = cell.after.map((other) => other.order);
      for (const target of targets) {
        let before = 0;
        for (let at = target + 1; at > 0; at -= at & -at) before += tree[at];
        count += seen - before;
      }
      for (const target of targets) {
        for (let at = target + 1; at < tree.length; at += at & -at) tree[at] += 1;
        seen += 1;
      }
    }
  }
  return count;
}

/** The distance that the middles of two neighbours in a layer keep. @param {Cell} one @param {Cell} other */
function apart(one, other) {
  const gap = one.id !== null && other.id !== null ? BETWEEN_BOXES : BETWEEN_EDGES;
  return (one.size + other.size) / 2 + gap;
}

/** @param {Cell[][]} layers */
function alignLayers(layers) {
  for (const layer of layers) {
    let at = 0;
    layer.forEach((cell, index) => {
      if (index > 0) at += apart(layer[index - 1], cell);
      cell.at = at;
    });
    for (const cell of layer) cell.at -= at / 2;
  }
  for (let round = 0; round < ALIGNMENTS; round += 1) {
    const forth = round % 2 === 0;
    for (const layer of forth ? layers : [...layers].reverse()) settle(layer, forth, round >= ALIGNMENTS - 2);
  }
  for (const layer of layers) gather(layer);
}

/** What has no edges at all stands close to the others. @param {Cell[]} layer */
function gather(layer) {
  const alone = (/** @type {Cell} */ cell) => cell.before.length === 0 && cell.after.length === 0;
  for (let index = 1; index < layer.length; index += 1) {
    if (alone(layer[index])) layer[index].at = layer[index - 1].at + apart(layer[index - 1], layer[index]);
  }
  for (let index = layer.length - 2; index >= 0; index -= 1) {
    if (alone(layer[index])) layer[index].at = Math.max(layer[index].at, layer[index + 1].at - apart(layer[index], layer[index + 1]));
  }
}

/**
 * Moves the cells of a layer as near to their neighbours as their order allows: isotonic
 * regression, by pooling those that would stand in each other's way.
 * @param {Cell[]} layer @param {boolean} forth @param {boolean} both whether both sides count
 */
function settle(layer, forth, both) {
  /** @type {{sum: number, weight: number, cells: Cell[], offsets: number[]}[]} */
  const pools = [];
  let offset = 0;
  layer.forEach((cell, index) => {
    if (index > 0) offset += apart(layer[index - 1], cell);
    const neighbours = both ? [...cell.before, ...cell.after] : forth ? cell.before : cell.after;
    const straight = cell.id === null ? 4 : 1;
    const weight = neighbours.length ? straight : 0.01;
    const wish = neighbours.length ? neighbours.reduce((sum, other) => sum + other.at, 0) / neighbours.length : cell.at;
    pools.push({ sum: (wish - offset) * weight, weight, cells: [cell], offsets: [offset] });
    while (pools.length > 1) {
      const [one, other] = pools.slice(-2);
      if (one.sum / one.weight <= other.sum / other.weight) break;
      one.sum += other.sum;
      one.weight += other.weight;
      one.cells.push(...other.cells);
      one.offsets.push(...other.offsets);
      pools.pop();
    }
  });
  for (const { sum, weight, cells, offsets } of pools) {
    cells.forEach((cell, index) => (cell.at = sum / weight + offsets[index]));
  }
}

/**
 * From layers to points.
 * @param {Cell[][]} layers @param {Map<string, Cell>} cells @param {{from: string, to: string, chain: Cell[]}[]} chains @param {boolean} right
 */
function measure(layers, cells, chains, right) {
  const least = Math.min(0, ...[...cells.values()].map((cell) => cell.at - cell.size / 2));
  /** @type {number[]} */
  const starts = [];
  /** @type {number[]} */
  const depths = [];
  let along = 0;
  let across = 0;
  for (const layer of layers) {
    const depth = layer.reduce((most, cell) => Math.max(most, cell.depth), 0);
    starts.push(along);
    depths.push(depth);
    // Where many edges turn, they need room to do it.
    const turning = layer.reduce((sum, cell) => sum + cell.after.filter((other) => Math.abs(other.at - cell.at) > 4).length, 0);
    along += depth + BETWEEN_LAYERS + Math.min(96, turning * 2);
    for (const cell of layer) across = Math.max(across, cell.at - least + cell.size / 2);
  }
  const length = layers.length ? starts[starts.length - 1] + depths[depths.length - 1] : 0;
  const point = (/** @type {number} */ u, /** @type {number} */ v) => /** @type {[number, number]} */ (right ? [u, v - least] : [v - least, u]);
  /** @type {Map<string, Placed>} */
  const placed = new Map();
  for (const [id, cell] of cells) {
    const [x, y] = point(starts[cell.layer], cell.at - cell.size / 2);
    placed.set(id, { x, y, width: right ? cell.depth : cell.size, height: right ? cell.size : cell.depth, layer: cell.layer });
  }
  /** @type {Route[]} */
  const routes = chains.map(({ from, to, chain }) => {
    /** @type {[number, number][]} */
    const points = [];
    chain.forEach((cell, index) => {
      const begin = starts[cell.layer];
      if (index > 0) points.push(point(begin, cell.at));
      else points.push(point(begin + cell.depth, cell.at));
      // Through a layer an edge goes straight, as deep as the layer is: there it stands beside boxes.
      if (index < chain.length - 1) points.push(point(begin + depths[cell.layer], cell.at));
    });
    return { from, to, points };
  });
  return { boxes: placed, routes, width: right ? length : across, height: right ? across : length };
}

/**
 * An edge as the `d` of a path: straight through layers, curved between them.
 * @param {[number, number][]} points where it leaves its box or comes into a layer, and that layer's end, in turns; at last its box
 * @param {"right" | "down"} direction
 */
export function pathOf(points, direction) {
  const r = (/** @type {number} */ n) => Math.round(n * 10) / 10;
  let d = `M${r(points[0][0])} ${r(points[0][1])}`;
  for (let index = 1; index < points.length; index += 1) {
    const [x0, y0] = points[index - 1];
    const [x1, y1] = points[index];
    if (x0 === x1 && y0 === y1) continue;
    const through = index % 2 === 1;
    if (through || x0 === x1 || y0 === y1) d += `L${r(x1)} ${r(y1)}`;
    else if (direction === "right") d += `C${r((x0 + x1) / 2)} ${r(y0)} ${r((x0 + x1) / 2)} ${r(y1)} ${r(x1)} ${r(y1)}`;
    else d += `C${r(x0)} ${r((y0 + y1) / 2)} ${r(x1)} ${r((y0 + y1) / 2)} ${r(x1)} ${r(y1)}`;
  }
  return d;
}
