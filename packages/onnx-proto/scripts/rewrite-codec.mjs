// Turns the static module of protobufjs-cli into two TypeScript modules of plain functions that call `src/wire/`
// instead of protobufjs: smaller, 64-bit integers without `long`, and only what an application imports is bundled.
// Whatever does not look as expected is an error, so that a new protobufjs-cli cannot change the code unseen.

import { flatName } from './descriptor.mjs';

/** Lines in front of the field loop of a decoder, behind it, and the same for an encoder. `*` stands for the type. */
const DECODE_START = `if (!(reader instanceof $Reader)) reader = $Reader.create(reader);
if (_depth === $undefined) _depth = 0;
if (_depth > $Reader.recursionLimit) throw $Error("max depth exceeded");
let end, message;
if (length === $undefined) end = reader.len;
else {
end = reader.pos + length;
if (end > reader.len) throw $RangeError("index out of range");
length = reader.len;
reader.len = end;
}
message = _target || new $root.onnx.*();
while (reader.pos < end) {
let start = reader.pos;
let tag = reader.tag();
if (tag === _end) {
_end = $undefined;
break;
}
let wireType = tag & 7;
switch (tag >>>= 3) {`.split('\n');
const DECODE_END = `}
reader.skipType(wireType, _depth, tag);
if (!reader.discardUnknown) {
$util.makeProp(message, "$unknowns", false);
(message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
}
}
if (length !== $undefined) {
if (reader.pos !== end) throw $RangeError("index out of range");
reader.len = length;
}
if (_end !== $undefined) throw $Error("missing end group");
return message;`.split('\n');
const ENCODE_START = `if (!writer) writer = $Writer.create();
if (_depth === $undefined) _depth = 0;
if (_depth > $util.recursionLimit) throw $Error("max depth exceeded");`.split('\n');
const ENCODE_END =
  `if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns")) for (let i = 0; i < message.$unknowns.length; ++i) writer.raw(message.$unknowns[i]);
return writer;`.split('\n');

/** Returns the bodies of `decode.ts` and `encode.ts`, without their imports. */
export function rewriteCodec(staticModule, messages) {
  const functions = splitFunctions(staticModule);
  const decoders = [];
  const encoders = [];
  for (const message of messages) {
    decoders.push(rewriteDecoder(message, functions.get(`${message.path}.decode`)));
    encoders.push(rewriteEncoder(message, functions.get(`${message.path}.encode`)));
    functions.delete(`${message.path}.decode`);
    functions.delete(`${message.path}.encode`);
  }
  if (functions.size > 0) throw new Error(`functions of unknown messages: ${[...functions.keys()].join(', ')}`);
  const texts = { decode: decoders.join('\n'), encode: encoders.join('\n') };
  for (const text of Object.values(texts)) {
    const left = /^.*(?:\$|_depth|Long\b|\.low\b).*$/m.exec(text);
    if (left) throw new Error(`not rewritten: ${left[0]}`);
  }
  return texts;
}

/** Maps `Message.Nested.decode` to the statements of that function, one per line, without indentation. */
function splitFunctions(text) {
  const functions = new Map();
  const scope = [];
  const lines = text.split('\n');
  for (let index = 0; index < lines.length; ++index) {
    const line = lines[index];
    const opening = /\.(\w+) = \(function\(\) \{$/.exec(line);
    if (opening) scope.push(opening[1]);
    else if (/^\s+\}\)\(\);$/.test(line)) scope.pop();
    const start = /^(\s*)\w+\.(encode|decode) = function \(/.exec(line);
    if (!start) continue;
    const end = lines.indexOf(`${start[1]}};`, index);
    functions.set([...scope, start[2]].join('.'), joinStatements(lines.slice(index + 1, end)));
    index = end;
  }
  return functions;
}

/** Puts the only statement of an `if`, `else` or `for` on the same line. */
function joinStatements(lines) {
  const joined = [];
  let pending = '';
  for (const line of lines.map((text) => text.trim())) {
    if (/^(?:(?:if|for) \(.*\)|else)$/.test(line)) pending += `${line} `;
    else {
      joined.push(pending + line);
      pending = '';
    }
  }
  return joined;
}

function cutEnds(path, lines, start, end) {
  if (lines === undefined) throw new Error(`${path}: no code was generated`);
  const expect = (actual, expected) => {
    if (actual !== expected.replace('*', path)) throw new Error(`${path}: expected "${expected}", found "${actual}"`);
  };
  for (const [index, line] of start.entries()) expect(lines[index], line);
  for (const [index, line] of end.entries()) expect(lines[lines.length - end.length + index], line);
  return lines.slice(start.length, lines.length - end.length);
}

/** The field that a line of generated code is about. */
const fieldOf = ({ path, fields }, line) => {
  const name = /message\.(\w+)/.exec(line)?.[1];
  const field = fields.find((candidate) => candidate.name === name);
  if (name !== undefined && !field) throw new Error(`${path}: unknown field in "${line}"`);
  return field;
};

const int64Name = (field, line) => (field?.bigint ? line : line.replace(/\bint64\(/g, 'int53('));

function rewriteDecoder(message, lines) {
  const { path, fields, oneofs } = message;
  const name = flatName(path);
  const body = cutEnds(path, lines, DECODE_START, DECODE_END).flatMap((line) => {
    const oneof = /^message\.(\w+) = "(\w+)";$/.exec(line);
    if (oneof) {
      const members = oneofs[oneof[1]].map((member) => `'${member}'`).join(', ');
      return [`keepOnly(message, [${members}], '${oneof[2]}');`];
    }
    const field = fieldOf(message, line);
    if (field?.typed) return decodeTyped(line);
    const rewritten = line
      .replace(/^if \(!\(message\.(\w+) && message\.\1\.length\)\)/, 'if (!message.$1.length)')
      .replace(/^reader\.(\w+)s\(message\.(\w+)\);$/, 'reader.packed(message.$2, () => reader.$1());')
      .replace(
        /\$root\.onnx\.([\w.]+)\.decode\(reader, reader\.size\(\), \$undefined, _depth \+ 1(, [\w.]+)?\)/,
        (_, type, target = '') => `reader.message(decode${flatName(type)}${target})`,
      );
    return [int64Name(field, rewritten)];
  });
  const arrays = fields
    .filter(({ repeated }) => repeated)
    .map((field) => `${field.name}: ${field.typed?.empty ?? 'NONE'}`);
  return indent([
    `export function decode${name}(reader: WireReader, target: ${name} = { ${arrays.join(', ')} }): ${name} {`,
    `const message = target as Draft<${name}>;`,
    'while (reader.pos < reader.end) {',
    'let tag = reader.tag();',
    'const wireType = tag & 7;',
    'switch (tag >>>= 3) {',
    ...body,
    '}',
    'reader.skip(wireType, tag);',
    '}',
    'return message;',
    '}',
  ]);
}

/** Typed arrays have no `push`: each step returns the array to go on with. */
function decodeTyped(line) {
  if (line.startsWith('if (!(message.')) return [];
  return [
    line
      .replace(/^reader\.(\w+)\(message\.(\w+)\);$/, 'message.$2 = reader.$1(message.$2);')
      .replace(/^message\.(\w+)\.push\((.*)\);$/, 'message.$1 = append(message.$1, $2);'),
  ];
}

function rewriteEncoder(message, lines) {
  const name = flatName(message.path);
  const body = cutEnds(message.path, lines, ENCODE_START, ENCODE_END).map((line) => {
    const rewritten = line
      .replace(/ && \$Object\.hasOwnProperty\.call\(message, "\w+"\)/, '')
      .replace(
        /\$root\.onnx\.([\w.]+)\.encode\((message\.\w+(?:\[i\])?), writer\.uint32\((\d+)\)\.fork\(\), _depth \+ 1\)\.ldelim\(\)/,
        (_, type, value, tag) => `writer.uint32(${tag}).message(encode${flatName(type)}, ${value})`,
      );
    return int64Name(fieldOf(message, line), rewritten);
  });
  return indent([
    `export function encode${name}(message: MessageInput<${name}>, writer: WireWriter): void {`,
    ...body,
    '}',
  ]);
}

function indent(lines) {
  let depth = 0;
  const indented = lines.map((line) => {
    if (line.startsWith('}')) --depth;
    const text = '  '.repeat(depth) + line;
    if (line.endsWith('{')) ++depth;
    return text;
  });
  return `${indented.join('\n')}\n`;
}
