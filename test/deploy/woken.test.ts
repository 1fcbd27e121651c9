/** Who is told of an alert: a proxy, Prometheus and Alertmanager as they are shipped, up to the webhook of the people. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loose, readCompose, texts } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';
import { describeWith } from '../helpers/programs.ts';
import { httpUpstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { drivenProxy } from './driven-proxy.ts';
import { ask, startAlertmanager, startPrometheus } from './prometheus.ts';

describeWith(['prometheus', 'prometheus-alertmanager', 'amtool'], 'alerts', () => {
  it('come by settings that Alertmanager takes, at the addresses that the compose file has', () => {
    const file = path.join(ROOT, 'deploy/prometheus/alertmanager.yaml');
    expect(spawnSync('amtool', ['check-config', file], { encoding: 'utf8' })).toMatchObject({ status: 0 });
    const { services, raw } = readCompose('compose.alertmanager.yaml');
    const alertmanager = loose(services.get('alertmanager')?.raw);
    expect(texts(alertmanager['command'])).toContain('--config.file=/etc/alertmanager/alertmanager.yaml');
    expect(texts(alertmanager['secrets'])).toEqual(Object.keys(loose(raw['secrets'])));
    expect(texts(services.get('prometheus')?.raw['volumes'])).toEqual([
      './alertmanager:/etc/alertmanager-targets:ro',
    ]);
  });

  it('reach the webhook of the people when a sandbox sends a real key', async () => {
    const webhook = await httpUpstream();
    onTestFinished(() => webhook.close());
    const driven = await drivenProxy();
    onTestFinished(() => driven.stop());
    const alertmanager = await startAlertmanager(`http://127.0.0.1:${webhook.port}/hook`);
    onTestFinished(() => alertmanager.stop());
    const address = new URL(alertmanager.url).host;
    const prometheus = await startPrometheus(driven.target, 1, address);
    onTestFinished(() => prometheus.stop());
    // An increase is one over what was there before.
    await eventually(
      async () => (await ask(prometheus.url, 'sallyport_placeholder_misuse_total')).at(0),
      30_000,
    );
    await driven.drive();
    const told = await eventually(
      () => webhook.seen.find(({ body }) => body.includes('SallyportKeyLeak'))?.body.toString(),
      60_000,
    );
    expect(told).toContain('FIRING critical: SallyportKeyLeak');
    expect(told).toContain('A real key was about to leave a sandbox of agents');
    expect(told).toContain('deploy/runbooks/key-leak.md');
    expect(told).not.toContain('sk-proj-');
  }, 120_000);
});
