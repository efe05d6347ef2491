import { describe, expect, it } from 'vitest';
import { appendInPlace } from './append.ts';
import { Dim } from './dim.ts';
import { add, dimension, elementAt, lt, mul, toIndex } from './expr.ts';
import { type FusedProgram, fuseProgram } from './fuse.ts';
import { printKernel } from './print.ts';
import { type Program, type Source, StageBuilder } from './stage.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyKernel, verifyProgram } from './verify.ts';

const size = (...dims: (number | string)[]) => dims.map(Dim.from);
const input = (name: string, ...dims: (number | string)[]) => newTensorRef(name, 'float32', size(...dims));

function program(inputs: readonly TensorRef[], builder: StageBuilder, outputs: readonly Source[]): Program {
  const named = outputs.map((source, at) => ({
    tensor: newTensorRef(`out${at}`, source.dtype, source.shape),
    source,
  }));
  return { inputs, stages: builder.stages, outputs: named };
}

function grow(given: Program) {
  verifyProgram(given);
  const outputs = new Set(given.outputs.map(({ tensor }) => tensor));
  const { fused, appends } = appendInPlace(fuseProgram(given), new Set(given.inputs), outputs);
  fused.kernels.forEach(verifyKernel);
  return { fused, appends };
}

const text = (fused: FusedProgram): string => fused.kernels.map((kernel) => printKernel(kernel)).join('\n\n');

/** [2, past, 4] and [2, new, 4] along axis 1. */
function joined(builder: StageBuilder, past: TensorRef, fresh: TensorRef, first = past) {
  return builder.segments('float32', [2, past.shape[1].add(fresh.shape[1]), 4], 1, [
    { length: past.shape[1], body: (index) => elementAt(first, index) },
    { length: fresh.shape[1], body: (index) => add(elementAt(fresh, index), 1) },
  ]);
}

const past = () => input('past', 2, 'past', 4);
const fresh = () => input('fresh', 2, 'new', 4);

describe('appendInPlace', () => {
  it('writes only what is new, behind what is there', () => {
    const [before, more] = [past(), fresh()];
    const builder = new StageBuilder();
    builder.name = 'present';
    const { fused, appends } = grow(program([before, more], builder, [joined(builder, before, more)]));
    expect(appends).toHaveLength(1);
    expect(appends[0]).toMatchObject({ input: before, axis: 1, capacity: 'capacity#new + past' });
    expect(text(fused)).toMatchInlineSnapshot(`
      "kernel present pointwise
        param fresh float32[2, new, 4]
        present float32[2, new + past, 4] = segments along 1 from past
          at past [i, j < new, k] = fresh[i, j, k] + 1
        output out0 float32[2, new + past, 4] in [2, capacity#new + past, 4] = present"
    `);
  });

  it('lets readers, also through views, find the elements where they are', () => {
    const [before, more] = [past(), fresh()];
    const builder = new StageBuilder();
    builder.name = 'present';
    const present = joined(builder, before, more);
    builder.name = 'heads';
    const view = builder.view(present, [2, present.shape[1], 2, 2]);
    builder.name = 'sum';
    const sum = builder.reduce('sum', 'float32', [2, 2], [present.shape[1], 2], ([b, h], [t, d]) =>
      mul(elementAt(view, [b, t, h, d]), elementAt(view, [b, t, h, d])),
    );
    const { fused, appends } = grow(program([before, more], builder, [present, sum]));
    expect(appends).toHaveLength(1);
    const [reader] = fused.kernels.filter((kernel) => kernel.params.some((param) => fused.aliases.has(param)));
    expect(reader.params.map((param) => param.room?.join())).toEqual(['2,capacity#new + past,2,2']);
  });

  it('leaves alone what it cannot say', () => {
    const [before, more] = [past(), fresh()];
    const cases: ((builder: StageBuilder) => Source[])[] = [
      // Another order of the elements.
      (builder) => [
        builder.segments('float32', [2, before.shape[1].add(1), 4], 1, [
          { length: before.shape[1], body: ([i, j, k]) => mul(elementAt(before, [i, j, k]), 2) },
          { length: 1, body: (index) => elementAt(more, index) },
        ]),
      ],
      // The past at the end.
      (builder) => [joined(builder, more, before)].map((stage) => stage),
      // A view that merges the axis with others.
      (builder) => {
        const present = joined(builder, before, more);
        const flat = builder.view(present, [present.shape[1].mul(8)]);
        const rows = builder.reduce('sum', 'float32', [], [flat.shape[0]], (_, [i]) => elementAt(flat, [i]));
        return [present, rows];
      },
    ];
    for (const [at, build] of cases.entries()) {
      const builder = new StageBuilder();
      builder.name = 'case';
      const { fused, appends } = grow(program([before, more], builder, build(builder)));
      const rooms = fused.kernels.flatMap(({ params, outputs }) => [...params, ...outputs.map(({ tensor }) => tensor)]);
      if (at === 1) expect(appends[0].input).toBe(more);
      else {
        expect(appends).toEqual([]);
        expect(rooms.every(({ room }) => room === undefined)).toBe(true);
      }
      for (const tensor of [before, more]) delete tensor.room;
    }
  });

  it('gives a buffer to one output only', () => {
    const [before, more] = [past(), fresh()];
    const builder = new StageBuilder();
    builder.name = 'twice';
    const outputs = [joined(builder, before, more), joined(builder, before, before)];
    const { appends } = grow(program([before, more], builder, outputs));
    expect(appends.map((append) => append.input)).toEqual([before]);
  });

  describe('a scatter into a longer copy', () => {
    /** `fresh` goes to the positions of `places` in the past and what is new, which begins with zeros. */
    function scattered(builder: StageBuilder, before: TensorRef, more: TensorRef) {
      const places = newTensorRef('places', 'int32', size('new'));
      const present = builder.scatter(
        'float32',
        [2, before.shape[1].add(more.shape[1]), 4],
        ([i, t, k]) => elementAt(before, [i, t, k], { when: lt(t, dimension(before.shape[1])), otherwise: 0 }),
        more.shape,
        ([i, t, k]) => ({
          destination: [i, toIndex(elementAt(places, [t])), k],
          value: elementAt(more, [i, t, k]),
        }),
      );
      return { places, present };
    }

    it('fills what is new and writes to the places', () => {
      const [before, more] = [past(), fresh()];
      const builder = new StageBuilder();
      builder.name = 'present';
      const { places, present } = scattered(builder, before, more);
      const { fused, appends } = grow(program([before, more, places], builder, [present]));
      expect(appends).toMatchObject([{ input: before, axis: 1, overwrites: true }]);
      expect(text(fused)).toMatchInlineSnapshot(`
        "kernel present scatter
          param fresh float32[2, new, 4]
          param places int32[new]
          present float32[2, new + past, 4] = scatter along 1 from past
            [i, j < new, k] = 0
            set over ui < 2, uj < new, uk < 4: [ui, index(places[uj]), uk] = fresh[ui, uj, uk]
          output out0 float32[2, new + past, 4] in [2, capacity#new + past, 4] = present"
      `);
    });

    it('is left alone where somebody else reads the past', () => {
      const [before, more] = [past(), fresh()];
      const builder = new StageBuilder();
      builder.name = 'present';
      const { places, present } = scattered(builder, before, more);
      builder.name = 'other';
      const other = builder.map('float32', before.shape, (index) => mul(elementAt(before, index), 2));
      const { appends } = grow(program([before, more, places], builder, [present, other]));
      expect(appends).toEqual([]);
    });
  });
});
