/**
 * Calls that wait for a person, decided in place. An entry that is over stays where it was for some seconds: what
 * somebody is about to press must not become another call.
 */
import { ask } from '../api.js';
import { linkTo } from '../route.js';
import { spanText } from '../text.js';
import {
  Act,
  Empty,
  html,
  Moment,
  Said,
  Table,
  Trouble,
  useAnswer,
  useEffect,
  useRef,
  useShortcuts,
  useState,
  useWork,
  whyNot,
} from '../ui.js';
import { HeldCall } from './held-call.js';

const STAYS_MS = 8_000;

/** What is shown: the calls of before in their order, those that are over marked, then new ones. */
function merged(old, calls, now) {
  const left = new Map(calls.map((call) => [call.id, call]));
  const kept = old.flatMap((one) => {
    const call = left.get(one.call.id);
    left.delete(one.call.id);
    if (call !== undefined) return [{ ...one, call }];
    const overAt = one.overAt ?? now;
    return now - overAt > STAYS_MS ? [] : [{ ...one, overAt }];
  });
  return [...kept, ...[...left.values()].map((call) => ({ call, overAt: null, said: null }))];
}

export function Approvals({ me }) {
  const { value, error, reload } = useAnswer('approvals', {
    everyMs: 5_000,
    again: ({ kind }) => kind === 'state',
  });
  const [entries, setEntries] = useState([]);
  const [current, setCurrent] = useState(null);
  const [choice, setChoice] = useState(null);
  const list = useRef(null);
  useEffect(() => {
    if (value === null) return undefined;
    const update = () => setEntries((old) => merged(old, value.approvals, Date.now()));
    update();
    const timer = setInterval(update, 1_000);
    return () => clearInterval(timer);
  }, [value]);
  const why = whyNot(me, 'approver');
  const at = entries.findIndex(({ call }) => call.id === current);
  const move = (step) => {
    const next = entries[Math.max(0, Math.min(entries.length - 1, at + step))];
    if (next === undefined) return;
    setCurrent(next.call.id);
    setChoice(null);
    list.current?.querySelector(`[data-id="${next.call.id}"]`)?.focus();
  };
  const choose = (what) => {
    if (at !== -1 && why === null && entries[at].overAt === null) setChoice(what);
  };
  useShortcuts({ j: () => move(1), k: () => move(-1), a: () => choose('allow'), d: () => choose('deny') });
  const decided = (id, said) => {
    setEntries((old) => old.map((one) => (one.call.id === id ? { ...one, overAt: Date.now(), said } : one)));
    setChoice(null);
    void reload();
  };
  const remembered = value?.remembered ?? [];
  return html`<h1>Approvals</h1>
    <${Trouble} error=${error} />
    ${why === null ? null : html`<p class="help">You see what waits. ${why}</p>`}
    ${
      value === null && error === null
        ? html`<p class="empty">One moment…</p>`
        : entries.length === 0
          ? html`<${Empty}>Nothing waits for a person now. Calls appear here by themselves.</${Empty}>`
          : html`<ul class="calls" ref=${list}>${entries.map(
              ({ call, overAt, said }) => html`<${HeldCall} key=${call.id}
          call=${call} over=${overAt !== null} said=${said} why=${why} current=${call.id === current}
          choice=${call.id === current ? choice : null}
          onChoose=${(what) => {
            setCurrent(call.id);
            setChoice(what);
          }} onDecided=${(words) => decided(call.id, words)} />`,
            )}</ul>`
    }
    <h2>Remembered</h2>
    <${Remembered} of=${remembered} why=${why} onChange=${reload} />`;
}

function Remembered({ of, why, onChange }) {
  const { busy, error, run } = useWork();
  if (of.length === 0) return html`<${Empty}>No earlier yes holds now.</${Empty}>`;
  const takeBack = (id) =>
    run(async () => {
      await ask('DELETE', `approvals/${encodeURIComponent(id)}`);
      await onChange();
    });
  return html`<${Trouble} error=${error} />
    <${Table} label="Remembered" heads=${['What', 'Group', 'By', 'Until', '']}>${of.map(
      (
        one,
      ) => html`<tr key=${one.id}><td><${Said} text=${one.what} max=${120} code /></td><td><${Said} text=${one.group} max=${40} /></td>
        <td><${Said} text=${one.by} max=${40} /></td><td><${Moment} at=${one.until} /> <span class="help">(${spanText(Date.parse(one.until) - Date.now())} left)</span></td>
        <td class="links"><a href=${linkTo('audit', { text: one.id })}>Records</a>
          <${Act} why=${why} busy=${busy} onClick=${() => takeBack(one.id)}>Take back</${Act}></td></tr>`,
    )}</${Table}>`;
}
