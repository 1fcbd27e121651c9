/** The people beside the built-in admin: let in (their token shown once), given a second factor, let in no more. */
import { ask } from '../api.js';
import {
  Act,
  Empty,
  html,
  Moment,
  Said,
  Table,
  Trouble,
  useAnswer,
  useRef,
  useState,
  useWork,
  whyNot,
} from '../ui.js';

export function Operators({ me }) {
  const why = whyNot(me, 'admin');
  const again = ({ kind, data }) => kind === 'operator' && String(data.action).startsWith('operator.');
  const answer = useAnswer(why === null ? 'operators' : null, { again });
  const [made, setMade] = useState(null);
  const list = answer.value?.operators ?? [];
  if (why !== null) return html`<h1>Operators</h1><${Empty}>${why}</${Empty}>`;
  return html`<h1>Operators</h1>
    <p>Who may use this page and the API, beside the built-in admin. A viewer reads; an approver also decides calls that wait, ends connections and locks down; an admin does everything.</p>
    <${Trouble} error=${answer.error} />
    ${made === null ? null : html`<${Once} made=${made} onGone=${() => setMade(null)} />`}
    ${
      answer.value === null
        ? html`<p class="empty">One moment…</p>`
        : list.length === 0
          ? html`<${Empty}>Nobody was let in yet.</${Empty}>`
          : html`<${Table} label="Operators" heads=${['Name', 'Role', 'Since', 'Second factor', '']}>${list.map(
              (one) =>
                html`<${Row} key=${one.name} me=${me} operator=${one} onMade=${setMade} onChange=${answer.reload} />`,
            )}</${Table}>`
    }
    <h2>Let somebody in</h2>
    <${NewOperator} onMade=${setMade} onChange=${answer.reload} />`;
}

/** What nobody is shown again. */
function Once({ made, onGone }) {
  return html`<div class="notice" role="status"><p>${made.what}, shown this once.</p>
    <p><code class="secret">${made.secret}</code></p><${Act} onClick=${onGone}>I have it</${Act}></div>`;
}

function Row({ operator, onMade, onChange }) {
  const { busy, error, run } = useWork();
  const [asked, setAsked] = useState(null);
  const path = `operators/${encodeURIComponent(operator.name)}`;
  const revoke = () =>
    run(async () => {
      await ask('DELETE', path);
      setAsked(null);
      await onChange();
    });
  const enrol = (event) => {
    event.preventDefault();
    const code = new FormData(event.target).get('code').trim();
    void run(async () => {
      const { uri } = await ask('POST', `${path}/totp`, { code });
      onMade({ what: `The second factor of ${operator.name}, for an authenticator`, secret: uri });
      setAsked(null);
      await onChange();
    });
  };
  return html`<tr class=${operator.revoked === null ? '' : 'over'}><td><${Said} text=${operator.name} max=${60} /></td><td>${operator.role}</td>
    <td><${Moment} at=${operator.created} /></td><td>${operator.totp ? 'yes' : 'none'}</td>
    <td class="links"><${Trouble} error=${error} />${
      operator.revoked !== null
        ? html`revoked <${Moment} at=${operator.revoked} />`
        : asked === 'revoke'
          ? html`<${Act} kind="danger" busy=${busy} onClick=${revoke}>Revoke for good</${Act}> <${Act} onClick=${() => setAsked(null)}>Keep</${Act}>`
          : asked === 'totp'
            ? html`<form class="filters" onSubmit=${enrol}><label>Your own one-time code <input name="code" inputmode="numeric" pattern="[0-9]{6,8}" required autocomplete="one-time-code" /></label>
              <${Act} type="submit" busy=${busy}>Make it</${Act}> <${Act} onClick=${() => setAsked(null)}>Back</${Act}></form>`
            : html`<${Act} onClick=${() => setAsked('totp')}>Second factor…</${Act}> <${Act} onClick=${() => setAsked('revoke')}>Revoke…</${Act}>`
    }</td></tr>`;
}

function NewOperator({ onMade, onChange }) {
  const { busy, error, run } = useWork();
  const form = useRef(null);
  const add = (event) => {
    event.preventDefault();
    const { name, role } = Object.fromEntries(new FormData(form.current));
    void run(async () => {
      const { token } = await ask('POST', 'operators', { name: name.trim(), role });
      onMade({ what: `The token of ${name.trim()}`, secret: token });
      form.current?.reset();
      await onChange();
    });
  };
  return html`<form class="filters" ref=${form} onSubmit=${add}>
      <label>Name <input name="name" required maxlength="64" pattern="[a-z0-9][a-z0-9._\\-]*" autocomplete="off" title="Up to 64 of a-z, 0-9, ., _ and -" /></label>
      <label>Role <select name="role"><option>viewer</option><option>approver</option><option>admin</option></select></label>
      <${Act} type="submit" busy=${busy}>Let in</${Act}></form>
    <${Trouble} error=${error} />
    <p class="help">A second factor is handed out by an admin who has one; the first comes from a shell: <code>sallyport operator totp NAME</code>.</p>`;
}
