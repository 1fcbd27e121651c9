/** The three kinds of rules as they are written. Part of `schema.ts`; `config/issues.ts` tells what is wrong with one. */
import { z } from 'zod';
import { duration, MAX_LIST, someTime, words } from './schema-parts.ts';

const port = z.int().min(1).max(65_535);
const hosts = z.union([z.string(), z.array(z.string()).min(1).max(MAX_LIST)]).meta({
  description:
    'Host patterns: an exact name, `*.example.com` (one or more labels below example.com, never example.com itself), `*` (any public name) or a literal address; `host:port`, without a port 443 and, for plain HTTP, 80.',
});
const methods = z
  .array(z.string())
  .min(1)
  .max(50)
  .meta({ description: 'HTTP methods, upper case. Left out: every method.' });
const paths = z
  .array(z.string())
  .min(1)
  .max(MAX_LIST)
  .meta({ description: 'Absolute paths; `*` is one segment, `**` any number. Left out: every path.' });
const ports = z.array(port).min(1).max(100).meta({ description: 'Ports of every host of the rule.' });
const grant = {
  ports: ports.optional(),
  addresses: z.array(z.string()).min(1).max(100).optional().meta({
    description:
      'Non-public ranges (CIDR) that this rule, and only it, may connect to. Never metadata services.',
  }),
  http2: z.literal('prefer').optional().meta({
    description:
      'Where the host is intercepted: HTTP/2 is offered also to clients that speak HTTP/1.1 as well. Left out: to those that speak nothing else (gRPC).',
  }),
  idle: someTime.optional().meta({ description: 'Idle limit per direction. Default 10m.' }),
};

export const allowRule = z.strictObject({
  allow: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ...grant,
  tls: z
    .literal('tunnel')
    .optional()
    .meta({ description: 'Never intercepted: for clients that pin certificates.' }),
  protocol: z
    .enum(['tls', 'any'])
    .optional()
    .meta({ description: '`any` lets bytes that are not TLS through a tunnel. Default: tls on port 443.' }),
});

export const approveRule = z.strictObject({
  approve: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ...grant,
  wait: someTime
    .optional()
    .meta({ description: 'How long a request is held before it is refused. Default 5m.' }),
  remember: duration
    .optional()
    .meta({ description: 'A yes covers the same group, host, method and path for so long. Default: once.' }),
  cooldown: duration.optional().meta({
    description:
      'After a no the same request is refused at once for so long, and after a yes nothing else that the rule holds can be allowed for so long. Default: neither.',
  }),
  second_factor: z.boolean().optional().meta({ description: 'A yes needs a one-time code of the operator.' }),
});

export const denyRule = z.strictObject({
  deny: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ports: ports.optional().meta({ description: 'Left out: every port.' }),
  reason: words.optional().meta({ description: 'Shown to the agent.' }),
});
