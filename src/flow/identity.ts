/** Who asks. Made only by `identify/`; checked again at every request and on every tick. */
export type Identity = {
  /** token id (`tok_…`), or `group:NAME` where a source address alone identifies the group */
  readonly id: string;
  readonly group: string;
  readonly proof: 'token' | 'source';
};

/** What a client showed of itself before any decision. */
export type Credential =
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'malformed' };

/** Of a client that showed nothing, or has nowhere to write it. */
export const NO_CREDENTIAL: Credential = { kind: 'none' };
