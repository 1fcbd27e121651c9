/**
 * Driver of `chromium.test.ts`, in a network namespace of its own: nothing that the browser asks by itself can leave.
 * Chromium has what `/env` prints, and the CA by the policy file that an image would hold (in a mount namespace).
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { intercepted, placeholderIn, policy, profile, records } from '../../helpers/scene.ts';
import { askOnce } from '../../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../../helpers/upstream.ts';
import { makeWorld, type World } from '../../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const HOSTS = { 'app.test': ['127.0.0.1'] };

export type ChromiumReport = {
  readonly page: string;
  /** what the page's fetch got, and the Authorization that arrived */
  readonly fetched: string;
  readonly arrived: string;
  /** connections to the upstream for the page and what it fetched, and requests on them */
  readonly connections: number;
  readonly requests: number;
  /** the error of a refused https page, and the text of a refused http page */
  readonly refused: string;
  readonly refusedPlain: string;
  /** a page by a proxy that answers 407 first, and the identity that the record names */
  readonly asked: string;
  readonly identity: unknown;
  /** what a refused https page shows where the policy refuses inside */
  readonly refusedInside: string;
  readonly token: string;
  /** hosts other than ours, with their verdicts */
  readonly others: readonly string[];
};

/** Chromium behind a policy file that trusts the CA: `/etc/chromium` is a memory of its own, for it alone. */
function trustingChromium(world: World): string {
  const ca = new X509Certificate(world.caPem).raw.toString('base64');
  const file = world.write('chromium-policy.json', JSON.stringify({ CACertificates: [ca] }));
  const script = `#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs tmpfs /etc/chromium && mkdir -p /etc/chromium/policies/managed &&
cp "${file}" /etc/chromium/policies/managed/sallyport.json && exec chromium "$@"' chromium "$@"
`;
  const wrapper = path.join(world.dir, 'chromium');
  writeFileSync(wrapper, script);
  chmodSync(wrapper, 0o755);
  return wrapper;
}

async function environment(world: World): Promise<Record<string, string>> {
  const reply = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
  const proxy = `http://127.0.0.1:${world.port}`;
  const text = reply.body.toString().replaceAll(/http:\/\/sallyport(:\d+)?/g, proxy);
  const parsed: unknown = JSON.parse(text);
  const all = Object.entries(parsed ?? {}).map(([name, value]) => [name, String(value)] as const);
  return { ...Object.fromEntries(all), PATH: process.env['PATH'] ?? '', HOME: world.dir };
}

function makeAppWorld(sources: string, more = ''): Promise<World> {
  return makeWorld({
    policies: {
      'agents.yaml': policy([intercepted('app.test')], { sources, more: `profile: keys\n${more}` }),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: ['app.test'] }]),
    },
    hosts: HOSTS,
    env: { REAL },
  });
}

async function drive(browser: Browser, web: Upstream, placeholder: string) {
  const page = await browser.newPage();
  await page.goto('https://app.test/');
  const shown = await page.locator('body').textContent();
  const fetched = await page.evaluate(async (key) => {
    const answer = await fetch('/v1/models', { headers: { authorization: `Bearer ${key}` } });
    return await answer.text();
  }, placeholder);
  const arrived = web.seen.find(({ url }) => url === '/v1/models')?.headers.authorization ?? '';
  const refused = await page.goto('https://evil.test/').then(
    () => 'loaded',
    (error: unknown) => String(error),
  );
  const plain = await browser.newPage();
  await plain.goto('http://evil.test/');
  const refusedPlain = await plain.locator('body').textContent();
  return { page: shown ?? '', fetched, arrived, refused, refusedPlain: refusedPlain ?? '' };
}

async function main(): Promise<void> {
  // Loopback and nothing else: an interface whose addresses come up late is a network change, which ends loads.
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const web = await httpUpstream({
    name: 'app.test',
    port: 443,
    answer: ({ url }, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(url === '/' ? '<!doctype html><title>app</title><body>the page</body>' : `got ${url}`);
    },
  });
  const world = await makeAppWorld('127.0.0.0/8');
  const asking = await makeAppWorld('', 'refuse: inside\n');
  const env = await environment(world);
  const browser = await chromium.launch({
    executablePath: trustingChromium(world),
    args: ['--no-sandbox'],
    env,
  });
  const first = await drive(browser, web, placeholderIn(env, 'API_KEY'));
  const connections = web.connections();
  const requests = web.seen.length;
  const others = (await records(world, { kind: 'decision' }))
    .filter(({ host }) => host !== 'app.test' && host !== null)
    .map(({ host, verdict }) => `${String(host)} ${String(verdict)}`);
  await browser.close();

  const { record, token } = asking.proxy.parts.tokens.create({ group: 'agents' });
  const server = `http://127.0.0.1:${asking.port}`;
  const second = await chromium.launch({
    executablePath: trustingChromium(asking),
    args: ['--no-sandbox'],
    env: { PATH: process.env['PATH'] ?? '', HOME: asking.dir },
    proxy: { server, username: 'any', password: token },
  });
  const page = await second.newPage();
  await page.goto('https://app.test/');
  const asked = await page.locator('body').textContent();
  const inside = await second.newPage();
  await inside.goto('https://evil.test/');
  const refusedInside = await inside.locator('body').textContent();
  await second.close();
  const [decision] = await records(asking, { kind: 'decision', stage: 'request', host: 'app.test' });
  const report: ChromiumReport = {
    ...first,
    connections,
    requests,
    asked: asked ?? '',
    refusedInside: refusedInside ?? '',
    identity: decision?.['identity'],
    token: record.id,
    others,
  };
  process.stdout.write(JSON.stringify(report));
  await Promise.all([world.stop(), asking.stop(), web.close()]);
}

await main();
