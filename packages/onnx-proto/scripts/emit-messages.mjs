// Emits the TypeScript interfaces of the messages and the enum tables.

import { flatName } from './descriptor.mjs';

/**
 * The text of messages.ts. `comments` maps `Message` and `Message.field` to documentation;
 * an entry for something that does not exist is an error.
 */
export function emitMessages(messages, comments) {
  const unused = new Set(Object.keys(comments));
  const comment = (key, indent) => {
    unused.delete(key);
    return comments[key] ? `${indent}/** ${comments[key]} */\n` : '';
  };
  const interfaces = messages.map(({ path, fields }) => {
    const lines = fields.map((field) => `${comment(`${path}.${field.name}`, '  ')}  ${property(field)}`);
    return `${comment(path, '')}export interface ${flatName(path)} {\n${lines.join('\n')}\n}\n`;
  });
  if (unused.size > 0) throw new Error(`comments for unknown fields: ${[...unused].join(', ')}`);
  return interfaces.join('\n');
}

const property = ({ name, repeated, typed, type }) => {
  if (typed) return `readonly ${name}: ${typed.type};`;
  return repeated ? `readonly ${name}: readonly ${type}[];` : `readonly ${name}?: ${type};`;
};

/** The text of enums.ts. */
export function emitEnums(enums) {
  return enums
    .map(({ name, values }) => {
      const lines = Object.entries(values)
        .sort(([, left], [, right]) => left - right)
        .map(([key, value]) => `  ${key}: ${value},`);
      return `export const ${name} = {\n${lines.join('\n')}\n} as const;\nexport type ${name} = (typeof ${name})[keyof typeof ${name}];\n`;
    })
    .join('\n');
}
