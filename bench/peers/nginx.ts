/** nginx as a plain TLS reverse proxy: no CONNECT, no minting, no judging. The practical ceiling. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOST } from '../harness/material.ts';
import { findProgram, freePort, startPinned } from '../harness/process.ts';
import { type Peer, PLACEHOLDER, type Setting, type Started } from './peer.ts';

export const nginx: Peer = {
  name: 'nginx',
  paths: ['intercept'],
  features: ['h2', 'websocket'],
  missing: () => (findProgram('nginx') === undefined ? ['nginx'] : []),
  start,
};

async function start(setting: Setting): Promise<Started> {
  const port = await freePort();
  const dir = join(setting.material.dir, `nginx-${port}`);
  mkdirSync(dir);
  const config = join(dir, 'nginx.conf');
  writeFileSync(config, text(port, dir, setting));
  const running = await startPinned({
    name: 'nginx',
    core: setting.core,
    command: findProgram('nginx') ?? 'nginx',
    args: ['-c', config, '-p', dir, '-e', join(dir, 'error.log')],
    port,
    log: join(dir, 'out.log'),
  });
  return { ...running, port, direct: true, host: HOST, authorization: PLACEHOLDER };
}

function text(port: number, dir: string, { material, upstream }: Setting): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join(' ');
  const onward = `proxy_set_header Authorization "Bearer ${material.realKey}";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ${material.ca};
      proxy_ssl_name ${HOST}; proxy_ssl_server_name on;`;
  return `daemon off; master_process off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log error;
worker_rlimit_nofile 65536;
events { worker_connections 32768; }
http {
  access_log off; ${temporary}
  keepalive_requests 1000000000; keepalive_timeout 600s;
  upstream up { server 127.0.0.1:${upstream.tls}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl http2 backlog=4096;
    ssl_certificate ${material.cert}; ssl_certificate_key ${material.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location = /ws {
      proxy_pass https://up; proxy_http_version 1.1;
      proxy_set_header Host ${HOST}:${upstream.tls}; proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
      ${onward}
    }
    location = /0 { # a body of a gigabyte
      client_max_body_size 0; proxy_request_buffering off;
      proxy_pass https://up; proxy_http_version 1.1;
      proxy_set_header Host ${HOST}:${upstream.tls}; proxy_set_header Connection "";
      ${onward}
    }
    location / {
      proxy_max_temp_file_size 0;
      proxy_pass https://up; proxy_http_version 1.1;
      proxy_set_header Host ${HOST}:${upstream.tls}; proxy_set_header Connection "";
      ${onward}
    }
  }
}
`;
}
