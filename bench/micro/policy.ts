/** The walk over a group's rules, on the policies that ship with the project. */
import { join } from 'node:path';
import { loadPolicies } from '../../src/config/load.ts';
import { decideConnect, decideRequest } from '../../src/policy/decide.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import type { Piece } from './runner.ts';

const GROUP = 'ai-agents';

export function policyPieces(): Piece[] {
  const loaded = loadPolicies(join(import.meta.dirname, '..', '..', 'policies'));
  if (!loaded.ok) throw new Error(loaded.problems.map((problem) => problem.message).join('; '));
  const { set } = loaded;
  const [known, refused] = [at('api.openai.com:443'), at('evil.example:443')];
  const facts = { method: 'POST', path: '/v1/chat/completions', protocol: 'http/1.1' } as const;
  return [
    { name: 'policy: decide a CONNECT', run: () => decideConnect(set, GROUP, known), budget: 1 },
    { name: 'policy: decide a refused CONNECT', run: () => decideConnect(set, GROUP, refused), budget: 1 },
    {
      name: 'policy: decide a request',
      run: () => decideRequest(set, GROUP, known, { scheme: 'https', facts }),
      budget: 1,
    },
    {
      name: 'policy: decide a CONNECT to a name never seen',
      run: (turn) => decideConnect(set, GROUP, { ...known, port: 1 + (turn % 65_535) }),
    },
  ];
}

function at(text: string) {
  const authority = parseAuthority(text);
  if (!isAuthority(authority)) throw new Error(`${text} was refused`);
  return authority;
}
