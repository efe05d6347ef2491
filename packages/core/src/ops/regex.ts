// Patterns in RE2's syntax (https://github.com/google/re2/wiki/Syntax), which RegexFullMatch takes, as those of JavaScript.

/** Code points from the first to the last. */
type Range = readonly [first: number, last: number];

const lastCode = 0x10ffff;

const range = (text: string): Range => [text.codePointAt(0)!, text.codePointAt(text.length - 1)!];
const digits = [range('09')];
const lower = range('az');
const upper = range('AZ');
const word = [...digits, upper, range('__'), lower];
const space = [range('\t\n'), range('\f\r'), range('  ')];

const posixClasses: Readonly<Record<string, readonly Range[]>> = {
  alnum: [...digits, upper, lower],
  alpha: [upper, lower],
  ascii: [[0, 0x7f]],
  blank: [range('\t\t'), range('  ')],
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: digits,
  graph: [range('!~')],
  lower: [lower],
  print: [range(' ~')],
  punct: [range('!/'), range(':@'), range('[`'), range('{~')],
  space: [range('\t\r'), range('  ')],
  upper: [upper],
  word,
  xdigit: [...digits, range('AF'), range('af')],
};

const perlClasses: Readonly<Record<string, readonly Range[]>> = { d: digits, s: space, w: word };

const controls: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

/** All code points that are in none of the ranges. */
function complement(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  let next = 0;
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (first > next) result.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= lastCode) result.push([next, lastCode]);
  return result;
}

/** The code points that differ from this one by their case only, itself included. */
function casesOf(code: number): number[] {
  const text = String.fromCodePoint(code);
  const forms = [text, text.toLowerCase(), text.toUpperCase()];
  const all = new Set([
    ...forms,
    ...forms.map((form) => form.toLowerCase()),
    ...forms.map((form) => form.toUpperCase()),
  ]);
  // Two letters whose lower case is that of an ASCII letter.
  if (all.has('k')) all.add('\u212a');
  if (all.has('s')) all.add('\u017f');
  return [...all].flatMap((form) => ([...form].length === 1 ? [form.codePointAt(0)!] : []));
}

/** A range longer than this has the letters of both cases anyway. */
const longestFolded = 4096;

function withCases(ranges: readonly Range[]): readonly Range[] {
  return ranges.flatMap(([first, last]): Range[] => {
    if (last - first > longestFolded) return [[first, last]];
    const codes = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    return [[first, last], ...codes.flatMap(casesOf).map((code): Range => [code, code])];
  });
}

const codeText = (code: number): string => `\\u{${code.toString(16)}}`;

interface Flags {
  readonly ignoresCase: boolean;
  readonly isMultiline: boolean;
  readonly dotTakesAll: boolean;
  readonly isUngreedy: boolean;
}

/** The pattern with an escape for each character of `\\Q…\\E` that could mean something. */
function withoutQuotes(pattern: string): string {
  return pattern.replaceAll(/\\Q(.*?)(?:\\E|$)|\\./gs, (whole: string, quoted: string | undefined) =>
    quoted === undefined ? whole : quoted.replaceAll(/[!-/:-@[-`{-~]/g, '\\$&'),
  );
}

class Translation {
  readonly #pattern: readonly string[];
  #at = 0;

  constructor(pattern: string) {
    this.#pattern = [...withoutQuotes(pattern)];
  }

  whole(): string {
    const body = this.#alternatives({
      ignoresCase: false,
      isMultiline: false,
      dotTakesAll: false,
      isUngreedy: false,
    });
    if (this.#at < this.#pattern.length) throw new SyntaxError('unexpected )');
    return body;
  }

  /** Up to the end of the group; flags that are set inside hold until there. */
  #alternatives(given: Flags): string {
    let flags = given;
    let text = '';
    for (let char = this.#peek(); char !== undefined && char !== ')'; char = this.#peek()) {
      const set = this.#flagsAlone(flags);
      if (set) {
        flags = set;
        continue;
      }
      text += char === '|' ? this.#take() : this.#repeated(this.#atom(flags), flags);
    }
    return text;
  }

  #atom(flags: Flags): string {
    const char = this.#take();
    switch (char) {
      case '(':
        return this.#group(flags);
      case '[':
        return this.#class(flags);
      case '.':
        return flags.dotTakesAll ? '[^]' : '[^\\n]';
      case '^':
        return flags.isMultiline ? '(?<![^\\n])' : '^';
      case '$':
        return flags.isMultiline ? '(?![^\\n])' : '$';
      case '*':
      case '+':
      case '?':
        throw new SyntaxError(`nothing to repeat before ${char}`);
      case '\\':
        return this.#escape(flags);
      default:
        return literal(char.codePointAt(0)!, flags);
    }
  }

  #group(flags: Flags): string {
    let inside = flags;
    if (this.#peek() === '?') {
      const head = /^\?(?:P?<\w+>|([imsU]*)(?:-([imsU]+))?:)/.exec(this.#rest());
      if (!head) throw new SyntaxError(`the group (${this.#rest().slice(0, 3)} is not supported`);
      this.#at += head[0].length;
      inside = withFlags(flags, head[1], head[2]);
    }
    const body = this.#alternatives(inside);
    if (this.#peek() !== ')') throw new SyntaxError('missing )');
    this.#at++;
    // Nobody asks for what a group has matched.
    return `(?:${body})`;
  }

  /** `(?i)`, which holds for what follows in the same group. */
  #flagsAlone(flags: Flags): Flags | undefined {
    if (this.#peek() !== '(') return undefined;
    const head = /^\(\?([imsU]*)(?:-([imsU]+))?\)/.exec(this.#rest());
    if (!head) return undefined;
    this.#at += head[0].length;
    return withFlags(flags, head[1], head[2]);
  }

  #repeated(atom: string, flags: Flags): string {
    const count = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(this.#rest())?.[0];
    if (count === undefined) return atom;
    this.#at += count.length;
    const isMarked = this.#peek() === '?';
    if (isMarked) this.#at++;
    if (/^(?:[*+?]|\{\d+(?:,\d*)?\})/.test(this.#rest())) throw new SyntaxError('two repetitions in a row');
    // An assertion cannot be repeated as it is.
    return `(?:${atom})${count}${isMarked !== flags.isUngreedy ? '?' : ''}`;
  }

  #escape(flags: Flags): string {
    const next = this.#peek();
    switch (next) {
      case 'A':
      case 'z':
        this.#at++;
        return next === 'A' ? '^' : '$';
      case 'b':
      case 'B':
        this.#at++;
        return `\\${next}`;
      default: {
        const item = this.#escaped();
        return typeof item === 'string' ? item : setText(item, [], false, flags);
      }
    }
  }

  /** What an escape means inside and outside of brackets: code points, or a Unicode property as it is written. */
  #escaped(): readonly Range[] | string {
    if (this.#peek() === undefined) throw new SyntaxError('a backslash at the end');
    const rest = this.#rest();
    const property = /^([pP])(?:\{(\^?)(\w+)\}|(\w))/.exec(rest);
    if (property) {
      this.#at += property[0].length;
      const [, kind, not, long, short] = property;
      return `\\${(kind === 'P') === (not === '^') ? 'p' : 'P'}{${propertyName(long ?? short)}}`;
    }
    const number = /^x\{([0-9a-fA-F]+)\}|^x([0-9a-fA-F]{2})/.exec(rest);
    const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
    if (number || octal) {
      this.#at += (number ?? octal)![0].length;
      const code = number ? Number.parseInt(number[1] ?? number[2], 16) : Number.parseInt(octal![0], 8);
      if (code > lastCode) throw new SyntaxError(`there is no character ${code}`);
      return [[code, code]];
    }
    const char = this.#take();
    const known = perlClasses[char.toLowerCase()];
    if (known) return char === char.toLowerCase() ? known : complement(known);
    const code = controls[char] ?? (/[\dA-Za-z]/.test(char) ? undefined : char.codePointAt(0)!);
    if (code === undefined) throw new SyntaxError(`the escape \\${char} is not supported`);
    return [[code, code]];
  }

  #class(flags: Flags): string {
    const isNegated = this.#peek() === '^';
    if (isNegated) this.#at++;
    const ranges: Range[] = [];
    const properties: string[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      const posix = /^\[:(\^?)(\w+):\]/.exec(this.#rest());
      if (posix) {
        this.#at += posix[0].length;
        const known = posixClasses[posix[2]];
        if (!known) throw new SyntaxError(`there is no class [:${posix[2]}:]`);
        ranges.push(...(posix[1] ? complement(known) : known));
        continue;
      }
      const item = this.#classItem();
      if (typeof item === 'string') {
        properties.push(item);
        continue;
      }
      const isRange = this.#peek() === '-' && this.#pattern[this.#at + 1] !== ']' && isSingle(item);
      if (!isRange) {
        ranges.push(...item);
        continue;
      }
      this.#at++;
      const end = this.#classItem();
      if (typeof end === 'string' || !isSingle(end) || end[0][0] < item[0][0]) {
        throw new SyntaxError('a range that ends before it begins');
      }
      ranges.push([item[0][0], end[0][0]]);
    }
    this.#at++;
    return setText(ranges, properties, isNegated, flags);
  }

  #classItem(): readonly Range[] | string {
    const char = this.#peek();
    if (char === undefined) throw new SyntaxError('missing ]');
    this.#at++;
    if (char === '\\') return this.#escaped();
    const code = char.codePointAt(0)!;
    return [[code, code]];
  }

  #peek(): string | undefined {
    return this.#pattern[this.#at];
  }

  #take(): string {
    return this.#pattern[this.#at++];
  }

  #rest(): string {
    return this.#pattern.slice(this.#at).join('');
  }
}

const isSingle = (ranges: readonly Range[]): boolean => ranges.length === 1 && ranges[0][0] === ranges[0][1];

function literal(code: number, flags: Flags): string {
  const codes = flags.ignoresCase ? casesOf(code) : [code];
  return codes.length === 1 ? codeText(code) : `[${codes.map(codeText).join('')}]`;
}

function setText(
  ranges: readonly Range[],
  properties: readonly string[],
  isNegated: boolean,
  { ignoresCase }: Flags,
): string {
  const all = ignoresCase ? withCases(ranges) : ranges;
  const parts = all.map(([first, last]) => (first === last ? codeText(first) : `${codeText(first)}-${codeText(last)}`));
  return `[${isNegated ? '^' : ''}${[...parts, ...properties].join('')}]`;
}

function withFlags(flags: Flags, on = '', off = ''): Flags {
  const value = (letter: string, before: boolean): boolean => !off.includes(letter) && (before || on.includes(letter));
  return {
    ignoresCase: value('i', flags.ignoresCase),
    isMultiline: value('m', flags.isMultiline),
    dotTakesAll: value('s', flags.dotTakesAll),
    isUngreedy: value('U', flags.isUngreedy),
  };
}

/** Names of scripts stand alone in RE2, next to those of general categories. */
function propertyName(name: string): string {
  return /^[A-Z][a-z]?$/.test(name) || name === 'Any' ? name : `Script=${name}`;
}

/**
 * An expression that matches texts as a whole where RE2 would match them so.
 * @throws SyntaxError when the pattern is none, or needs what JavaScript lacks
 */
export function fullMatch(pattern: string): RegExp {
  return new RegExp(`^(?:${new Translation(pattern).whole()})$`, 'u');
}
