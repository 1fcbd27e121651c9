/**
 * A key profile becomes SecretSpecs: sources, hosts and places parsed. Called by `compile.ts`; which of the
 * keys a group may use (`exclude`) and whether their hosts are reachable is decided there.
 */
import { splitCommand } from './command-line.ts';
import { compileAwsSet } from './compile-aws.ts';
import { compileMint } from './compile-mint.ts';
import { compileHosts, type FilePath, type Reporter } from './compile-rule.ts';
import type { Place, SecretSpec, SourceKind, SourceRef } from './model.ts';
import type { ProfileFile, SecretFile } from './schema-profile.ts';

export type CompiledProfile = {
  readonly name: string;
  readonly secrets: readonly SecretSpec[];
};

type StoredKind = Exclude<SourceKind, 'mint'>;

const SOURCES: readonly StoredKind[] = ['vault', 'env', 'file', 'stronghold', 'kv', 'command'];
const SOURCE_NAMES: Readonly<Record<StoredKind, RegExp>> = {
  vault: /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/,
  env: /^[A-Za-z_][A-Za-z0-9_]*$/,
  file: /^[^\0]+$/,
  stronghold: /^[^#\s-][^#\s]*(?:#[A-Za-z_][A-Za-z0-9_]*)?$/,
  kv: /^\/?(?!\.{1,2}\/)[^#\s/]+(?:\/(?!\.{1,2}(?:\/|#))[^#\s/]+)+#[^#\s]+$/,
  command: /\S/,
};
const SOURCE_FIXES: Readonly<Record<StoredKind, string>> = {
  vault: 'write vault:NAME',
  env: 'write env:VARIABLE',
  file: 'write file:/run/secrets/NAME',
  stronghold: 'write stronghold:DEPLOYMENT, or stronghold:DEPLOYMENT#VARIABLE',
  kv: 'write kv:MOUNT/PATH#FIELD',
  command: 'write command:PROGRAM ARGUMENT',
};
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** Written by the proxy itself: a key in one of them would never arrive. */
const OWN_HEADERS = /^(?:host|content-length|transfer-encoding|connection|te|trailer|upgrade|via|proxy-.*)$/i;
/** What a sandbox needs for its own working; a key under such a name would break or take it over. */
const RESERVED_ENV =
  /^(?:PATH|HOME|SHELL|IFS|LD_.*|DYLD_.*|NODE_OPTIONS|BASH_ENV|ENV|(?:HTTPS?|ALL|NO)_PROXY)$/i;

/** Compiles one profile file; duplicate variables, unknown sources and places are reported. */
export function compileProfile(file: ProfileFile, to: Reporter): CompiledProfile {
  const seen = new Set<string>();
  const mints = compileMints(file, to);
  const secrets = file.secrets.map((secret, at) => {
    const path = ['secrets', at];
    if (seen.has(secret.env)) {
      to.problem([...path, 'env'], `${secret.env} stands in this profile twice`, 'rename or remove one');
    }
    if (RESERVED_ENV.test(secret.env)) {
      to.problem([...path, 'env'], `${secret.env} is a variable of the system`, 'choose another name');
    }
    seen.add(secret.env);
    return compileSecret({ profile: file.profile, mints }, secret, path, to);
  });
  const sets = file.aws.flatMap((set, at) => {
    const members = compileAwsSet(set, {
      profile: file.profile,
      path: ['aws', at],
      to,
      source: compileSource,
    });
    for (const { env } of members) {
      if (seen.has(env))
        to.problem(['aws', at], `${env} stands in this profile twice`, 'give this set a prefix');
      seen.add(env);
    }
    return members;
  });
  return { name: file.profile, secrets: [...secrets, ...sets] };
}

type Mints = ReadonlyMap<string, SourceRef | null>;

/** Blocks of this profile, by name; `null`: it is there and cannot be used. */
function compileMints(file: ProfileFile, to: Reporter): Mints {
  const source = (text: string, path: FilePath): SourceRef => {
    if (/^stronghold:[^#]*$/.test(text)) {
      to.problem(path, `"${text}" names no variable`, 'write stronghold:DEPLOYMENT#VARIABLE');
    }
    return compileSource({ from: text, env: '' }, path, to);
  };
  const rows = Object.entries(file.mint).map(([name, block]) => {
    const mint = compileMint(block, { path: ['mint', name], to, source });
    const whole = `${file.profile}/${name}`;
    const ref = mint === null ? null : { kind: 'mint' as const, name: whole, text: `mint:${whole}`, mint };
    return [name, ref] as const;
  });
  return new Map(rows);
}

/** The block that `from: mint:NAME` means. */
function mintNamed(name: string, mints: Mints, path: FilePath, to: Reporter): SourceRef {
  if (!mints.has(name)) {
    to.problem(
      path,
      `there is no mint block "${name}" in this profile`,
      `add it under mint:, or name another`,
    );
  }
  return mints.get(name) ?? { kind: 'mint', name, text: `mint:${name}` };
}

type Profile = { readonly profile: string; readonly mints: Mints };

function compileSecret(
  { profile, mints }: Profile,
  secret: SecretFile,
  path: FilePath,
  to: Reporter,
): SecretSpec {
  const hosts = compileHosts({ written: secret.hosts, path: [...path, 'hosts'], to });
  secret.hosts.forEach((text, at) => {
    if (/^\*(?::|$)/.test(text.trim())) {
      to.problem([...path, 'hosts', at], 'a key cannot be bound to every host', 'name the hosts of this key');
    }
  });
  const { line } = to.locate(path);
  return {
    env: secret.env,
    from: secret.from.startsWith('mint:')
      ? mintNamed(secret.from.slice('mint:'.length), mints, [...path, 'from'], to)
      : compileSource(secret, [...path, 'from'], to),
    hosts,
    places: secret.in.flatMap((text, at) => compilePlace(text, [...path, 'in', at], to)),
    ...(secret.placeholder === undefined ? {} : { placeholder: secret.placeholder }),
    profile,
    at: { file: to.file, line, text: `key ${secret.env}` },
  };
}

function compileSource(
  { from: text, env }: Pick<SecretFile, 'from' | 'env'>,
  path: FilePath,
  to: Reporter,
): SourceRef {
  const colon = text.indexOf(':');
  const kind = SOURCES.find((known) => known === text.slice(0, colon));
  const name = text.slice(colon + 1);
  if (kind === undefined || !SOURCE_NAMES[kind].test(name)) {
    const fix = kind === undefined ? `write one of ${SOURCES.join(':, ')}:, mint:` : SOURCE_FIXES[kind];
    // What stands here may be the key itself, and errors are logged: it is not shown.
    const message =
      kind === undefined ? 'this is no source of a key' : `no ${kind}: source is named like this`;
    to.problem(path, message, fix);
  }
  if (kind === 'command') {
    const split = splitCommand(name);
    if ('problem' in split)
      to.problem(path, split.problem, 'write command:PROGRAM ARGUMENT, without a shell');
  }
  // One deployment holds many variables: the sandbox's name for the key is the one that is meant.
  if (kind === 'stronghold' && !name.includes('#'))
    return { kind, name: `${name}#${env}`, text: `${text}#${env}` };
  return { kind: kind ?? 'vault', name, text };
}

function compilePlace(text: string, path: FilePath, to: Reporter): readonly Place[] {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const name = colon < 0 ? null : text.slice(colon + 1);
  if (kind === 'header' && name !== null) return headerPlace(name, path, to);
  if (kind === 'query' && name !== null && /^[^\s&=#]+$/.test(name)) return [{ kind, name }];
  if (name === null) {
    switch (kind) {
      case 'header':
      case 'basic':
      case 'query':
      case 'path':
      case 'body':
      case 'websocket':
        return [{ kind }];
      default:
    }
  }
  const fix = 'write header, header:NAME, basic, query, query:NAME, path, body or websocket';
  to.problem(path, `"${text}" is no place of a placeholder`, fix);
  return [];
}

function headerPlace(name: string, path: FilePath, to: Reporter): readonly Place[] {
  if (!HEADER_NAME.test(name) || OWN_HEADERS.test(name)) {
    to.problem(path, `"${name}" is no header that a key can travel in`, 'name the header that the API reads');
    return [];
  }
  return [{ kind: 'header', name: name.toLowerCase() }];
}
