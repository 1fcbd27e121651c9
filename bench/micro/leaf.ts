/** A new host's certificate, and the context around it; and the cached case. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { loadOrCreateAuthority } from '../../src/intercept/authority.ts';
import { createLeafMint } from '../../src/intercept/leaf.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import type { Piece } from './runner.ts';

export function leafPieces(): Piece[] {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-micro-'));
  const { authority } = loadOrCreateAuthority({ dir, now: Date.now() });
  rmSync(dir, { recursive: true });
  const mint = createLeafMint({ authority, clock: systemClock, max: 100 });
  const cached = at('cached.example:443');
  let next = 0;
  return [
    { name: 'leaf: sign one', run: () => mint.pemFor(at(`h${next++}.example:443`)), budget: 1000 },
    {
      name: 'leaf: sign one and make its context',
      run: () => mint.contextFor(at(`h${next++}.example:443`)),
      budget: 1500,
    },
    { name: 'leaf: cached', run: () => mint.contextFor(cached) },
  ];
}

function at(text: string) {
  const authority = parseAuthority(text);
  if (!isAuthority(authority)) throw new Error(`${text} was refused`);
  return authority;
}
