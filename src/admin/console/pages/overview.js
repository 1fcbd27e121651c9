/** What is blocked now, by whom and why; how much passes; and how the proxy itself is. */
import { queryOf } from '../api.js';
import { Bars, barsOf } from '../chart.js';
import { linkTo } from '../route.js';
import { keyOf, spanText } from '../text.js';
import {
  Empty,
  html,
  Moment,
  Reason,
  Said,
  Table,
  Trouble,
  useAnswer,
  useEffect,
  useLive,
  useRef,
  useState,
  Verdict,
} from '../ui.js';

const SPAN_MS = 15_000;
const BARS = 60;
const MAX_KEPT = 2_000;
const DRAW_MS = 500;
const MAX_SHOWN = 12;

export function Overview() {
  const status = useAnswer('status', { everyMs: 10_000, again: ({ kind }) => kind === 'state' });
  const blocked = useAnswer('blocked?limit=20', { again: isRefusal });
  return html`<h1>Overview</h1>
    <${Trouble} error=${status.error ?? blocked.error} />
    <${Health} status=${status.value} />
    <${Traffic} />
    <h2>Blocked hosts</h2>
    <${Blocked} of=${blocked.value?.blocked ?? null} />`;
}

function isRefusal({ kind, data }) {
  return kind === 'decision' && (data.verdict === 'deny' || data.verdict === 'would_deny');
}

function Health({ status }) {
  if (status === null) return html`<p class="empty">One moment…</p>`;
  const { workers = [] } = status;
  const facts = [
    ['Takes requests', status.ready ? 'yes' : 'no', status.ready ? 'good' : 'bad'],
    [
      'Record',
      status.audit.healthy ? 'is written' : 'cannot be written',
      status.audit.healthy ? 'good' : 'bad',
    ],
    ['Open connections', status.open_connections, ''],
    ['Groups', status.groups, ''],
    ['Up for', spanText(status.uptime_seconds * 1000), ''],
    ['Version', status.version, ''],
  ];
  if (workers.length > 0)
    facts.push([
      'Processes ready',
      `${workers.filter(({ ready }) => ready).length} of ${workers.length}`,
      '',
    ]);
  return html`<dl class="facts">${facts.map(([name, value, kind]) => html`<div class=${kind}><dt>${name}</dt><dd>${value}</dd></div>`)}
    <div><dt>Policy</dt><dd>${status.policy === null ? 'none' : html`<code title=${status.policy}>${status.policy.slice(0, 12)}</code>`}</dd></div></dl>`;
}

/** The last quarter of an hour, told on by the live stream. */
function Traffic() {
  const [since] = useState(() => new Date(Date.now() - SPAN_MS * BARS).toISOString());
  const before = useAnswer(`audit${queryOf({ kind: 'decision', since, limit: 1000 })}`);
  const [fresh, setFresh] = useState([]);
  const [now, setNow] = useState(Date.now());
  // A flood of events must not become a flood of drawings.
  const coming = useRef([]);
  useLive(({ kind, data }) => {
    if (kind === 'decision' && coming.current.length < MAX_KEPT) coming.current.push(data);
  });
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now());
      const came = coming.current.reverse();
      coming.current = [];
      if (came.length > 0) setFresh((kept) => [...came, ...kept].slice(0, MAX_KEPT));
    }, DRAW_MS);
    return () => clearInterval(timer);
  }, []);
  const old = before.value?.records ?? [];
  const seen = new Set(fresh.map(keyOf));
  const records = [...fresh, ...old.filter((record) => !seen.has(keyOf(record)))];
  const bars = barsOf(records, { now: Math.max(now, Date.now()), spanMs: SPAN_MS, count: BARS });
  const sum = (name) => bars.reduce((all, bar) => all + bar[name], 0);
  const label = `The last 15 minutes: ${sum('allowed')} allowed, ${sum('refused')} refused`;
  const refused = records
    .filter(({ verdict }) => verdict === 'deny' || verdict === 'would_deny')
    .slice(0, MAX_SHOWN);
  const cut = before.value !== null && before.value.next !== null && old.length >= 1000;
  return html`<section aria-labelledby="traffic"><h2 id="traffic">The last 15 minutes</h2>
    <p class="legend"><span class="key ok"></span>${sum('allowed')} allowed <span class="key no"></span>${sum('refused')} refused${cut ? '; older ones than the last 1000 are not drawn' : ''}</p>
    <${Bars} bars=${bars} label=${label} />
    <p class="scale"><span>15 minutes ago</span><span>at most ${Math.max(...bars.map(({ allowed, refused }) => allowed + refused))} in 15 s</span><span>now</span></p>
    <h2>Just refused</h2>
    ${
      refused.length === 0
        ? html`<${Empty}>Nothing was refused in the last 15 minutes.</${Empty}>`
        : html`<${Table} label="Just refused" heads=${['When', 'Group', 'Asked for', 'Why', '']}>${refused.map(
            (record) => html`<tr key=${keyOf(record)}><td><${Moment} at=${record.at} /></td>
            <td><${Said} text=${record.group} max=${40} /></td>
            <td><${Said} text=${`${record.method ?? ''} ${record.host ?? ''}${record.stage === 'request' ? (record.path ?? '') : ''}`.trim()} max=${80} code /></td>
            <td>${record.verdict === 'would_deny' ? html`<${Verdict} of="would_deny" /> ` : null}<${Reason} code=${record.reason} /></td>
            <td class="links"><a href=${linkTo('audit', { request_id: record.request_id })}>Record</a></td></tr>`,
          )}</${Table}>`
    }
  </section>`;
}

function Blocked({ of }) {
  if (of === null) return html`<p class="empty">One moment…</p>`;
  if (of.length === 0) return html`<${Empty}>No host was refused since the proxy started.</${Empty}>`;
  return html`<${Table} label="Blocked hosts" heads=${['Host', 'Group', 'Why', 'Times', 'Last', '']}>${of.map(
    ({ group, host, reason, count, last }) => html`<tr key=${`${group} ${host} ${reason}`}>
      <td><${Said} text=${host} max=${80} code /></td><td><${Said} text=${group} max=${40} /></td>
      <td><${Reason} code=${reason} /></td><td class="number">${count}</td><td><${Moment} at=${last} /></td>
      <td class="links"><a href=${linkTo('audit', { group, host, reason })}>Records</a>
        <a href=${linkTo('explain', { group, url: `https://${host}/` })}>Explain</a>
        <a href=${linkTo('propose', { group, host })}>Propose a rule</a></td></tr>`,
  )}</${Table}>`;
}
