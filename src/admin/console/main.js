/** The console: who is here, what is shown, and the frame around it. `pages/` has one file for each page. */
import { endSession, forgetToken, onSessionOver, storedToken } from './api.js';
import { Frame } from './frame.js';
import { Login } from './pages/login.js';
import { startTheme } from './theme.js';
import { html, render, useEffect, useState } from './ui.js';

function Console() {
  const [me, setMe] = useState(null);
  const [why, setWhy] = useState(null);
  useEffect(
    () =>
      onSessionOver((words) => {
        setWhy(words);
        setMe(null);
      }),
    [],
  );
  if (me === null) {
    const known = (who) => {
      setWhy(null);
      setMe(who);
    };
    return html`<${Login} why=${why} stored=${storedToken() !== null} onKnown=${known} onForget=${forgetToken} />`;
  }
  return html`<${Frame} me=${me} onLeave=${() => endSession('You are logged out.')} />`;
}

startTheme();
render(html`<${Console} />`, document.getElementById('app'));
