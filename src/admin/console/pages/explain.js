/** Paste a URL: would it be let through, by which rule, and why not by the others. */
import { ask } from '../api.js';
import { go, linkTo } from '../route.js';
import { words } from '../text.js';
import {
  Empty,
  html,
  Reason,
  Said,
  Table,
  Trouble,
  useAnswer,
  useEffect,
  useRef,
  useState,
  useWork,
  Verdict,
} from '../ui.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT'];

export function Explain({ query }) {
  const groups = useAnswer('groups');
  const names = (groups.value?.groups ?? []).map(({ group }) => group);
  const [answer, setAnswer] = useState(null);
  const { busy, error, run } = useWork();
  const form = useRef(null);
  const { url = '', group = '', identity = '', from = '', method = 'GET' } = query;
  const complete = url !== '' && [group, identity, from].some((who) => who !== '');
  useEffect(() => {
    setAnswer(null);
    if (!complete) return;
    const who = identity !== '' ? { identity } : from !== '' ? { from } : { group };
    void run(async () => setAnswer(await ask('POST', 'explain', { ...who, method, url })));
  }, [url, group, identity, from, method]);
  const submitted = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form.current));
    const whole = given.url.trim();
    const { kind, who } = given;
    go('explain', {
      [kind]: who.trim(),
      method: given.method,
      url: /^[a-z]+:\/\//i.test(whole) ? whole : `https://${whole}`,
    });
  };
  // Below, `defaultValue`: what is typed stays when the page is drawn anew.
  const kind = identity !== '' ? 'identity' : from !== '' ? 'from' : 'group';
  return html`<h1>Explain</h1>
    <form class="filters" ref=${form} onSubmit=${submitted} key=${JSON.stringify([kind, query[kind], url, method])}>
      <label>Who <select name="kind">${[
        ['group', 'a group'],
        ['identity', 'a token id'],
        ['from', 'an address'],
      ].map(
        ([value, text]) => html`<option value=${value} selected=${value === kind}>${text}</option>`,
      )}</select></label>
      <label>Which <input name="who" list="groups" required defaultValue=${query[kind] || (names.length === 1 ? names[0] : '')} autocomplete="off" spellcheck="false" /></label>
      <datalist id="groups">${names.map((name) => html`<option value=${name} />`)}</datalist>
      <label>Method <select name="method">${[...new Set([...METHODS, method])].map((value) => html`<option selected=${value === method}>${value}</option>`)}</select></label>
      <label class="wide">URL <input name="url" required defaultValue=${url} placeholder="https://api.example.com/v1/things" autocomplete="off" spellcheck="false" maxlength="16000" /></label>
      <p class="row"><button type="submit" class="act main" disabled=${busy}>Explain</button></p>
    </form>
    <${Trouble} error=${error ?? groups.error} />
    ${answer === null ? (complete ? null : html`<${Empty}>Say who asks and for what: nothing is sent anywhere, the policy in force answers.</${Empty}>`) : html`<${Answer} of=${answer} />`}`;
}

function Answer({ of }) {
  const { rule } = of;
  return html`<section class="card" aria-live="polite"><h2><${Verdict} of=${of.verdict} /> <${Reason} code=${of.reason} /></h2>
    <p>${rule === null ? 'No rule fits, and what no rule allows is refused.' : html`The rule at <${Said} text=${`${rule.file}:${rule.line}`} max=${120} code /> decides: <${Said} text=${rule.text} max=${300} code />`}</p>
    ${of.detail === null ? null : html`<p>The agent is told: <${Said} text=${of.detail} max=${300} /></p>`}
    <dl class="facts slim"><div><dt>Group</dt><dd><${Said} text=${of.group} max=${60} /></dd></div>
      <div><dt>Decided at</dt><dd>${of.stage === 'connect' ? 'the connection' : 'each request'}</dd></div>
      <div><dt>How it goes on</dt><dd>${of.treat === null ? 'it does not' : words(of.treat)}</dd></div>
      <div><dt>Keys put in</dt><dd>${of.keys.length === 0 ? 'none' : html`<${Said} text=${of.keys.join(', ')} max=${200} />`}</dd></div></dl>
    <${Table} label="Rules" heads=${['Rule', 'Where', 'Fits', 'Why']}>${of.rules.map(
      (one) => html`<tr class=${isSame(one, rule) ? 'decides' : ''}>
      <td><${Said} text=${one.text} max=${200} code />${one.guardrail ? html` <span class="tag">guardrail</span>` : null}</td>
      <td><${Said} text=${`${one.file}:${one.line}`} max=${80} code /></td><td>${one.matched ? 'yes' : 'no'}</td><td><${Said} text=${one.why} max=${200} /></td></tr>`,
    )}</${Table}>
    ${of.verdict === 'deny' && of.group !== null ? html`<p class="links"><a href=${linkTo('groups')}>Groups</a></p>` : null}</section>`;
}

function isSame(one, rule) {
  return rule !== null && one.file === rule.file && one.line === rule.line && one.text === rule.text;
}
