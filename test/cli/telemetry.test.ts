/** OpenTelemetry: what a running proxy sends to a collector, and what a bad collector costs it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Collector, startCollector } from '../helpers/collector.ts';
import { policy } from '../helpers/scene.ts';
import { connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority } from '../helpers/world.ts';
import { installation } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

describe('telemetry', () => {
  let web: Upstream;
  let dir = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'web.test' });
    dir = mkdtempSync(join(tmpdir(), 'sallyport-otel-'));
    writeFileSync(join(dir, 'ca.pem'), upstreamAuthority().certPem);
  });
  afterAll(async () => {
    await web.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const start = async (variables: string, workers = 1): Promise<Running> => {
    const running = await startProcess({
      policies: {
        'agents.yaml': policy([`allow: "web.test:${web.port}", methods: [GET], addresses: [127.0.0.0/8]`]),
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers} }\nadmin: { listen: "127.0.0.1:0" }\ntls: { extra_ca: ["${dir}/ca.pem"] }\ndns: { hosts: { "web.test": ["127.0.0.1"] } }\n`,
      through: `export ${variables} OTEL_BSP_SCHEDULE_DELAY=50 OTEL_BLRP_SCHEDULE_DELAY=50; exec "$@"`,
    });
    onTestFinished(() => running.remove());
    return running;
  };
  const collect = async (): Promise<Collector> => {
    const collector = await startCollector();
    onTestFinished(() => collector.close());
    return collector;
  };
  const get = async (running: Running, path: string, fields = ''): Promise<number> => {
    const at = `web.test:${web.port}`;
    const ca = readFileSync(join(running.home.dir, 'certs', 'ca.pem'), 'utf8');
    const client = await connectTls(running.port, at, { ca });
    const { status } = await client.ask(`GET ${path} HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    client.destroy();
    return status;
  };

  it.each([1, 2])(
    'sends each record and each end, with %d workers, and is part of the trace of its client',
    async (workers) => {
      const collector = await collect();
      const running = await start(
        `OTEL_EXPORTER_OTLP_ENDPOINT=${collector.url}/otlp OTEL_SERVICE_NAME=way-out OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test OTEL_EXPORTER_OTLP_HEADERS=x-api-key=open-sesame`,
        workers,
      );
      expect(await get(running, '/a?token=sesame', `traceparent: 00-${TRACE}-${SPAN}-01\r\n`)).toBe(200);
      expect((await tryConnect(running.port, 'evil.test:443')).answer.status).toBe(403);
      const spans = await eventually(() => (collector.spans.length >= 3 ? collector.spans : null));
      const request = spans.find(({ name }) => name === 'GET');
      const tunnel = spans.find(
        ({ attributes }) => has(attributes, 'sallyport.treat', 'intercept') && request !== undefined,
      );
      expect(request).toMatchObject({
        traceId: TRACE,
        parentSpanId: SPAN,
        attributes: {
          'server.address': 'web.test',
          'server.port': web.port,
          'http.request.method': 'GET',
          'http.response.status_code': 200,
          'url.scheme': 'https',
          'url.path': '/a',
          'sallyport.group': 'agents',
          'sallyport.verdict': 'allow',
        },
      });
      expect(tunnel).toBeDefined();
      expect(spans.find(({ attributes }) => has(attributes, 'server.address', 'evil.test'))).toMatchObject({
        name: 'CONNECT',
        attributes: { 'error.type': 'host_not_allowed', 'sallyport.verdict': 'deny' },
      });
      // The upstream gets what the client said, as it said it.
      expect(web.seen.at(-1)?.headers['traceparent']).toBe(`00-${TRACE}-${SPAN}-01`);
      const logs = await eventually(() => (collector.logs.length >= 6 ? collector.logs : null));
      const names = logs.map(({ eventName }) => eventName);
      expect(names.filter((name) => name === 'sallyport.decision')).toHaveLength(3);
      expect(names.filter((name) => name === 'sallyport.end')).toHaveLength(3);
      expect(logs.filter(({ traceId }) => traceId === TRACE)).toHaveLength(2);
      expect(collector.resource).toMatchObject({
        'service.name': 'way-out',
        'deployment.environment.name': 'test',
      });
      expect(collector.headers.at(-1)).toMatchObject({ 'x-api-key': 'open-sesame' });
      expect([...new Set(collector.paths)].sort()).toEqual(['/otlp/v1/logs', '/otlp/v1/traces']);
      expect(running.said()).not.toContain('open-sesame');
      expect(JSON.stringify([spans, logs])).not.toContain('sesame');
      // Counted once the collector's answer is in.
      await eventually(async () => {
        const { body } = await running.admin('GET', '/metrics');
        return /sallyport_telemetry_total\{signal="traces",outcome="ok"\} [1-9]/.test(String(body));
      });
    },
  );

  it('sends at its end what was waiting, and invents no trace for an upstream', async () => {
    const collector = await collect();
    const running = await start(`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=${collector.url}/v1/traces`);
    expect(await get(running, '/late')).toBe(200);
    expect(Object.keys(web.seen.at(-1)?.headers ?? {})).not.toContain('traceparent');
    expect(await get(running, '/quiet', `traceparent: 00-${TRACE}-${SPAN}-00\r\n`)).toBe(200);
    running.child.kill('SIGTERM');
    await running.gone;
    expect(collector.spans.map(({ name }) => name)).toEqual(expect.arrayContaining(['GET', 'CONNECT']));
    expect(JSON.stringify(collector.spans)).toContain('/late');
    expect(JSON.stringify(collector.spans)).not.toContain('/quiet');
    expect(collector.logs).toEqual([]);
  });

  it.each<[string, Collector['answer']]>([
    ['is not there', 0],
    ['takes nothing', 500],
    ['never answers', 'hang'],
  ])('costs no request anything when the collector %s', async (_name, answer) => {
    const collector = await collect();
    collector.answer = answer;
    if (answer === 0) await collector.close();
    const running = await start(
      `OTEL_EXPORTER_OTLP_ENDPOINT=${collector.url} OTEL_EXPORTER_OTLP_TIMEOUT=100 OTEL_EXPORTER_OTLP_HEADERS=x-api-key=open-sesame`,
    );
    for (let n = 0; n < 5; n += 1) expect(await get(running, `/${n}`)).toBe(200);
    await eventually(async () => {
      const { body } = await running.admin('GET', '/metrics');
      return /sallyport_telemetry_total\{signal="traces",outcome="failed"\} [1-9]/.test(String(body));
    });
    running.child.kill('SIGTERM');
    await running.gone;
    expect(running.said()).not.toMatch(/exception|Unhandled|open-sesame/);
  });

  it.each([
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', /OTLP goes over HTTP here/],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote', /OTEL_TRACES_SAMPLER=jaeger_remote/],
    ['OTEL_TRACES_EXPORTER', 'zipkin', /otlp and none are known/],
  ])('refuses to start with %s=%s rather than to export otherwise', async (name, value, words) => {
    const home = installation({
      settings: 'proxy: { listen: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\n',
    });
    const { status, err } = await home.run(['start'], {
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', [name]: value },
    });
    home.remove();
    expect(status).toBe(1);
    expect(err).toMatch(words);
  });
});

function has(attributes: unknown, name: string, value: string): boolean {
  return typeof attributes === 'object' && attributes !== null && Reflect.get(attributes, name) === value;
}
