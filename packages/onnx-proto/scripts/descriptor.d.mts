/** Types of descriptor.mjs, for tests. */
export interface DescribedField {
  readonly name: string;
  readonly repeated: boolean;
  readonly wire: string;
  readonly message?: string;
  readonly bigint: boolean;
  readonly typed?: { readonly type: string; readonly empty: string };
  readonly type: string;
}

export interface DescribedMessage {
  readonly path: string;
  readonly fields: readonly DescribedField[];
  readonly oneofs: Readonly<Record<string, readonly string[]>>;
}

export function flatName(path: string): string;

export function readDescriptor(url: URL): {
  readonly messages: readonly DescribedMessage[];
  readonly enums: readonly { readonly name: string; readonly values: Readonly<Record<string, number>> }[];
  readonly source: { readonly nested: Record<string, never> };
};
