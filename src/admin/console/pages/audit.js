/** The record, searched. The filters stand in the address, so every view and every record has a link. */
import { ask, queryOf } from '../api.js';
import { go, linkTo } from '../route.js';
import { keyOf, visible, words } from '../text.js';
import {
  Act,
  Empty,
  html,
  Moment,
  Reason,
  Said,
  Trouble,
  useEffect,
  useLive,
  useRef,
  useState,
  useWork,
  Verdict,
} from '../ui.js';

const PAGE = 50;
/** Pages that came out empty, one after the other, before the reader is asked to go on. */
const MAX_EMPTY = 20;
const FIELDS = ['group', 'host', 'reason', 'identity', 'operator', 'text', 'request_id', 'flow'];
const NAMES = { request_id: 'Request', flow: 'Connection', text: 'Any text' };

export function Audit({ query }) {
  const filters = Object.fromEntries(
    Object.entries(query).filter(([name]) => [...FIELDS, 'kind', 'verdict', 'since', 'until'].includes(name)),
  );
  const [found, setFound] = useState({ records: [], next: null, asked: false });
  const [fresh, setFresh] = useState(0);
  const { busy, error, run } = useWork();
  const turn = useRef(0);
  const path = queryOf(filters);
  // Where a link of a record leads: its decision and its end.
  const linked = filters.request_id !== undefined;
  const latest = useRef(null);
  const more = async (cursor, before) => {
    turn.current += 1;
    const mine = turn.current;
    let ran = false;
    await run(async () => {
      ran = true;
      let page = await ask('GET', `audit${queryOf({ ...filters, limit: PAGE, cursor })}`);
      for (let empty = 0; page.records.length === 0 && page.next !== null && empty < MAX_EMPTY; empty += 1) {
        page = await ask('GET', `audit${queryOf({ ...filters, limit: PAGE, cursor: page.next })}`);
      }
      if (mine === turn.current)
        setFound({ records: [...before, ...page.records], next: page.next, asked: true });
    });
    // What was asked meanwhile was not begun, and has other filters.
    if (ran && mine !== turn.current) await latest.current();
  };
  const anew = () => {
    setFresh(0);
    return more(undefined, []);
  };
  latest.current = anew;
  useEffect(() => void anew(), [path]);
  useLive(({ kind }) => {
    if (kind === 'decision' || kind === 'end' || kind === 'operator') setFresh((count) => count + 1);
  });
  return html`<h1>Audit</h1>
    <${Filters} key=${path} filters=${filters} />
    <${Trouble} error=${error} />
    <p class="row"><${Act} busy=${busy} onClick=${anew}>Search again</${Act}> <span class="help">${fresh === 0 ? 'Newest first.' : `${fresh} written since.`}</span></p>
    ${
      found.records.length === 0
        ? html`<${Empty}>${!found.asked ? 'One moment…' : found.next === null ? 'No record fits.' : 'No record fits so far; there are older ones to look at.'}</${Empty}>`
        : html`<ol class="records">${found.records.map((record) => html`<${Entry} key=${keyOf(record)} record=${record} open=${linked || found.records.length === 1} />`)}</ol>`
    }
    ${found.next === null ? null : html`<p class="row"><${Act} busy=${busy} onClick=${() => more(found.next, found.records)}>Older records</${Act}></p>`}`;
}

/** `defaultValue`: what is typed stays when the page is drawn anew. */
function Filters({ filters }) {
  const form = useRef(null);
  const submitted = (event) => {
    event.preventDefault();
    const given = Object.entries(Object.fromEntries(new FormData(form.current))).map(([name, value]) => [
      name,
      value.trim(),
    ]);
    const moments = given.map(([name, value]) => [
      name,
      (name === 'since' || name === 'until') && value !== '' ? new Date(value).toISOString() : value,
    ]);
    go('audit', Object.fromEntries(moments));
  };
  const choose = (name, label, values) => html`<label>${label}<select name=${name}>
    ${['', ...values].map((value) => html`<option value=${value} selected=${value === (filters[name] ?? '')}>${value === '' ? 'any' : words(value)}</option>`)}</select></label>`;
  return html`<form class="filters" role="search" ref=${form} onSubmit=${submitted}>
    ${choose('kind', 'Kind', ['decision', 'end', 'operator'])}
    ${choose('verdict', 'Verdict', ['allow', 'deny', 'would_deny', 'approve'])}
    ${FIELDS.map((name) => html`<label>${NAMES[name] ?? `${name[0].toUpperCase()}${name.slice(1)}`}<input name=${name} defaultValue=${filters[name] ?? ''} maxlength="512" autocomplete="off" spellcheck="false" /></label>`)}
    ${['since', 'until'].map((name) => html`<label>${name === 'since' ? 'From' : 'To'}<input name=${name} type="datetime-local" step="any" defaultValue=${localMoment(filters[name])} /></label>`)}
    <p class="row"><button type="submit" class="act main">Search</button> <a href="#/audit">Clear</a></p>
  </form>`;
}

/** As `datetime-local` has it; empty where it is none. */
function localMoment(iso) {
  const at = Date.parse(iso ?? '');
  return Number.isNaN(at)
    ? ''
    : new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, -1);
}

function linkOf(record) {
  if (record.request_id) return linkTo('audit', { request_id: record.request_id });
  const at = Date.parse(record.at);
  return linkTo('audit', { kind: record.kind, since: record.at, until: new Date(at + 1).toISOString() });
}

function Entry({ record, open }) {
  return html`<li><details open=${open}><summary>
      <span class="when"><${Moment} at=${record.at} /></span>
      ${record.kind === 'operator' ? html`<${Deed} of=${record} />` : html`<${Call} of=${record} />`}
    </summary>
    <p class="links"><a href=${linkOf(record)}>Link to this</a>
      ${record.flow ? html`<a href=${linkTo('audit', { flow: record.flow })}>Its connection</a>` : null}
      ${
        record.host && record.group
          ? html`<a href=${linkTo('explain', { group: record.group, method: record.stage === 'request' ? record.method : 'CONNECT', url: urlOf(record) })}>Explain</a>
        <a href=${linkTo('propose', { group: record.group, host: record.host })}>Propose a rule</a>`
          : null
      }</p>
    <pre><bdi>${visible(JSON.stringify(record, null, 2), true)}</bdi></pre></details></li>`;
}

function urlOf({ host, port, path, stage }) {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${port === 80 ? 'http' : 'https'}://${name}${port === 443 || port === 80 || port === null ? '' : `:${port}`}${stage === 'request' ? (path ?? '/') : '/'}`;
}

function Deed({ of }) {
  return html`<span class="tag">operator</span> <${Said} text=${of.operator} max=${40} /> <${Said} text=${of.action} max=${40} code />
    ${of.group === null ? null : html`<${Said} text=${of.group === '*' ? 'all groups' : of.group} max=${40} />`} ${of.why === null ? null : html`<${Said} text=${of.why} max=${80} />`}`;
}

function Call({ of }) {
  const target = `${of.method ?? ''} ${of.host ?? ''}${of.stage === 'request' ? (of.path ?? '') : ''}`.trim();
  return html`${of.kind === 'end' ? html`<span class="tag">end: ${words(of.ended)}</span>` : html`<${Verdict} of=${of.verdict} />`}
    <${Said} text=${of.group ?? 'nobody known'} max=${40} /> <${Said} text=${target === '' ? 'no target' : target} max=${100} code />
    <${Reason} code=${of.reason} />`;
}
