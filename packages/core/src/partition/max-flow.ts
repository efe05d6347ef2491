// Maximum flow and minimum cut by Dinic's algorithm (E. A. Dinic, 1970), with capacities that are real numbers.

/** Capacities of less than this part of the largest one count as used up. */
const resolution = 1e-13;

/** A directed network. Node 0 is the source, node 1 the sink. */
export class FlowNetwork {
  static readonly source = 0;
  static readonly sink = 1;
  #nodes = 2;
  /** Arcs come in pairs: `at` and `at ^ 1` are each other's reverse. */
  readonly #heads: number[] = [];
  readonly #residual: number[] = [];
  /** The arc of a node added last, and the one added before an arc; −1 where there is none. */
  readonly #last: number[] = [-1, -1];
  readonly #previous: number[] = [];
  #least = 0;

  addNode(): number {
    this.#last.push(-1);
    return this.#nodes++;
  }

  /** @param capacity at least 0; Infinity for an arc that must not be cut */
  addArc(from: number, to: number, capacity: number): void {
    if (capacity <= 0 || from === to) return;
    this.#addHalf(from, to, capacity);
    this.#addHalf(to, from, 0);
    if (capacity < Infinity) this.#least = Math.max(this.#least, capacity * resolution);
  }

  #addHalf(from: number, to: number, capacity: number): void {
    this.#previous.push(this.#last[from]);
    this.#last[from] = this.#heads.length;
    this.#heads.push(to);
    this.#residual.push(capacity);
  }

  /**
   * The largest flow from the source to the sink, which is the capacity of the least cut. To be called once.
   * @throws RangeError when source and sink are joined by arcs that must not be cut
   */
  solve(): number {
    let total = 0;
    const depth = new Int32Array(this.#nodes);
    const next = new Int32Array(this.#nodes);
    while (this.#fillDepths(depth)) {
      next.set(this.#last);
      for (let pushed = this.#push(depth, next); pushed > 0; pushed = this.#push(depth, next)) total += pushed;
    }
    return total;
  }

  #fillDepths(depth: Int32Array): boolean {
    depth.fill(-1);
    depth[FlowNetwork.source] = 0;
    const queue = [FlowNetwork.source];
    for (let at = 0; at < queue.length; at++) {
      const node = queue[at];
      for (let arc = this.#last[node]; arc >= 0; arc = this.#previous[arc]) {
        const head = this.#heads[arc];
        if (depth[head] >= 0 || this.#residual[arc] <= this.#least) continue;
        depth[head] = depth[node] + 1;
        queue.push(head);
      }
    }
    return depth[FlowNetwork.sink] >= 0;
  }

  /** Along one shortest path; 0 when there is none left. */
  #push(depth: Int32Array, next: Int32Array): number {
    const path: number[] = [];
    let node: number = FlowNetwork.source;
    while (node !== FlowNetwork.sink) {
      let found = next[node];
      while (found >= 0 && (this.#residual[found] <= this.#least || depth[this.#heads[found]] !== depth[node] + 1)) {
        found = this.#previous[found];
      }
      next[node] = found;
      if (found >= 0) {
        path.push(found);
        node = this.#heads[found];
        continue;
      }
      const last = path.pop();
      if (last === undefined) return 0;
      node = this.#heads[last ^ 1];
      next[node] = this.#previous[last];
    }
    let amount = Infinity;
    for (const arc of path) amount = Math.min(amount, this.#residual[arc]);
    if (amount === Infinity) throw new RangeError('source and sink are joined by arcs that must not be cut');
    for (const arc of path) {
      this.#residual[arc] -= amount;
      this.#residual[arc ^ 1] += amount;
    }
    return amount;
  }

  /** After `solve`: whether each node is on the sink's side of the least cut with the fewest nodes there. */
  sinkSide(): Uint8Array {
    const side = new Uint8Array(this.#nodes);
    side[FlowNetwork.sink] = 1;
    const queue: number[] = [FlowNetwork.sink];
    for (let at = 0; at < queue.length; at++) {
      for (let arc = this.#last[queue[at]]; arc >= 0; arc = this.#previous[arc]) {
        const tail = this.#heads[arc];
        if (side[tail] || this.#residual[arc ^ 1] <= this.#least) continue;
        side[tail] = 1;
        queue.push(tail);
      }
    }
    return side;
  }
}
