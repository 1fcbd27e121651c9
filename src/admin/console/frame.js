/** The frame around every page: where one can go, who is here, what is wrong, and the keys that work everywhere. */
import { startLive } from './live.js';
import { Approvals } from './pages/approvals.js';
import { Audit } from './pages/audit.js';
import { Explain } from './pages/explain.js';
import { Flows } from './pages/flows.js';
import { Groups } from './pages/groups.js';
import { Lockdown } from './pages/lockdown.js';
import { Operators } from './pages/operators.js';
import { Overview } from './pages/overview.js';
import { Propose } from './pages/propose.js';
import { go, linkTo, usePlace } from './route.js';
import { nextTheme, theme } from './theme.js';
import { html, Said, useEffect, useLive, useRef, useShortcuts, useState } from './ui.js';

const PAGES = [
  { page: 'overview', name: 'Overview', key: '1', Page: Overview },
  { page: 'approvals', name: 'Approvals', key: '2', Page: Approvals },
  { page: 'flows', name: 'Flows', key: '3', Page: Flows },
  { page: 'groups', name: 'Groups', key: '4', Page: Groups },
  { page: 'audit', name: 'Audit', key: '5', Page: Audit },
  { page: 'explain', name: 'Explain', key: '6', Page: Explain },
  { page: 'lockdown', name: 'Lockdown', key: '7', Page: Lockdown },
  { page: 'operators', name: 'Operators', key: '8', Page: Operators },
];
/** Reached from another page. */
const FURTHER = [{ page: 'propose', name: 'Propose a rule', Page: Propose }];

export function Frame({ me, onLeave }) {
  const { page, query } = usePlace();
  const [state, setState] = useState(null);
  const [lostSince, setLost] = useState(null);
  const [help, setHelp] = useState(false);
  const main = useRef(null);
  const here = [...PAGES, ...FURTHER].find((one) => one.page === page);
  useEffect(() => startLive(), []);
  useLive(({ kind, data }) => {
    if (kind === 'state') setState(data);
    if (kind === 'back') setLost(null);
    if (kind === 'lost') setLost((since) => since ?? new Date());
  });
  useEffect(() => {
    document.title = `${here?.name ?? 'Not found'} · Sallyport`;
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [page]);
  useShortcuts({
    ...Object.fromEntries(PAGES.map((one) => [one.key, () => go(one.page)])),
    '/': () => document.querySelector('main :is(input, select)')?.focus(),
    '?': () => setHelp(true),
  });
  const waiting = state?.approvals.length ?? 0;
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current?.focus();
    }}>Skip to the page</a>
    <header class="top">
      <a class="brand" href="#/overview">Sallyport</a>
      <nav aria-label="Pages"><ul>${PAGES.map(
        (one) =>
          html`<li><a href=${linkTo(one.page)} aria-current=${one.page === page ? 'page' : null}>${one.name}${
            one.page === 'approvals' && waiting > 0
              ? html` <span class="count" aria-label=${`${waiting} waiting`}>${waiting}</span>`
              : null
          }</a></li>`,
      )}</ul></nav>
      <${Who} me=${me} onLeave=${onLeave} onHelp=${() => setHelp(true)} />
    </header>
    <${Notices} state=${state} lostSince=${lostSince} />
    <main id="main" tabindex="-1" ref=${main}>${
      here === undefined
        ? html`<h1>Not found</h1><p>There is no such page. <a href="#/overview">Overview</a></p>`
        : html`<${here.Page} key=${page} me=${me} query=${query} state=${state} />`
    }</main>
    ${help ? html`<${Keys} onClose=${() => setHelp(false)} />` : null}`;
}

function Who({ me, onLeave, onHelp }) {
  const [now, setNow] = useState(theme());
  return html`<div class="who">
    <span><${Said} text=${me.name} max=${40} /> <span class="tag">${me.role}</span></span>
    <button type="button" onClick=${() => setNow(nextTheme())} title="System, light, dark">Theme: ${now}</button>
    <button type="button" onClick=${onHelp} aria-keyshortcuts="?">Keys</button>
    <button type="button" onClick=${onLeave}>Log out</button>
  </div>`;
}

function Notices({ state, lostSince }) {
  const all = state?.locks.find(({ group }) => group === '*');
  const some = state?.locks.filter(({ group }) => group !== '*') ?? [];
  return html`<div class="notices" aria-live="polite">
    ${lostSince === null ? null : html`<p class="notice warn">Live updates are lost since ${lostSince.toLocaleTimeString()}; what you see may be old. Trying again.</p>`}
    ${state === null || state.ready ? null : html`<p class="notice bad">The proxy takes no requests: <${Said} text=${state.why.join('; ')} max=${300} /></p>`}
    ${all === undefined ? null : html`<p class="notice bad">Locked down for all groups, by <${Said} text=${all.by} max=${60} />: <${Said} text=${all.reason} max=${200} />. <a href="#/lockdown">Lockdown</a></p>`}
    ${some.length === 0 ? null : html`<p class="notice bad">Locked down: <${Said} text=${some.map(({ group }) => group).join(', ')} max=${200} />. <a href="#/lockdown">Lockdown</a></p>`}
  </div>`;
}

const KEYS = [
  ['1 to 8', 'go to a page, in the order of the menu'],
  ['/', 'go to the first filter of the page'],
  ['j, k', 'approvals: the next one, the one before'],
  ['a, d', 'approvals: allow, deny; then Enter decides and Escape goes back'],
  ['?', 'these keys'],
  ['Escape', 'close'],
];

function Keys({ onClose }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current?.showModal(), []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="keys-title">
    <h2 id="keys-title">Keys</h2>
    <dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <button type="button" class="act" onClick=${() => dialog.current?.close()}>Close</button>
  </dialog>`;
}
