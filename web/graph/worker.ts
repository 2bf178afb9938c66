// The Web Worker in which graphs are laid out, so that the page goes on: a question in, an answer out.
import { type LayoutInput, layout } from './layout.ts';

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<LayoutInput>) => void) | null;
  postMessage: (message: unknown) => void;
};

scope.onmessage = ({ data }) => scope.postMessage(layout(data));
