import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { floatTensor, temporaryFolder, unaryModel, writeCase, writeFile } from '../../tests/fixtures.ts';
import { filterOf } from '../commands/test.ts';
import { onnxTolerance } from '../compare/tolerance.ts';
import { findCases } from './find-cases.ts';
import { isRandomCase } from './random-cases.ts';

const one = floatTensor([1, 2], [1, 2]);

describe("ONNX's form", () => {
  it('finds cases at any depth, sorted by name', () => {
    const root = join(temporaryFolder(), 'root');
    for (const name of ['b', 'a/deep']) writeCase(join(root, name), unaryModel('Relu'), one, one);
    writeFile(join(root, 'a/deep/test_data_set_10/input_0.pb'), one);
    writeFile(join(root, 'a/deep/test_data_set_2/input_1.pb'), one);
    writeFile(join(root, 'no-data/model.onnx'), unaryModel('Relu'));
    const cases = findCases([root]);
    expect(cases.map((test) => test.name)).toEqual(['root/a/deep', 'root/b']);
    const [deep] = cases;
    expect(deep.model).toBe(join(root, 'a/deep/model.onnx'));
    expect(deep.dataSets.map((set) => set.name)).toEqual(['test_data_set_0', 'test_data_set_2', 'test_data_set_10']);
    expect(deep.dataSets[1].inputFiles).toEqual([undefined, join(root, 'a/deep/test_data_set_2/input_1.pb')]);
    expect(deep.tolerance).toEqual(onnxTolerance);
  });

  it('takes a folder that is a case itself', () => {
    const root = join(temporaryFolder(), 'case');
    writeCase(root, unaryModel('Relu'), one, one);
    expect(findCases([root, root]).map((test) => test.name)).toEqual(['case']);
  });

  it('refuses what is no folder', () => {
    expect(() => findCases(['/no/such/folder'])).toThrow('there is no such folder');
  });
});

describe('tolerances', () => {
  it('from the nearest file', () => {
    const root = temporaryFolder();
    for (const name of ['a', 'b', 'c', 'd']) writeCase(join(root, name), unaryModel('Relu'), one, one);
    writeFile(join(root, 'a/tolerance.json'), '{"atol": 1}');
    writeFile(join(root, 'b/data.json'), '{"rtol": 0.5}');
    writeFile(
      join(root, 'index.json'),
      JSON.stringify({
        models: [
          { name: 'a', tolerance: { atol: 9 } },
          { name: 'c', tolerance: { rtol: 0.1, mean_atol: 2 } },
          { name: 'd' },
        ],
      }),
    );
    expect(findCases([root]).map((test) => test.tolerance)).toEqual([
      { rtol: 1e-3, atol: 1 },
      { rtol: 0.5, atol: 1e-7 },
      { rtol: 0.1, atol: 1e-7, meanAtol: 2 },
      onnxTolerance,
    ]);
  });

  it('names a file that is wrong', () => {
    const root = temporaryFolder();
    writeCase(root, unaryModel('Relu'), one, one);
    const path = writeFile(join(root, 'tolerance.json'), '{"atol": "1"}');
    expect(() => findCases([root])).toThrow(path);
  });
});

it('the flat form of light.json', () => {
  const root = join(temporaryFolder(), 'light');
  writeFile(
    join(root, 'light.json'),
    JSON.stringify({
      test_net: {
        model: 'net.onnx',
        outputs: ['out.pb'],
        inputs: [{ name: 'data', shape: [1, 2] }],
        rtol: 0.002,
        atol: 0,
      },
    }),
  );
  const [test] = findCases([root]);
  expect(test).toMatchObject({
    name: 'light/test_net',
    model: join(root, 'net.onnx'),
    tolerance: { rtol: 0.002, atol: 0 },
  });
  expect(test.dataSets).toEqual([
    {
      name: 'light',
      inputFiles: [],
      generated: { data: { dtype: 'float32', shape: [1, 2], dist: { kind: 'fractions', count: 2 } } },
      outputFiles: [join(root, 'out.pb')],
    },
  ]);
});

it('knows cases with random outputs, of any release', () => {
  expect(
    ['test_bernoulli', 'test_bernoulli__v1.15.0', 'test_relu', 'test_training_dropout_zero_ratio'].map(isRandomCase),
  ).toEqual([true, true, false, false]);
});

it('filters by text or expression', () => {
  const names = ['node/test_add', 'node/test_add_bcast', 'node/test_sub'];
  const kept = (...filters: string[]): string[] => names.filter(filterOf(filters));
  expect(kept()).toEqual(names);
  expect(kept('add')).toEqual(names.slice(0, 2));
  expect(kept('/add$/', 'sub')).toEqual(['node/test_add', 'node/test_sub']);
  expect(() => filterOf(['/(/'])).toThrow('--filter /(/');
});
