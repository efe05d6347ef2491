// Elements of a document, in few words.

export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>>,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function rowOf(cells: readonly string[]): HTMLTableRowElement {
  const [first, ...rest] = cells;
  return element('tr', {}, element('th', { scope: 'row' }, first), ...rest.map((text) => element('td', {}, text)));
}

export function tableOf(head: readonly string[], rows: readonly HTMLTableRowElement[]): HTMLTableElement {
  const titles = head.map((text) => element('th', { scope: 'col' }, text));
  return element('table', {}, element('thead', {}, element('tr', {}, ...titles)), element('tbody', {}, ...rows));
}
