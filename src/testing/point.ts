// The class of docs/values.md whose instances cross.
import { type Serializer, serializer } from '../wire/values.ts';

export class Point {
  static readonly [serializer]: Serializer<Point, [number, number]> = {
    module: import.meta.url,
    export: 'Point',
    to: (point) => [point.x, point.y],
    from: ([x, y]) => new Point(x, y),
  };
  readonly x: number;
  readonly y: number;
  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }
}
