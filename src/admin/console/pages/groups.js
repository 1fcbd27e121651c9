/** The groups of the policy in force: who belongs to them, their rules in words, their keys and their tokens. */
import { ask } from '../api.js';
import { linkTo } from '../route.js';
import { bytesText } from '../text.js';
import {
  Act,
  Empty,
  html,
  Said,
  Table,
  Trouble,
  useAnswer,
  useEffect,
  useState,
  useWork,
  whyNot,
} from '../ui.js';
import { Tokens } from './tokens.js';

export function Groups({ me }) {
  const again = ({ kind }) => kind === 'state' || kind === 'operator';
  const groups = useAnswer('groups', { everyMs: 15_000, again });
  const tokens = useAnswer('tokens', { again });
  const { busy, error, run } = useWork();
  const [done, setDone] = useState(null);
  const reloadPolicy = () =>
    run(async () => {
      setDone(null);
      const { policy } = await ask('POST', 'reload');
      setDone(`The policy files are in force as ${policy.slice(0, 12)}.`);
      await groups.reload();
    });
  const list = groups.value?.groups ?? [];
  return html`<h1>Groups</h1>
    <p class="row"><${Act} why=${whyNot(me, 'admin')} busy=${busy} onClick=${reloadPolicy}>Load the policy files</${Act}> <span role="status">${done}</span></p>
    <${Trouble} error=${groups.error ?? tokens.error ?? error} />
    <${Problems} of=${error?.body?.problems ?? []} />
    ${
      groups.value === null
        ? html`<p class="empty">One moment…</p>`
        : list.length === 0
          ? html`<${Empty}>The policy in force has no group, so nobody gets anywhere.</${Empty}>`
          : list.map(
              (group) => html`<${Group} key=${group.group} me=${me} group=${group}
          tokens=${(tokens.value?.tokens ?? []).filter((token) => token.group === group.group)} onTokens=${tokens.reload} />`,
            )
    }`;
}

function Problems({ of }) {
  return of.length === 0
    ? null
    : html`<ul class="trouble">${of.map((one) => html`<li><${Said} text=${`${one.file}:${one.line}: ${one.message}`} max=${300} /></li>`)}</ul>`;
}

function Group({ me, group, tokens, onTokens }) {
  const { keys, limits } = group;
  const used = Object.entries(limits).filter(([, value]) => value !== null);
  const names = `${keys.usable} of ${keys.total}`;
  return html`<section class="card" aria-label=${`Group ${group.group.slice(0, 60)}`}>
    <h2><${Said} text=${group.group} max=${60} /> ${group.mode === 'monitor' ? html`<span class="tag warn">monitor: nothing is refused</span>` : null}</h2>
    ${group.description === null ? null : html`<p><${Said} text=${group.description} max=${300} /></p>`}
    <dl class="facts slim">
      <div><dt>Addresses</dt><dd>${group.sources.length === 0 ? 'by token alone' : html`<${Said} text=${group.sources.join(', ')} max=${120} />`}</dd></div>
      <div><dt>Token</dt><dd>${group.token}</dd></div>
      <div><dt>Keys</dt><dd><strong>${names}</strong> ${keys.names.length === 0 ? null : html`<span class="help"><${Said} text=${keys.names.join(', ')} max=${200} /></span>`}</dd></div>
      <div><dt>Open connections</dt><dd>${group.open_connections}</dd></div>
      ${used.map(([name, { limit, used: now }]) => html`<div><dt>Limit: ${name}</dt><dd>${name === 'upload' || name === 'download' ? bytesText(now) : now} of ${limit}</dd></div>`)}
      <div><dt>File</dt><dd><${Said} text=${group.file} max=${80} code /></dd></div>
    </dl>
    <p class="links"><a href=${linkTo('audit', { group: group.group })}>Records</a> <a href=${linkTo('explain', { group: group.group })}>Explain</a>
      <a href=${linkTo('lockdown', { group: group.group })}>Lock down</a></p>
    <${Rules} group=${group.group} count=${group.rules} />
    <${Tokens} me=${me} group=${group.group} tokens=${tokens} onChange=${onTokens} />
  </section>`;
}

/** The rules as the policy has them, in their order: what `explain` says of any request. */
function Rules({ group, count }) {
  const [open, setOpen] = useState(false);
  const [rules, setRules] = useState(null);
  const { error, run } = useWork();
  useEffect(() => {
    if (open)
      void run(async () =>
        setRules(
          (await ask('POST', 'explain', { group, method: 'CONNECT', url: 'https://sallyport.invalid/' }))
            .rules,
        ),
      );
  }, [open]);
  return html`<details onToggle=${({ target }) => setOpen(target.open)}><summary>${count} ${count === 1 ? 'rule' : 'rules'}, the first that fits decides</summary>
    <${Trouble} error=${error} />
    ${
      rules === null
        ? null
        : html`<${Table} label=${`Rules of ${group}`} heads=${['Rule', 'Where']}>${rules.map(
            (
              rule,
            ) => html`<tr><td><${Said} text=${rule.text} max=${300} code />${rule.guardrail ? html` <span class="tag">guardrail</span>` : null}</td>
        <td><${Said} text=${`${rule.file}:${rule.line}`} max=${80} code /></td></tr>`,
          )}</${Table}><p class="help">Everything else is refused.</p>`
    }</details>`;
}
