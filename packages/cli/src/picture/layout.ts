// Where the nodes of a graph go in a picture: in layers, each below what it reads, near the middle of it.

export interface LayoutNode {
  /** Positions of the nodes that it reads, all of them smaller than its own. */
  readonly from: readonly number[];
}

export interface Point {
  /** Column, from 0; a node takes one. Fractions occur. */
  readonly column: number;
  readonly layer: number;
}

/** Passes over the layers, downwards and upwards in turn. */
const sweeps = 6;

export function layOut(nodes: readonly LayoutNode[]): Point[] {
  const layers: number[] = [];
  for (const { from } of nodes) layers.push(from.reduce((layer, source) => Math.max(layer, layers[source] + 1), 0));
  const readers: number[][] = nodes.map(() => []);
  for (const [at, { from }] of nodes.entries()) for (const source of from) readers[source].push(at);
  // What nobody above asks for early goes next to its first reader.
  for (let at = nodes.length - 1; at >= 0; at--) {
    if (nodes[at].from.length > 0 || readers[at].length === 0) continue;
    layers[at] = Math.max(0, Math.min(...readers[at].map((reader) => layers[reader])) - 1);
  }
  const rows: number[][] = [];
  for (const [at, layer] of layers.entries()) {
    rows[layer] ??= [];
    rows[layer].push(at);
  }
  const columns = new Array<number>(nodes.length).fill(0);
  for (const row of rows) for (const [column, at] of (row ?? []).entries()) columns[at] = column - row.length / 2;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const isDown = sweep % 2 === 0;
    for (const row of isDown ? rows : rows.toReversed()) {
      if (row) place(row, columns, (at) => (isDown ? nodes[at].from : readers[at]));
    }
  }
  const least = Math.min(0, ...columns);
  return columns.map((column, at) => ({ column: column - least, layer: layers[at] }));
}

/** Puts a row at the means of its neighbours, a column apart at least. */
function place(row: readonly number[], columns: number[], neighbours: (at: number) => readonly number[]): void {
  const wanted = new Map(
    row.map((at) => {
      const others = neighbours(at);
      return [
        at,
        others.length > 0 ? others.reduce((sum, other) => sum + columns[other], 0) / others.length : columns[at],
      ];
    }),
  );
  const ordered = [...row].sort((a, b) => wanted.get(a)! - wanted.get(b)! || a - b);
  let next = -Infinity;
  let shift = 0;
  for (const at of ordered) {
    const column = Math.max(wanted.get(at)!, next);
    shift += column - wanted.get(at)!;
    columns[at] = column;
    next = column + 1;
  }
  // Pushing to the right alone would move the whole row there.
  for (const at of ordered) columns[at] -= shift / ordered.length;
}
