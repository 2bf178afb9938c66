// Two questions on the graph of a value, both answered without recursion: in which order its special things can be made
// again, and where it must be cut so that structured clone does not recurse too deep. Called by encode.
import { deepest } from './check.ts';
import type { Node } from './graph.ts';

/**
 * The nodes in an order in which everything comes after what it holds, and the nodes that hold themselves by some way.
 * (Tarjan's algorithm, with a stack of its own.)
 */
export function orderOf(root: Node): { readonly order: Node[]; readonly inCycle: ReadonlySet<Node> } {
  const order: Node[] = [];
  const inCycle = new Set<Node>();
  const place = new Map<Node, { readonly index: number; low: number; isOpen: boolean }>();
  const open: Node[] = [];
  const stack: { readonly node: Node; next: number }[] = [];
  const enter = (node: Node): void => {
    place.set(node, { index: place.size, low: place.size, isOpen: true });
    open.push(node);
    stack.push({ node, next: 0 });
  };
  enter(root);
  for (;;) {
    const frame = stack.at(-1);
    if (frame === undefined) return { order, inCycle };
    const here = place.get(frame.node)!;
    const child = frame.node.children[frame.next++];
    if (child !== undefined) {
      const there = place.get(child);
      if (there === undefined) enter(child);
      else if (there.isOpen) here.low = Math.min(here.low, there.index);
      if (child === frame.node) inCycle.add(child);
      continue;
    }
    stack.pop();
    order.push(frame.node);
    const above = stack.at(-1);
    if (above !== undefined) {
      const up = place.get(above.node)!;
      up.low = Math.min(up.low, here.low);
    }
    if (here.low !== here.index) continue;
    // Everything that is open since this node is one cycle with it.
    const members = open.splice(open.lastIndexOf(frame.node));
    for (const member of members) {
      place.get(member)!.isOpen = false;
      if (members.length > 1) inCycle.add(member);
    }
  }
}

/** An edge that is taken out: from a node to its child at this position. */
export interface Cut {
  readonly node: Node;
  readonly position: number;
}

/**
 * Marks the edges to take out (`cuts`) so that no walk along the others, in the order in which the encoded form is
 * written, is deeper than `deepest`. Special nodes are written on their own, which ends a walk too. Gives the cuts in the order in which they were found.
 */
export function cutDeepEdges(root: Node, specials: readonly Node[]): Cut[] {
  const seen = new Set<Node>();
  const starts: Node[] = root.isSpecial ? [...specials] : [root, ...specials];
  const cuts: Cut[] = [];
  for (let at = 0; at < starts.length; at++) {
    if (seen.has(starts[at]!)) continue;
    seen.add(starts[at]!);
    const stack: { readonly node: Node; next: number }[] = [{ node: starts[at]!, next: 0 }];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const position = frame.next++;
      const child = frame.node.children[position];
      if (child === undefined) stack.pop();
      else if (child.isSpecial || seen.has(child)) continue;
      else if (stack.length < deepest) {
        seen.add(child);
        stack.push({ node: child, next: 0 });
      } else {
        frame.node.cuts ??= new Set();
        frame.node.cuts.add(position);
        starts.push(child);
        cuts.push({ node: frame.node, position });
      }
    }
  }
  return cuts;
}
