// A progress line on stderr. It appears only on a terminal, and only for work that takes a while.

/** Work shorter than this shows nothing. */
const quietMs = 300;
const redrawMs = 100;
const barWidth = 24;

export class Progress {
  readonly #stream = process.stderr;
  readonly #enabled: boolean;
  readonly #started = performance.now();
  #drawn = -Infinity;
  #visible = false;

  constructor(enabled = process.stderr.isTTY === true) {
    this.#enabled = enabled;
  }

  /** @param fraction done, 0 to 1 */
  update(fraction: number, what: string): void {
    const now = performance.now();
    if (!this.#enabled || now - this.#started < quietMs || now - this.#drawn < redrawMs) return;
    this.#drawn = now;
    this.#visible = true;
    const done = Math.round(Math.min(Math.max(fraction, 0), 1) * barWidth);
    const bar = `${'█'.repeat(done)}${'░'.repeat(barWidth - done)}`;
    const line = `${bar} ${String(Math.floor(fraction * 100)).padStart(3)} % ${what}`;
    this.#stream.write(`\r\x1b[2K${line.slice(0, (this.#stream.columns ?? 80) - 1)}`);
  }

  /** Removes the line. */
  clear(): void {
    if (this.#visible) this.#stream.write('\r\x1b[2K');
    this.#visible = false;
  }
}
