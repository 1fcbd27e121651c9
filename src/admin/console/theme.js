/** Light or dark: as the system says, until the reader chooses. Kept in this browser. */
const PLACE = 'sallyport.theme';
const CHOICES = ['system', 'light', 'dark'];

export function theme() {
  const kept = localStorage.getItem(PLACE);
  return CHOICES.includes(kept) ? kept : 'system';
}

export function startTheme() {
  show(theme());
}

/** The choice after this one, put into force. */
export function nextTheme() {
  const next = CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length];
  localStorage.setItem(PLACE, next);
  show(next);
  return next;
}

function show(choice) {
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}
