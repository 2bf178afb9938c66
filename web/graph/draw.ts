// Draws a graph that is laid out: lines first, then boxes, with as much text as the zoom allows.
import type { Graph, GraphNode } from '../../src/dashboard/api.ts';
import { shortNumber } from '../format.ts';
import { barOrder, css } from '../states.ts';
import type { LayoutOutput } from './layout.ts';
import type { Camera } from './view.ts';

/** Sizes of boxes before zooming. */
export const boxes = { app: { width: 190, height: 62 }, task: { width: 132, height: 30 } } as const;

export interface Picture {
  readonly graph: Graph;
  readonly layout: LayoutOutput;
  readonly camera: Camera;
  /** Index of the node that is chosen or pointed at. */
  readonly chosen: number | undefined;
  readonly width: number;
  readonly height: number;
}

export function drawGraph(context: CanvasRenderingContext2D, picture: Picture): void {
  const { camera, graph } = picture;
  const colours = coloursNow();
  context.save();
  context.scale(camera.scale, camera.scale);
  context.translate(-camera.x, -camera.y);
  const box = boxes[graph.by];
  drawEdges(context, picture, box.width, box.height, colours);
  const view = {
    left: camera.x - box.width,
    top: camera.y - box.height,
    right: camera.x + picture.width / camera.scale + box.width,
    bottom: camera.y + picture.height / camera.scale + box.height,
  };
  graph.nodes.forEach((node, index) => {
    const x = picture.layout.x[index] as number;
    const y = picture.layout.y[index] as number;
    if (x < view.left || x > view.right || y < view.top || y > view.bottom) return;
    drawNode(context, node, x, y, camera.scale, colours, index === picture.chosen);
  });
  context.restore();
}

interface Colours {
  readonly surface: string;
  readonly line: string;
  readonly strong: string;
  readonly text: string;
  readonly muted: string;
  readonly accent: string;
  readonly states: ReadonlyMap<string, string>;
}

function coloursNow(): Colours {
  return {
    surface: css('--surface'),
    line: css('--edge'),
    strong: css('--accent'),
    text: css('--text'),
    muted: css('--muted'),
    accent: css('--accent'),
    states: new Map(barOrder.map((state) => [state, css(`--state-${state}`)])),
  };
}

function drawEdges(
  context: CanvasRenderingContext2D,
  { graph, layout, chosen, camera }: Picture,
  width: number,
  height: number,
  colours: Colours,
): void {
  const most = graph.edges.reduce((all, [, , count]) => Math.max(all, count), 1);
  const isMany = graph.edges.length > 1_500;
  const path = (from: number, to: number): void => {
    const x1 = (layout.x[from] as number) + width / 2;
    const y1 = layout.y[from] as number;
    const x2 = (layout.x[to] as number) - width / 2;
    const y2 = layout.y[to] as number;
    if (from === to) {
      // It needs itself: a loop above the box.
      const top = y1 - height / 2;
      context.moveTo(x1 - width * 0.3, top);
      context.bezierCurveTo(x1 - width * 0.25, top - 26, x2 + width * 0.25, top - 26, x2 + width * 0.3, top);
      return;
    }
    const bend = Math.max(24, Math.abs(x2 - x1) / 2);
    context.moveTo(x1, y1);
    context.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2 - 5, y2);
  };
  context.strokeStyle = colours.line;
  if (isMany) {
    context.lineWidth = 1 / Math.max(camera.scale, 0.4);
    context.globalAlpha = 0.45;
    context.beginPath();
    for (const [from, to] of graph.edges) path(from, to);
    context.stroke();
    context.globalAlpha = 1;
  } else {
    for (const [from, to, count] of graph.edges) {
      context.lineWidth = 1.2 + (graph.by === 'app' ? 3.2 * (Math.log1p(count) / Math.log1p(most)) : 0.3);
      context.beginPath();
      path(from, to);
      context.stroke();
      if (from !== to) arrow(context, (layout.x[to] as number) - width / 2, layout.y[to] as number, colours.line);
    }
  }
  if (chosen === undefined) return;
  context.strokeStyle = colours.strong;
  context.lineWidth = 2.2;
  context.beginPath();
  for (const [from, to] of graph.edges) if (from === chosen || to === chosen) path(from, to);
  context.stroke();
}

function arrow(context: CanvasRenderingContext2D, x: number, y: number, colour: string): void {
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - 8, y - 4.5);
  context.lineTo(x - 8, y + 4.5);
  context.fill();
}

function drawNode(
  context: CanvasRenderingContext2D,
  node: GraphNode,
  x: number,
  y: number,
  scale: number,
  colours: Colours,
  isChosen: boolean,
): void {
  const isTask = node.task !== null;
  const { width, height } = isTask ? boxes.task : boxes.app;
  const left = x - width / 2;
  const top = y - height / 2;
  const main = Object.keys(node.counts)[0] ?? 'pending';
  if (isTask && scale < 0.28) {
    // Too small for words: the colour alone.
    context.fillStyle = colours.states.get(main) ?? colours.muted;
    context.fillRect(left, top, width, height);
    if (isChosen) outline(context, left, top, width, height, colours.accent, 3 / scale);
    return;
  }
  context.fillStyle = colours.surface;
  context.beginPath();
  context.roundRect(left, top, width, height, 7);
  context.fill();
  outline(context, left, top, width, height, isChosen ? colours.accent : colours.line, isChosen ? 2.5 : 1);
  context.textBaseline = 'middle';
  if (isTask) {
    context.fillStyle = colours.states.get(main) ?? colours.muted;
    context.beginPath();
    context.roundRect(left, top, 7, height, [7, 0, 0, 7]);
    context.fill();
    context.fillStyle = colours.text;
    context.font = '12px system-ui, sans-serif';
    const number = ` #${node.task}`;
    const room = width - 24 - context.measureText(number).width;
    const name = fitted(context, node.app, room);
    context.fillText(name, left + 15, y + 0.5);
    context.fillStyle = colours.muted;
    context.fillText(number, left + 15 + context.measureText(name).width, y + 0.5);
    return;
  }
  context.fillStyle = colours.text;
  context.font = '600 14px system-ui, sans-serif';
  const count = shortNumber(node.total);
  const countWidth = context.measureText(count).width;
  context.fillText(fitted(context, node.app, width - 36 - countWidth), left + 12, top + 21);
  context.fillStyle = colours.muted;
  context.fillText(count, left + width - 12 - countWidth, top + 21);
  bar(context, node, left + 12, top + 40, width - 24, 9, colours);
}

function bar(
  context: CanvasRenderingContext2D,
  node: GraphNode,
  left: number,
  top: number,
  width: number,
  height: number,
  colours: Colours,
): void {
  context.save();
  context.beginPath();
  context.roundRect(left, top, width, height, 4);
  context.clip();
  context.fillStyle = colours.line;
  context.fillRect(left, top, width, height);
  let at = left;
  for (const state of barOrder) {
    const count = node.counts[state] ?? 0;
    if (count === 0) continue;
    // What there is, is seen.
    const part = Math.max(2, (count / node.total) * width);
    context.fillStyle = colours.states.get(state) ?? colours.muted;
    context.fillRect(at, top, part, height);
    at += part;
  }
  context.restore();
}

function outline(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  width: number,
  height: number,
  colour: string,
  thick: number,
): void {
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.beginPath();
  context.roundRect(left, top, width, height, 7);
  context.stroke();
}

function fitted(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let shown = text;
  while (shown.length > 1 && context.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1);
  return `${shown}…`;
}
