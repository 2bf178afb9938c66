// Where the nodes of a graph stand: in layers from left to right, each to the right of all that it needs. Few nodes are laid out
// by dagre, which crosses the fewest lines, and what hangs together apart from the rest; many by a quick way of our own. Called in
// worker.ts, away from the page.
import * as dagre from '@dagrejs/dagre';

/** What is to be laid out: sizes of nodes, and edges as indexes into them. */
export interface LayoutInput {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly edges: readonly (readonly [from: number, to: number])[];
}

/** The middle of each node, and the size of it all. */
export interface LayoutOutput {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly width: number;
  readonly height: number;
}

const mostForDagre = 250;
const margin = 24;

export function layout(input: LayoutInput): LayoutOutput {
  return input.count <= mostForDagre && input.edges.length <= mostForDagre * 4 ? byParts(input) : byLayers(input);
}

/** About that of the place where it is drawn: width by height. */
const aspect = 1.75;

/** Each part that hangs together by dagre, then one beside the other in rows, as a long column of them would need scrolling. */
function byParts(input: LayoutInput): LayoutOutput {
  const parts = partsOf(input);
  if (parts.length <= 1) return byDagre(input);
  const placed = parts.map((nodes) => {
    const indexes = new Map(nodes.map((node, index) => [node, index]));
    const edges = input.edges.flatMap(([from, to]): [number, number][] => {
      const [a, b] = [indexes.get(from), indexes.get(to)];
      return a === undefined || b === undefined ? [] : [[a, b]];
    });
    return { nodes, own: byDagre({ ...input, count: nodes.length, edges }) };
  });
  // The tallest first: what stands in one row is of about one height then.
  placed.sort((a, b) => b.own.height - a.own.height || b.own.width - a.own.width);
  const area = placed.reduce((sum, { own }) => sum + own.width * own.height, 0);
  const wide = Math.max(Math.sqrt(area * aspect), ...placed.map(({ own }) => own.width));
  const x = new Float64Array(input.count);
  const y = new Float64Array(input.count);
  let left = 0;
  let top = 0;
  let tall = 0;
  for (const { nodes, own } of placed) {
    if (left > 0 && left + own.width > wide) {
      left = 0;
      top += tall;
      tall = 0;
    }
    nodes.forEach((node, index) => {
      x[node] = left + (own.x[index] as number);
      y[node] = top + (own.y[index] as number);
    });
    // Their margins overlap.
    left += own.width - margin;
    tall = Math.max(tall, own.height - margin);
  }
  return measured(x, y, input.width, input.height);
}

/** The nodes of each part that hangs together, in the order of their first. */
function partsOf({ count, edges }: LayoutInput): number[][] {
  const leader = Int32Array.from({ length: count }, (_, node) => node);
  const find = (node: number): number => {
    let top = node;
    while (leader[top] !== top) top = leader[top] as number;
    for (let at = node; at !== top; ) {
      const next = leader[at] as number;
      leader[at] = top;
      at = next;
    }
    return top;
  };
  for (const [from, to] of edges) leader[find(to)] = find(from);
  const parts = new Map<number, number[]>();
  for (let node = 0; node < count; node++) {
    const part = parts.get(find(node));
    if (part === undefined) parts.set(find(node), [node]);
    else part.push(node);
  }
  return [...parts.values()];
}

function byDagre({ count, width, height, edges }: LayoutInput): LayoutOutput {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({
    rankdir: 'LR',
    nodesep: Math.round(height * 0.4),
    ranksep: Math.round(width * 0.45),
    marginx: margin,
    marginy: margin,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  for (let node = 0; node < count; node++) graph.setNode(String(node), { width, height });
  // An app may need itself; that line is drawn without dagre.
  edges.forEach(([from, to], index) => {
    if (from !== to) graph.setEdge(String(from), String(to), {}, String(index));
  });
  dagre.layout(graph);
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  for (let node = 0; node < count; node++) {
    const placed = graph.node(String(node)) as { x: number; y: number };
    x[node] = placed.x;
    y[node] = placed.y;
  }
  return measured(x, y, width, height);
}

/** The longest way to a node is its layer; within layers nodes stand near those that they need; long layers fold. */
function byLayers({ count, width, height, edges }: LayoutInput): LayoutOutput {
  const needs: number[][] = Array.from({ length: count }, () => []);
  const neededBy: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) {
    if (from === to) continue;
    (needs[to] as number[]).push(from);
    (neededBy[from] as number[]).push(to);
  }
  const layerOf = longestWays(count, needs, neededBy);
  const layers: number[][] = [];
  for (let node = 0; node < count; node++) {
    const layer = layerOf[node] as number;
    for (let at = layers.length; at <= layer; at++) layers.push([]);
    (layers[layer] as number[]).push(node);
  }
  order(layers, needs, neededBy, count);
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const stepX = width * 1.25;
  const stepY = height * 1.35;
  const tall = Math.max(30, Math.ceil(Math.sqrt(count) * 1.4));
  let left = 0;
  for (const layer of layers) {
    const columns = Math.max(1, Math.ceil(layer.length / tall));
    const rows = Math.ceil(layer.length / columns);
    layer.forEach((node, index) => {
      x[node] = left + Math.floor(index / rows) * stepX;
      y[node] = ((index % rows) - (rows - 1) / 2) * stepY;
    });
    left += columns * stepX + width * 0.8;
  }
  return measured(x, y, width, height);
}

function longestWays(count: number, needs: readonly number[][], neededBy: readonly number[][]): Int32Array {
  const layerOf = new Int32Array(count);
  const left = Int32Array.from({ length: count }, (_, node) => (needs[node] as number[]).length);
  const ready: number[] = [];
  for (let node = 0; node < count; node++) if (left[node] === 0) ready.push(node);
  // What is in a circle never gets ready, and stays in the first layer.
  for (let at = 0; at < ready.length; at++) {
    const node = ready[at] as number;
    for (const next of neededBy[node] as number[]) {
      layerOf[next] = Math.max(layerOf[next] as number, (layerOf[node] as number) + 1);
      left[next] = (left[next] as number) - 1;
      if (left[next] === 0) ready.push(next);
    }
  }
  return layerOf;
}

const sweeps = 6;

/** Each node goes where its neighbours are on average, from left to right and back. */
function order(layers: number[][], needs: readonly number[][], neededBy: readonly number[][], count: number): void {
  const place = new Float64Array(count);
  const note = (layer: readonly number[]): void =>
    layer.forEach((node, index) => {
      place[node] = (index + 0.5) / layer.length;
    });
  layers.forEach(note);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const isForward = sweep % 2 === 0;
    const beside = isForward ? needs : neededBy;
    for (const layer of isForward ? layers : [...layers].reverse()) {
      const wish = new Map<number, number>();
      for (const node of layer) {
        const near = beside[node] as number[];
        const sum = near.reduce((all, one) => all + (place[one] as number), 0);
        wish.set(node, near.length === 0 ? (place[node] as number) : sum / near.length);
      }
      layer.sort((a, b) => (wish.get(a) as number) - (wish.get(b) as number) || a - b);
      note(layer);
    }
  }
}

/** Moves all so that the smallest place is the margin. */
function measured(x: Float64Array, y: Float64Array, width: number, height: number): LayoutOutput {
  let left = Number.POSITIVE_INFINITY;
  let top = Number.POSITIVE_INFINITY;
  let right = 0;
  let bottom = 0;
  for (let node = 0; node < x.length; node++) {
    left = Math.min(left, (x[node] as number) - width / 2);
    top = Math.min(top, (y[node] as number) - height / 2);
  }
  for (let node = 0; node < x.length; node++) {
    x[node] = (x[node] as number) - left + margin;
    y[node] = (y[node] as number) - top + margin;
    right = Math.max(right, (x[node] as number) + width / 2);
    bottom = Math.max(bottom, (y[node] as number) + height / 2);
  }
  return { x, y, width: right + margin, height: bottom + margin };
}
