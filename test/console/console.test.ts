/** The console in Debian's Chromium, in a network namespace: what an operator does with it, and what a browser says of it. */
import { beforeAll, expect, it } from 'vitest';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { describeWith } from '../helpers/programs.ts';
import type { ConsoleReport } from './drive/console.ts';

const DRIVER = new URL('./drive/console.ts', import.meta.url);
const LIMIT_MS = 300_000;

describeWith(['chromium', 'curl'], 'the console', () => {
  describeInNamespace('in Chromium', () => {
    let report: ConsoleReport;

    beforeAll(async () => {
      report = await driveInNamespace<ConsoleReport>(DRIVER, { limitMs: LIMIT_MS });
    }, LIMIT_MS);

    it('refuses a wrong token and says so', () => {
      expect(report.wrongToken).toBe('The token is wrong, or was revoked.');
    });

    it('shows who is logged in, and in which role', () => {
      expect(report.who).toContain('admin');
    });

    it('shows a refused call as it happens', () => {
      expect(report.refused).toContain('evil.test');
      expect(report.refused).toContain('host not allowed');
    });

    it('draws a strange host as its characters, not as markup', () => {
      expect(report.injected).toBe(0);
    });

    it('lets a held call go on after a yes by keyboard alone', () => {
      expect(report.held).toContain('POST');
      expect(report.curl).toMatch(/^200 POST \/charge/);
    });

    it('asks for a one-time code where the rule does: a wrong one decides nothing, the right one lets the call go on', () => {
      expect(report.wrongCode).toBe('The one-time code is wrong, or was used before.');
      expect(report.coded).toMatch(/^200 DELETE \/account/);
    });

    it('lets somebody in, shows their token once, and revokes it', () => {
      expect(JSON.parse(report.letIn.me)).toEqual({ name: 'olga', role: 'approver' });
      expect(report.letIn.later).toBe(false);
      expect(report.letIn.revoked).toContain('revoked');
    });

    it('cuts one connection and leaves the other', () => {
      expect(report.cut).toEqual({ cut: true, other: true });
    });

    it('finds a record by its link', () => {
      expect(report.audit).toContain('"host": "evil.test"');
    });

    it('explains a URL, with the line of the rule that decides', () => {
      expect(report.explained).toContain('agents.yaml:');
      expect(report.explained).toContain('asks a person');
    });

    it('keeps what somebody is typing while news come', () => {
      expect(report.halfTyped).toEqual({ audit: 'half', explain: 'https://half' });
    });

    it('proposes a rule as text', () => {
      expect(report.proposed).toContain('- allow: "evil.test"');
    });

    it('shows a new token once, and nowhere afterwards', () => {
      expect(report.token.length).toBeGreaterThan(20);
      expect(report.tokenLater).toBe(false);
    });

    it('locks down by a typed word: a tunnel dies and everybody sees it', () => {
      expect(report.early).toBe('true');
      expect(report.locked).toContain('Locked down for all groups');
    });

    it('shows a viewer what needs another role, with the reason', () => {
      expect(report.viewer).toContain('This needs the role approver; yours is viewer.');
    });

    it('says that it shows old things when the proxy is gone', () => {
      expect(report.lost).toContain('what you see may be old');
    });

    it('breaks no rule of its content security policy, and logs no error', () => {
      expect(report.complaints).toEqual([]);
    });

    it('has no serious fault of accessibility on any page, in either theme', () => {
      expect(report.checked).toBeGreaterThan(15);
      expect(report.faults).toEqual([]);
    });

    it('fits a screen of 360 and one of 1600 pixels', () => {
      expect(report.tooWide).toEqual([]);
    });
  });
});
