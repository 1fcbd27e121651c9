/** Looks of the review's page: the system's font, light and dark, fit for print. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --good: #2f7d4f; --bad: #b3372f; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
section { border-top: 2px solid var(--line); margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; }
th, td { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
small { font-weight: normal; opacity: 0.75; }
svg { width: 100%; height: auto; border-bottom: 1px solid var(--line); }
figure { margin: 1rem 0; }
figcaption { font-size: 0.875rem; }
.allowed { fill: var(--good); } .refused { fill: var(--bad); }
.allowed-word, .good { color: var(--good); } .refused-word, .bad { color: var(--bad); }
.good, .bad { font-weight: 600; }
@media (prefers-color-scheme: dark) { :root { --good: #6fcf97; --bad: #ff8a80; } }
`;
