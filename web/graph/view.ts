// A canvas that is moved and zoomed by mouse, touch and keyboard. Used by the graph; knows nothing of what is drawn.

export interface Camera {
  x: number;
  y: number;
  scale: number;
}

export interface ViewPort {
  /** In pixels of CSS. */
  readonly width: number;
  readonly height: number;
}

interface Handlers {
  readonly onChange: () => void;
  /** In the coordinates of what is drawn. */
  readonly onHover: (x: number, y: number, event: PointerEvent) => void;
  readonly onClick: (x: number, y: number) => void;
}

const leastScale = 0.02;
const mostScale = 4;

export class CanvasView {
  readonly camera: Camera = { x: 0, y: 0, scale: 1 };
  readonly #canvas: HTMLCanvasElement;
  readonly #handlers: Handlers;
  readonly #pointers = new Map<number, { x: number; y: number }>();
  readonly #stop = new AbortController();
  #moved = 0;

  constructor(canvas: HTMLCanvasElement, handlers: Handlers) {
    this.#canvas = canvas;
    this.#handlers = handlers;
    const { signal } = this.#stop;
    canvas.addEventListener('wheel', (event) => this.#onWheel(event), { signal, passive: false });
    canvas.addEventListener('pointerdown', (event) => this.#onDown(event), { signal });
    canvas.addEventListener('pointermove', (event) => this.#onMove(event), { signal });
    canvas.addEventListener('pointerup', (event) => this.#onUp(event), { signal });
    canvas.addEventListener('pointercancel', (event) => this.#pointers.delete(event.pointerId), { signal });
  }

  close(): void {
    this.#stop.abort();
  }

  get port(): ViewPort {
    return { width: this.#canvas.clientWidth, height: this.#canvas.clientHeight };
  }

  /**
   * All of it in sight, though never larger than it is, nor smaller than `least`: then its beginning.
   * @returns whether all of it is in sight
   */
  fit(width: number, height: number, least = leastScale): boolean {
    const { port, camera } = this;
    camera.scale = Math.max(least, Math.min(1.25, port.width / width, port.height / height));
    camera.x = Math.min(width / 2, port.width / 2 / camera.scale) - port.width / 2 / camera.scale;
    camera.y = Math.min(height / 2, port.height / 2 / camera.scale) - port.height / 2 / camera.scale;
    if (width * camera.scale <= port.width) camera.x = width / 2 - port.width / 2 / camera.scale;
    if (height * camera.scale <= port.height) camera.y = height / 2 - port.height / 2 / camera.scale;
    this.#handlers.onChange();
    return width * camera.scale <= port.width + 1 && height * camera.scale <= port.height + 1;
  }

  zoom(factor: number, atX = this.port.width / 2, atY = this.port.height / 2): void {
    const { camera } = this;
    const scale = Math.max(leastScale, Math.min(mostScale, camera.scale * factor));
    camera.x += atX / camera.scale - atX / scale;
    camera.y += atY / camera.scale - atY / scale;
    camera.scale = scale;
    this.#handlers.onChange();
  }

  pan(dx: number, dy: number): void {
    this.camera.x -= dx / this.camera.scale;
    this.camera.y -= dy / this.camera.scale;
    this.#handlers.onChange();
  }

  /** Moves as little as needed to have that point in sight. */
  show(x: number, y: number): void {
    const { camera, port } = this;
    const margin = 60 / camera.scale;
    const right = camera.x + port.width / camera.scale;
    const bottom = camera.y + port.height / camera.scale;
    if (x < camera.x + margin) camera.x = x - margin;
    else if (x > right - margin) camera.x += x - right + margin;
    if (y < camera.y + margin) camera.y = y - margin;
    else if (y > bottom - margin) camera.y += y - bottom + margin;
    this.#handlers.onChange();
  }

  #place(event: { offsetX: number; offsetY: number }): [number, number] {
    const { camera } = this;
    return [event.offsetX / camera.scale + camera.x, event.offsetY / camera.scale + camera.y];
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    this.zoom(Math.exp(-step * 0.0016), event.offsetX, event.offsetY);
  }

  #onDown(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (this.#pointers.size === 1) this.#moved = 0;
  }

  #onMove(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId);
    if (before === undefined) {
      this.#handlers.onHover(...this.#place(event), event);
      return;
    }
    const dx = event.offsetX - before.x;
    const dy = event.offsetY - before.y;
    if (this.#pointers.size === 2) {
      const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      if (other !== undefined) {
        const was = Math.hypot(before.x - other.x, before.y - other.y);
        const is = Math.hypot(event.offsetX - other.x, event.offsetY - other.y);
        if (was > 0) this.zoom(is / was, (event.offsetX + other.x) / 2, (event.offsetY + other.y) / 2);
      }
      this.#moved += 10;
    } else {
      this.#moved += Math.abs(dx) + Math.abs(dy);
      if (this.#moved > 3) this.pan(dx, dy);
    }
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  }

  #onUp(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (this.#moved <= 3) this.#handlers.onClick(...this.#place(event));
  }
}

/** Fits the canvas to its place and to the screen's density; gives what to draw on, in pixels of CSS. */
export function prepared(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const density = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * density);
  const height = Math.round(canvas.clientHeight * density);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return context;
}
