/** Who is asking: an operator's token, checked by the API before anything is shown. */
import { ask, keepToken } from '../api.js';
import { html, Trouble, useEffect, useRef, useState, useWork } from '../ui.js';

/** `stored`: a token is kept from before, and tried at once. */
export function Login({ why, stored, onKnown, onForget }) {
  const { busy, error, run } = useWork();
  const [trying, setTrying] = useState(stored);
  const field = useRef(null);
  const enter = () => run(async () => onKnown(await ask('GET', 'me')));
  useEffect(() => {
    if (stored) void enter().finally(() => setTrying(false));
  }, []);
  useEffect(() => field.current?.focus(), [trying]);
  const submitted = async (event) => {
    event.preventDefault();
    const token = field.current.value.trim();
    if (token === '') return;
    keepToken(token);
    if (!(await enter())) onForget();
  };
  if (trying) return html`<main class="alone"><p>One moment…</p></main>`;
  return html`<main class="alone"><h1>Sallyport</h1>
    <p>What the sandboxes may reach, what they tried, and the switch that stops them.</p>
    ${why === null || error !== null ? null : html`<p class="notice" role="status">${why}</p>`}
    <form onSubmit=${submitted}>
      <label for="token">Your operator token</label>
      <input id="token" ref=${field} type="password" autocomplete="off" spellcheck="false" required
        aria-describedby="token-help" aria-invalid=${error !== null} />
      <p id="token-help" class="help">An admin makes one with <code>sallyport operator add</code>; the built-in admin's is in <code>.sallyport/admin.token</code>. It is kept in this tab alone, until you log out or close it.</p>
      <${Trouble} error=${error} />
      <button type="submit" class="act main" disabled=${busy}>Log in</button>
    </form></main>`;
}
