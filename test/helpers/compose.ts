/** What the tests want to know of `deploy/compose/compose.yaml`: a typed reading of it, defaults of variables filled in. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { ROOT } from './import-table.ts';

export const COMPOSE_DIR = path.join(ROOT, 'deploy/compose');

type Loose = Readonly<Record<string, unknown>>;

export type ComposeNetwork = {
  readonly internal: boolean;
  /** does the host have no address on it */
  readonly isolated: boolean;
  /** `172.25.0.0/16`; empty: Docker chooses */
  readonly subnet: string;
  /** what Docker hands out of it; empty: all */
  readonly range: string;
};

export type ComposeService = {
  readonly raw: Loose;
  /** network to the fixed address on it; empty: Docker chooses */
  readonly networks: ReadonlyMap<string, string>;
  readonly environment: ReadonlyMap<string, string>;
  readonly ports: readonly string[];
};

export type Compose = {
  readonly raw: Loose;
  readonly services: ReadonlyMap<string, ComposeService>;
  readonly networks: ReadonlyMap<string, ComposeNetwork>;
};

export function isLoose(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An empty one for what is missing or no table. */
export function loose(value: unknown): Loose {
  return isLoose(value) ? value : {};
}

/** Empty for what is no text. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** Reads `file` of deploy/compose; `${NAME:-default}` stands for its default. */
export function readCompose(file = 'compose.yaml'): Compose {
  const written = readFileSync(path.join(COMPOSE_DIR, file), 'utf8');
  const raw = loose(parse(written.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1'), { merge: true }));
  const services = Object.entries(loose(raw['services'])).map(([name, one]): [string, ComposeService] => [
    name,
    serviceOf(loose(one)),
  ]);
  const networks = Object.entries(loose(raw['networks'])).map(([name, one]): [string, ComposeNetwork] => [
    name,
    networkOf(loose(one)),
  ]);
  return { raw, services: new Map(services), networks: new Map(networks) };
}

function serviceOf(raw: Loose): ComposeService {
  const { networks } = raw;
  const fixed = Array.isArray(networks)
    ? texts(networks).map((name): [string, string] => [name, ''])
    : Object.entries(loose(networks)).map(([name, one]): [string, string] => [
        name,
        text(loose(one)['ipv4_address']),
      ]);
  const environment = Object.entries(loose(raw['environment'])).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  return { raw, networks: new Map(fixed), environment: new Map(environment), ports: texts(raw['ports']) };
}

function networkOf(raw: Loose): ComposeNetwork {
  const config: unknown = loose(raw['ipam'])['config'];
  const first: unknown = Array.isArray(config) ? config[0] : undefined;
  return {
    internal: raw['internal'] === true,
    isolated: loose(raw['driver_opts'])['com.docker.network.bridge.gateway_mode_ipv4'] === 'isolated',
    subnet: text(loose(first)['subnet']),
    range: text(loose(first)['ip_range']),
  };
}
