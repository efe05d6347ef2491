// A canvas to draw a digit on, and the drawing as the 8 × 8 pixels that the model was trained with.

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Width of a line as a fraction of the pad. */
const brush = 0.09;

/** The training images are digits scaled to the full height, with lines about this many pixels wide. */
const trainedLine = 1.5;

/** Each of the 8 × 8 pixels is the mean of this many by this many finer ones. */
const fine = 8;

export class SketchPad {
  readonly #canvas: HTMLCanvasElement;
  readonly #onChange: (pixels: Float32Array) => void;
  /** Lines of points in fractions of the pad. */
  #lines: Point[][] = [];

  /** @param onChange gets the pixels whenever the user has drawn */
  constructor(canvas: HTMLCanvasElement, onChange: (pixels: Float32Array) => void) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#lines.push([this.#place(event)]);
      this.#changed();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      const events = event.getCoalescedEvents();
      for (const each of events.length > 0 ? events : [event]) this.#lines.at(-1)!.push(this.#place(each));
      this.#changed();
    });
  }

  clear(): void {
    this.#lines = [];
    this.#draw();
  }

  /** Shows an image in place of a drawing. */
  show(pixels: Float32Array): void {
    this.clear();
    const context = this.#canvas.getContext('2d')!;
    const size = this.#canvas.width / 8;
    context.fillStyle = this.#ink();
    for (const [at, pixel] of pixels.entries()) {
      context.globalAlpha = pixel;
      context.fillRect((at % 8) * size, Math.floor(at / 8) * size, size, size);
    }
    context.globalAlpha = 1;
  }

  #place({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / height };
  }

  #changed(): void {
    this.#draw();
    this.#onChange(toPixels(this.#lines));
  }

  #draw(): void {
    const { width, height } = this.#canvas;
    const context = this.#canvas.getContext('2d')!;
    context.clearRect(0, 0, width, height);
    drawLines(context, this.#lines, {
      color: this.#ink(),
      width: brush * width,
      place: ({ x, y }) => [x * width, y * height],
    });
  }

  #ink(): string {
    return getComputedStyle(this.#canvas).color;
  }
}

/** The drawing fitted to 8 × 8 pixels: as high as they are, or as wide, and in the middle. */
function toPixels(lines: readonly (readonly Point[])[]): Float32Array {
  const xs = lines.flatMap((line) => line.map(({ x }) => x));
  const ys = lines.flatMap((line) => line.map(({ y }) => y));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const size = 8 * fine;
  const room = (8 - trainedLine) * fine;
  // A dot is not blown up to the full height.
  const scale = room / Math.max(bottom - top, right - left, 0.1);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  drawLines(context, lines, {
    color: '#fff',
    width: trainedLine * fine,
    place: ({ x, y }) => [size / 2 + (x - (left + right) / 2) * scale, size / 2 + (y - (top + bottom) / 2) * scale],
  });
  const { data } = context.getImageData(0, 0, size, size);
  const pixels = new Float32Array(64);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const alpha = data[(y * size + x) * 4 + 3] / 255;
      pixels[Math.floor(y / fine) * 8 + Math.floor(x / fine)] += alpha / (fine * fine);
    }
  }
  return pixels;
}

interface Pen {
  readonly color: string;
  readonly width: number;
  place(point: Point): [number, number];
}

function drawLines(context: CanvasRenderingContext2D, lines: readonly (readonly Point[])[], pen: Pen): void {
  context.strokeStyle = pen.color;
  context.lineWidth = pen.width;
  context.lineCap = context.lineJoin = 'round';
  for (const [first, ...rest] of lines) {
    context.beginPath();
    context.moveTo(...pen.place(first));
    // A line of no length still leaves a dot.
    for (const point of [first, ...rest]) context.lineTo(...pen.place(point));
    context.stroke();
  }
}
