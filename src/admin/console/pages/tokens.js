/** The tokens of a group's sandboxes: made (shown once) and revoked. */
import { ask } from '../api.js';
import { Act, html, Moment, Said, Table, Trouble, useRef, useState, useWork, whyNot } from '../ui.js';

export function Tokens({ me, group, tokens, onChange }) {
  const { busy, error, run } = useWork();
  const [made, setMade] = useState(null);
  const [sure, setSure] = useState(null);
  const form = useRef(null);
  const why = whyNot(me, 'admin');
  const valid = tokens.filter(isValid).length;
  const create = (event) => {
    event.preventDefault();
    const { name, expires } = Object.fromEntries(new FormData(form.current));
    void run(async () => {
      const more = {
        ...(name.trim() === '' ? {} : { name: name.trim() }),
        ...(expires.trim() === '' ? {} : { expires: expires.trim() }),
      };
      setMade(await ask('POST', 'tokens', { group, ...more }));
      form.current?.reset();
      await onChange();
    });
  };
  const revoke = (id) =>
    run(async () => {
      await ask('DELETE', `tokens/${encodeURIComponent(id)}`);
      setSure(null);
      await onChange();
    });
  return html`<details><summary>${valid} ${valid === 1 ? 'token holds' : 'tokens hold'}${tokens.length > valid ? `, ${tokens.length - valid} do not any more` : ''}</summary>
    <${Trouble} error=${error} />
    ${
      made === null
        ? null
        : html`<div class="notice" role="status"><p>The new token, shown this once. Who has it is this group.</p>
      <p><code class="secret">${made.token}</code></p><${Act} onClick=${() => setMade(null)}>I have it</${Act}></div>`
    }
    ${
      tokens.length === 0
        ? html`<p class="help">None was made.</p>`
        : html`<${Table} label=${`Tokens of ${group}`} heads=${['Name', 'Id', 'Made', 'Expires', 'Last used', '']}>${tokens.map(
            (
              token,
            ) => html`<tr key=${token.id} class=${isValid(token) ? '' : 'over'}><td><${Said} text=${token.name} max=${60} /></td><td><${Said} text=${token.id} max=${40} code /></td>
        <td><${Moment} at=${token.created} /></td><td><${Moment} at=${token.expires} /></td><td><${Moment} at=${token.last_used} /></td>
        <td class="links">${
          token.revoked !== null
            ? html`revoked <${Moment} at=${token.revoked} />`
            : sure === token.id
              ? html`<${Act} kind="danger" busy=${busy} onClick=${() => revoke(token.id)}>Revoke for good</${Act}> <${Act} onClick=${() => setSure(null)}>Keep</${Act}>`
              : html`<${Act} why=${why} onClick=${() => setSure(token.id)}>Revoke…</${Act}>`
        }</td></tr>`,
          )}</${Table}>`
    }
    <form class="filters" ref=${form} onSubmit=${create}>
      <label>Name of a new one <input name="name" maxlength="128" autocomplete="off" /></label>
      <label>Holds for <input name="expires" placeholder="30d" pattern="[0-9]+(ms|s|m|h|d)" autocomplete="off" title="For example 30d or 12h; empty: until revoked" /></label>
      <${Act} type="submit" why=${why} busy=${busy}>Make a token</${Act}>
    </form></details>`;
}

function isValid({ revoked, expires }) {
  return revoked === null && (expires === null || Date.parse(expires) > Date.now());
}
