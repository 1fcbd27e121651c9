/** A collector of OpenTelemetry for tests: takes OTLP over HTTP as JSON, which is what the exporters send. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenOn } from './upstream.ts';

export type Collector = {
  readonly url: string;
  /** each span or log record with its attributes flattened under `attributes` */
  readonly spans: readonly Record<string, unknown>[];
  readonly logs: readonly Record<string, unknown>[];
  /** attributes of the resource that last came */
  resource: Record<string, unknown>;
  readonly headers: readonly IncomingMessage['headers'][];
  readonly paths: readonly string[];
  /** what it answers from now on; `hang`: nothing */
  answer: number | 'hang';
  close(): Promise<void>;
};

export async function startCollector(): Promise<Collector> {
  const spans: Record<string, unknown>[] = [];
  const logs: Record<string, unknown>[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const paths: string[] = [];
  const server = createServer((request, response) => void take(request, response));
  const port = await listenOn(server);
  const collector: Collector = {
    url: `http://127.0.0.1:${port}`,
    spans,
    logs,
    headers,
    paths,
    resource: {},
    answer: 200,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.setEncoding('utf8');
    let text = '';
    for await (const piece of request) text += String(piece);
    if (collector.answer === 'hang') return;
    if (collector.answer === 200) {
      headers.push(request.headers);
      paths.push(request.url ?? '');
      const body: unknown = JSON.parse(text);
      for (const group of listOf(body, 'resourceSpans', 'resourceLogs')) {
        collector.resource = attributesOf(at(group, 'resource'));
        for (const scope of listOf(group, 'scopeSpans', 'scopeLogs')) {
          for (const one of listOf(scope, 'spans')) spans.push(flat(one));
          for (const one of listOf(scope, 'logRecords')) logs.push(flat(one));
        }
      }
    }
    response.writeHead(collector.answer, { 'content-type': 'application/json' }).end('{}');
  };
  return collector;
}

function at(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function listOf(value: unknown, ...names: readonly string[]): readonly unknown[] {
  return names.flatMap((name) => {
    const list = at(value, name);
    return Array.isArray(list) ? list.map((one: unknown) => one) : [];
  });
}

function flat(one: unknown): Record<string, unknown> {
  const fields = typeof one === 'object' && one !== null ? Object.entries(one) : [];
  return { ...Object.fromEntries(fields), attributes: attributesOf(one) };
}

/** `[{ key, value: { stringValue } }]` as an object. */
function attributesOf(of: unknown): Record<string, unknown> {
  return Object.fromEntries(
    listOf(of, 'attributes').map((one) => [String(at(one, 'key')), plain(at(one, 'value'))]),
  );
}

function plain(value: unknown): unknown {
  for (const kind of ['stringValue', 'boolValue', 'doubleValue']) {
    const found = at(value, kind);
    if (found !== undefined) return found;
  }
  const whole = at(value, 'intValue');
  if (whole !== undefined) return Number(whole);
  const array = at(value, 'arrayValue');
  return array === undefined ? undefined : listOf(array, 'values').map(plain);
}
