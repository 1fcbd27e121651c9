/**
 * Driver of `console.test.ts`: a proxy process, upstreams, curl and a browser in one network namespace. With
 * SALLYPORT_PICTURES a folder, every page is drawn there.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { URI } from 'otpauth';
import { type Browser, chromium, type Page } from 'playwright-core';
import { startProcess } from '../../cli/process-harness.ts';
import { policy, tunnelled } from '../../helpers/scene.ts';
import { askOnce, connect, tryConnect } from '../../helpers/talk.ts';
import { httpUpstream, rawUpstream } from '../../helpers/upstream.ts';
import { eventually } from '../../helpers/world.ts';

export type ConsoleReport = {
  readonly wrongToken: string | null;
  readonly who: string | null;
  readonly refused: string | null;
  /** elements that a hostile host made */
  readonly injected: number;
  readonly held: string | null;
  readonly curl: string;
  /** what the page said of a wrong one-time code, and what curl got after a right one */
  readonly wrongCode: string | null;
  readonly coded: string;
  /** token of somebody who was let in here, whether it works, and what stands there after a revocation */
  readonly letIn: { readonly me: string; readonly later: boolean; readonly revoked: string | null };
  readonly cut: { readonly cut: boolean; readonly other: boolean };
  readonly audit: string | null;
  readonly explained: string | null;
  readonly proposed: string | null;
  /** in the filters of the record, and in the URL to explain */
  readonly halfTyped: { readonly audit: string; readonly explain: string };
  readonly token: string;
  /** does the new token stand anywhere after it was put away */
  readonly tokenLater: boolean;
  /** was the button out of reach before the word was typed */
  readonly early: string | null;
  readonly locked: string | null;
  readonly viewer: string | null;
  /** what the page says when the proxy is gone */
  readonly lost: string | null;
  /** what the browser complained of */
  readonly complaints: readonly string[];
  /** pages times themes that axe looked at */
  readonly checked: number;
  readonly faults: readonly string[];
  /** pages that scroll sideways at 360 or 1600 px */
  readonly tooWide: readonly string[];
};

const run = promisify(execFile);
const AXE = readFileSync(new URL('../../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const PICTURES = process.env['SALLYPORT_PICTURES'];
/** Of anything that is waited for: others use the machine. */
const WAIT_MS = 40_000;

type Scene = Awaited<ReturnType<typeof makeScene>>;

async function makeScene() {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const raw = await rawUpstream((socket) => socket.pipe(socket));
  const web = await httpUpstream();
  const proxy = await startProcess({
    policies: {
      'agents.yaml': policy(
        [
          `approve: "pay.test:${web.port}", methods: [POST], wait: 5m, remember: 10m, addresses: [127.0.0.0/8]`,
          `approve: "pay.test:${web.port}", methods: [DELETE], wait: 5m, second_factor: true, addresses: [127.0.0.0/8]`,
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
          'deny: "*.evil.test", reason: Ask the platform team.',
        ],
        { more: 'description: Coding agents on the restricted bridge\n' },
      ),
    },
    settings:
      'proxy: { listen: "127.0.0.1:0", drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\ndns: { hosts: { "raw.test": [127.0.0.1], "pay.test": [127.0.0.1] } }\n',
  });
  const added = await proxy.home.run(['operator', 'add', 'vera', '--role', 'viewer', '--json']);
  const close = async (): Promise<void> => {
    await proxy.remove();
    await Promise.all([raw.close(), web.close()]);
  };
  return { raw, web, proxy, viewer: tokenIn(added.out), close };
}

function tokenIn(text: string): string {
  const found = /"token":\s*"([^"]+)"/.exec(text)?.[1];
  if (found === undefined) throw new Error(`no token in ${text}`);
  return found;
}

async function logIn(page: Page, url: string, token: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel('Your operator token').fill(token);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('button', { name: 'Log out' }).waitFor();
}

async function open(page: Page, name: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
}

async function refusedCall({ proxy }: Scene, page: Page) {
  await open(page, 'Overview');
  for (const host of ['evil.test', 'evil.test', 'files.evil.test', `x${'y'.repeat(60)}.test`]) {
    const { client } = await tryConnect(proxy.port, `${host}:443`);
    client.destroy();
  }
  // Whatever the codec makes of it, the page must not.
  await askOnce(
    proxy.port,
    'GET http://a/<img%20src=x%20onerror=alert(1)>\u202e HTTP/1.1\r\nHost: a\r\n\r\n',
  ).catch(() => null);
  await askOnce(proxy.port, 'GET http://evil.test/<b>bold</b>?q=1 HTTP/1.1\r\nHost: evil.test\r\n\r\n').catch(
    () => null,
  );
  const row = page
    .getByRole('region', { name: 'Just refused' })
    .getByRole('row', { name: /CONNECT evil\.test/ });
  await row.first().waitFor();
  const injected = await page.locator('main :is(img, b, script)').count();
  return { refused: await row.first().textContent(), injected };
}

async function heldCall({ proxy, web }: Scene, page: Page) {
  await open(page, 'Approvals');
  const from = `http://127.0.0.1:${proxy.port}`;
  const sent = ['--data', '{"amount":"12 <b>€</b>"}', '-H', 'content-type: application/json'];
  const shown = ['-sS', '-m', '60', '-w', '\n%{http_code}'];
  const curl = run('curl', [...shown, '-x', from, ...sent, `http://pay.test:${web.port}/charge`]);
  curl.catch(() => {});
  const call = page.getByRole('listitem').filter({ hasText: '/charge' });
  await call.waitFor();
  const held = await call.textContent();
  await picture(page, 'approvals');
  await page.keyboard.press('j');
  await page.keyboard.press('a');
  await page.getByLabel('Why (for the record)').waitFor();
  await page.keyboard.type('known customer');
  await page.keyboard.press('Enter');
  await page.getByText('Allowed by you').waitFor();
  const { stdout } = await curl;
  const [body = '', status = ''] = stdout.trim().split('\n');
  return { held, curl: `${status} ${body}` };
}

/** A call whose rule wants a second factor: a wrong code, then the right one. */
async function codedCall({ proxy, web }: Scene, page: Page) {
  const enrolled = await proxy.home.run(['operator', 'totp', 'admin']);
  const totp = URI.parse(/otpauth:\S+/.exec(enrolled.out)?.[0] ?? '');
  const right = totp.generate();
  await open(page, 'Approvals');
  const from = `http://127.0.0.1:${proxy.port}`;
  const url = `http://pay.test:${web.port}/account/%3Cb%3E%E2%80%AE`;
  const curl = run('curl', ['-sS', '-m', '90', '-w', '\n%{http_code}', '-x', from, '-X', 'DELETE', url]);
  curl.catch(() => {});
  const call = page.getByRole('listitem').filter({ hasText: '/account' });
  await call.getByRole('button', { name: 'Allow…' }).click();
  const code = call.getByLabel('One-time code');
  await code.fill(String((Number(right) + 1) % 1_000_000).padStart(6, '0'));
  const decide = call.getByRole('button', { name: 'Allow this call' });
  await decide.click();
  // The proxy hears of the new factor a moment later.
  const wrong = call.getByRole('alert');
  await eventually(async () => {
    if (((await wrong.textContent()) ?? '').includes('is wrong')) return true;
    await decide.click();
    return false;
  }, WAIT_MS);
  const wrongCode = await wrong.textContent();
  await picture(page, 'code');
  await code.fill(totp.generate());
  await decide.click();
  const { stdout } = await curl;
  const [body = '', status = ''] = stdout.trim().split('\n');
  return { wrongCode, coded: `${status} ${body}` };
}

async function letIn({ proxy }: Scene, page: Page) {
  await open(page, 'Operators');
  await page.getByLabel('Name').fill('olga');
  await page.getByLabel('Role').selectOption('approver');
  await page.getByRole('button', { name: 'Let in' }).click();
  const secret = page.locator('code.secret');
  await secret.waitFor();
  const token = (await secret.textContent()) ?? '';
  const me = await fetch(`${proxy.adminUrl}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } });
  await page.getByRole('button', { name: 'I have it' }).click();
  await picture(page, 'operators');
  const row = page.getByRole('row').filter({ hasText: 'olga' });
  await row.getByRole('button', { name: 'Revoke…' }).click();
  await row.getByRole('button', { name: 'Revoke for good' }).click();
  await row.getByText('revoked').waitFor();
  const later = (await page.content()).includes(token);
  return { letIn: { me: await me.text(), later, revoked: await row.textContent() } };
}

async function cutFlow({ proxy, raw }: Scene, page: Page) {
  const [first, second] = await Promise.all([
    connect(proxy.port, `raw.test:${raw.port}`),
    connect(proxy.port, `raw.test:${raw.port}`),
  ]);
  await open(page, 'Flows');
  const cuts = page.getByRole('button', { name: 'Cut the connection' });
  await eventually(async () => (await cuts.count()) === 2, WAIT_MS);
  await picture(page, 'flows');
  const over: number[] = [];
  for (const [index, one] of [first, second].entries())
    void one.over(WAIT_MS * 3).then(
      () => over.push(index),
      () => {},
    );
  await cuts.first().click();
  await eventually(() => over.length > 0, WAIT_MS);
  await eventually(async () => (await cuts.count()) === 1, WAIT_MS);
  return { cut: over.length >= 1, other: over.length === 1 };
}

async function look({ proxy, web }: Scene, page: Page) {
  await open(page, 'Overview');
  const blocked = page
    .getByRole('region', { name: 'Blocked hosts' })
    .getByRole('row')
    .filter({ hasText: /^evil\.test/ });
  await blocked.getByRole('link', { name: 'Propose a rule' }).click();
  await page.locator('pre.yaml').waitFor();
  const proposed = await page.locator('pre.yaml').textContent();
  await picture(page, 'propose');
  // The filters change while a search is under way.
  const begun = Promise.withResolvers<void>();
  const asked: string[] = [];
  await page.route('**/api/v1/audit?*', async (route) => {
    if (asked.push(route.request().url()) === 1) await begun.promise;
    await route.continue();
  });
  await open(page, 'Audit');
  await eventually(() => asked.length === 1, WAIT_MS);
  await page.goto(`${proxy.adminUrl}/#/audit?group=agents&host=evil.test&kind=decision`);
  const field = page.locator('input[name="host"]');
  await eventually(async () => (await field.inputValue()) === 'evil.test', WAIT_MS);
  begun.resolve();
  const entry = page.locator('.records > li').filter({ hasText: 'evil.test' }).first();
  await entry.locator('summary').click();
  await page.unroute('**/api/v1/audit?*');
  const link = await entry.getByRole('link', { name: 'Link to this' }).getAttribute('href');
  await picture(page, 'audit');
  await page.goto(`${proxy.adminUrl}/${link}`);
  // Its decision and its end, both open.
  const shown = page.locator('.records pre').filter({ hasText: '"host": "evil.test"', visible: true });
  await eventually(async () => (await shown.count()) === 2, WAIT_MS);
  const audit = await page.locator('.records').textContent();
  await open(page, 'Explain');
  await page.getByLabel('Which').fill('agents');
  await page.getByLabel('Method').selectOption('POST');
  await page.getByLabel('URL').fill(`http://pay.test:${web.port}/charge`);
  await page.keyboard.press('Enter');
  await page.getByText('decides:').waitFor();
  const explained = await page.locator('main').textContent();
  await picture(page, 'explain');
  return { proposed, audit, explained };
}

/** What stands half typed in a form when news come that draw the page anew. */
async function halfTyped({ proxy }: Scene, page: Page) {
  await open(page, 'Audit');
  await page.getByRole('button', { name: 'Search again' }).waitFor();
  const host = page.locator('input[name="host"]');
  await host.fill('half');
  const { client } = await tryConnect(proxy.port, 'evil.test:443');
  client.destroy();
  await page.getByText('written since').waitFor();
  const audit = await host.inputValue();
  await open(page, 'Explain');
  const url = page.getByLabel('URL');
  await url.fill('https://half');
  await proxy.admin('PUT', '/api/v1/lockdown', { on: true, group: 'agents', reason: 'drill' });
  await page.getByText('Locked down: agents').waitFor();
  const explain = await url.inputValue();
  await proxy.admin('PUT', '/api/v1/lockdown', { on: false, group: 'agents', reason: 'over' });
  await page.getByText('Locked down: agents').waitFor({ state: 'detached' });
  return { halfTyped: { audit, explain } };
}

async function newToken(page: Page) {
  await open(page, 'Groups');
  await page.getByText(/tokens? holds?/).click();
  await page.getByLabel('Name of a new one').fill('ci <runner>');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const secret = page.locator('code.secret');
  await secret.waitFor();
  const token = (await secret.textContent()) ?? '';
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.getByText('the first that fits decides').click();
  await page.getByRole('region', { name: 'Rules of agents' }).waitFor();
  await picture(page, 'groups');
  await page.reload();
  await page.getByText(/tokens? holds?/).click();
  const tokenLater = (await page.content()).includes(token);
  return { token, tokenLater };
}

async function lockDown({ proxy, raw }: Scene, page: Page) {
  const tunnel = await connect(proxy.port, `raw.test:${raw.port}`);
  // The groups come while somebody types.
  const typed = Promise.withResolvers<void>();
  await page.route('**/api/v1/groups', async (route) => {
    await typed.promise;
    await route.continue();
  });
  await open(page, 'Lockdown');
  const button = page.getByRole('button', { name: /^Lock down/ });
  const early = await button.getAttribute('aria-disabled');
  await page.getByLabel('Why', { exact: true }).fill('drill');
  await page.getByLabel(/to confirm/).fill('all');
  const groups = page.waitForResponse('**/api/v1/groups');
  typed.resolve();
  await groups;
  await page.unroute('**/api/v1/groups');
  await page.getByRole('option', { name: 'agents' }).waitFor({ state: 'attached' });
  await button.click();
  await tunnel.over(WAIT_MS);
  const notice = page.getByText('Locked down for all groups');
  await notice.waitFor();
  await picture(page, 'lockdown');
  const locked = await notice.textContent();
  return { early, locked };
}

async function asViewer({ proxy, raw, viewer }: Scene, browser: Browser) {
  await proxy.admin('PUT', '/api/v1/lockdown', { on: false, reason: 'drill is over' });
  const tunnel = await connect(proxy.port, `raw.test:${raw.port}`);
  const page = await browser.newPage();
  await logIn(page, proxy.adminUrl, viewer);
  await open(page, 'Flows');
  const button = page.getByRole('button', { name: 'Cut the connection' }).first();
  await button.waitFor();
  const title = await button.getAttribute('title');
  await page.close();
  tunnel.destroy();
  return { viewer: title };
}

const PAGES = [
  ['overview', ''],
  ['approvals', ''],
  ['flows', ''],
  ['groups', ''],
  ['audit', ''],
  ['explain', '?group=agents&method=GET&url=https%3A%2F%2Fevil.test%2F'],
  ['lockdown', ''],
  ['operators', ''],
  ['propose', '?group=agents&host=evil.test'],
  ['nowhere', ''],
] as const;

/** Every page in both themes: what axe calls serious or critical; and what does not fit a small screen. */
async function examine({ proxy, viewer }: Scene, browser: Browser) {
  const faults: string[] = [];
  const tooWide: string[] = [];
  let checked = 0;
  for (const colorScheme of ['light', 'dark'] as const) {
    const suffix = colorScheme === 'light' ? '' : '-dark';
    // axe is a script of the test's own, which the page's policy would refuse.
    const context = await browser.newContext({ colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(proxy.adminUrl);
    await page.getByLabel('Your operator token').waitFor();
    const check = async (name: string): Promise<void> => {
      faults.push(...(await axeFaults(page)).map((fault) => `${name}, ${colorScheme}: ${fault}`));
      checked += 1;
    };
    await check('login');
    await picture(page, `login${suffix}`);
    await logIn(page, proxy.adminUrl, colorScheme === 'light' ? viewer : proxy.token);
    for (const [name, query] of PAGES) {
      await page.goto(`${proxy.adminUrl}/#/${name}${query}`);
      await page.locator('main h1').waitFor();
      await eventually(async () => (await page.getByText('One moment').count()) === 0, WAIT_MS);
      for (const summary of await page.locator('main section > details > summary').all())
        await summary.click();
      await check(name);
      if (name === 'overview') await picture(page, `overview${suffix}`);
      for (const [wide, height] of SCREENS) {
        await page.setViewportSize({ width: wide, height });
        const width = await page.evaluate('document.documentElement.scrollWidth');
        if (Number(width) > wide) tooWide.push(`${name} at ${wide}: ${String(width)} px`);
        if (name === 'overview') await picture(page, `${wide > 1000 ? 'wide' : 'small'}${suffix}`);
      }
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    await context.close();
  }
  return { faults, tooWide, checked };
}

const SCREENS = [
  [360, 740],
  [1600, 900],
] as const;

async function axeFaults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found: unknown =
    await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 160)).slice(0, 3).join(' | ')))`);
  return Array.isArray(found) ? found.map(String) : [String(found)];
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
}

async function main(): Promise<void> {
  const scene = await makeScene();
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const page = await browser.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const complaints: string[] = [];
  page.on('console', (message) => {
    // A refused token is a 401 in the browser's log as well, a wrong code a 403.
    if (message.type() === 'error' && !/ 40[13] /.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(scene.proxy.adminUrl);
  await page.getByLabel('Your operator token').fill('sp_not_a_token_of_anybody');
  await page.getByRole('button', { name: 'Log in' }).click();
  const wrongToken = await page.getByRole('alert').textContent();
  await logIn(page, scene.proxy.adminUrl, scene.proxy.token);
  const report: Omit<ConsoleReport, 'lost'> = {
    wrongToken,
    who: await page.locator('.who').textContent(),
    ...(await refusedCall(scene, page)),
    ...(await heldCall(scene, page)),
    ...(await codedCall(scene, page)),
    ...(await letIn(scene, page)),
    cut: await cutFlow(scene, page),
    ...(await look(scene, page)),
    ...(await halfTyped(scene, page)),
    ...(await newToken(page)),
    ...(await lockDown(scene, page)),
    ...(await asViewer(scene, browser)),
    ...(await examine(scene, browser)),
    complaints: [...complaints],
  };
  // The browser logs each try to reach the proxy that is gone.
  await scene.close();
  const notice = page.getByText('Live updates are lost');
  await notice.waitFor();
  const whole: ConsoleReport = { ...report, lost: await notice.textContent() };
  process.stdout.write(JSON.stringify(whole));
  await browser.close();
}

await main();
