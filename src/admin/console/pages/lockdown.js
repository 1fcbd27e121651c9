/** The switch that stops everything: thrown by approvers with a typed word, let go by admins. */
import { ask } from '../api.js';
import { linkTo } from '../route.js';
import { Act, Empty, html, Moment, Said, Trouble, useAnswer, useState, useWork, whyNot } from '../ui.js';

const ALL = '*';

export function Lockdown({ me, query }) {
  const locks = useAnswer('lockdown', { everyMs: 10_000, again: ({ kind }) => kind === 'state' });
  const groups = useAnswer('groups');
  const names = (groups.value?.groups ?? []).map(({ group }) => group);
  const list = locks.value?.locks ?? [];
  return html`<h1>Lockdown</h1>
    <p>It ends every tunnel, stream and held request within a second and refuses new ones, until it is let go. It survives a restart.</p>
    <${Trouble} error=${locks.error ?? groups.error} />
    <h2>In force</h2>
    ${
      locks.value === null
        ? html`<p class="empty">One moment…</p>`
        : list.length === 0
          ? html`<${Empty}>Nobody is locked down.</${Empty}>`
          : list.map(
              (lock) => html`<${Lock} key=${lock.group} lock=${lock} me=${me} onChange=${locks.reload} />`,
            )
    }
    <h2>Lock down</h2>
    <${Switch} key=${query.group ?? ALL} me=${me} names=${names} first=${query.group ?? ALL} onChange=${locks.reload} />`;
}

function nameOf(group) {
  return group === ALL ? 'all' : group;
}

function Lock({ lock, me, onChange }) {
  const { busy, error, run } = useWork();
  const [reason, setReason] = useState('');
  const why = whyNot(me, 'admin');
  const letGo = (event) => {
    event.preventDefault();
    if (why !== null) return;
    void run(async () => {
      await ask('PUT', 'lockdown', { on: false, group: lock.group, reason: reason.trim() });
      await onChange();
    });
  };
  return html`<div class="card bad"><p><strong>${lock.group === ALL ? 'All groups' : html`<${Said} text=${lock.group} max=${60} />`}</strong> since <${Moment} at=${lock.since} />,
      by <${Said} text=${lock.by} max=${60} />: <${Said} text=${lock.reason} max=${300} />. <a href=${linkTo('audit', { kind: 'operator', text: 'lockdown.' })}>Records</a></p>
    <${Trouble} error=${error} />
    <form class="filters" onSubmit=${letGo}><label>Why it may end <input required maxlength="300" value=${reason} onInput=${({ target }) => setReason(target.value)} autocomplete="off" /></label>
      <${Act} type="submit" why=${why} busy=${busy}>Let go</${Act}></form></div>`;
}

function Switch({ me, names, first, onChange }) {
  const { busy, error, run } = useWork();
  const [group, setGroup] = useState(first);
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const role = whyNot(me, 'approver');
  const why = role ?? (typed === nameOf(group) ? null : `Type ${nameOf(group)} first.`);
  const lock = (event) => {
    event.preventDefault();
    if (why !== null) return;
    void run(async () => {
      await ask('PUT', 'lockdown', { on: true, group, reason: reason.trim() });
      setTyped('');
      setReason('');
      await onChange();
    });
  };
  return html`<form class="card" onSubmit=${lock}>
    <div class="filters">
      <label>Whom <select value=${group} onChange=${({ target }) => setGroup(target.value)}>
        ${[...new Set([ALL, ...names, first])].map((name) => html`<option value=${name} selected=${name === group}>${name === ALL ? 'all groups' : name}</option>`)}</select></label>
      <label class="wide">Why <input required maxlength="300" value=${reason} onInput=${({ target }) => setReason(target.value)} autocomplete="off" /></label>
      <label><span>Type <code>${nameOf(group)}</code> to confirm</span> <input required value=${typed} onInput=${({ target }) => setTyped(target.value)} autocomplete="off" spellcheck="false" /></label>
    </div>
    <${Trouble} error=${error} />
    <p class="row"><${Act} type="submit" kind="danger" why=${why} busy=${busy}>Lock down</${Act}></p>
  </form>`;
}
