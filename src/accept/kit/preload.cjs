/*
 * Sallyport's preload for Node: NODE_OPTIONS="--require /etc/sallyport/preload.cjs"
 *
 * Node takes HTTPS_PROXY, HTTP_PROXY and NO_PROXY from the environment since 22.21 and 24.5, with
 * NODE_USE_ENV_PROXY=1. This file does it for older ones (tried with 20 and 24): fetch, global WebSocket, http, https.
 * Where Node does it itself, that is left to it, and two gaps are closed: agents that a program makes for
 * itself (the AWS SDK, for one), and `ws`, which brings a connect function and so passes every agent.
 *
 * Left alone: agents and dispatchers that connect by code of their own, sockets opened with net or tls, and requests
 * to the proxy itself (a client that knows the proxy must not meet it twice).
 */
'use strict';

const http = require('node:http');
const https = require('node:https');
const { syncBuiltinESMExports } = require('node:module');
const net = require('node:net');
const tls = require('node:tls');

/** How long the proxy may take to answer a CONNECT, in `ms`. It may hold one for an approval. */
const CONNECT_MS = 10 * 60_000;
const HTTPS_PORT = 443;
const HTTP_PORT = 80;

const proxies = {
  'https:': parseProxy(process.env.https_proxy || process.env.HTTPS_PROXY),
  'http:': parseProxy(process.env.http_proxy || process.env.HTTP_PROXY),
};
const exceptions = (process.env.no_proxy || process.env.NO_PROXY || '').toLowerCase().split(/[\s,]+/);

const native =
  process.allowedNodeEnvironmentFlags.has('--use-env-proxy') &&
  (process.env.NODE_USE_ENV_PROXY === '1' || process.execArgv.includes('--use-env-proxy'));

if (proxies['https:'] || proxies['http:']) {
  proxyHttpsAgents();
  proxyHttpAgents();
  proxyWs();
  if (!native) proxyFetch();
}

function parseProxy(text) {
  if (!text || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (url.protocol !== 'http:') return null;
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    host: bare(url.hostname),
    port: Number(url.port || HTTP_PORT),
    headers: user === ':' ? {} : { 'Proxy-Authorization': `Basic ${Buffer.from(user).toString('base64')}` },
  };
}

/** The proxy for a host, or null: none is set, NO_PROXY names the host, or the host is the proxy. */
function proxyFor(protocol, host, port) {
  const proxy = proxies[protocol];
  if (!proxy || !host) return null;
  const name = bare(host).toLowerCase();
  for (const one of Object.values(proxies))
    if (one && one.host === name && one.port === Number(port)) return null;
  return exceptions.some((exception) => excepts(exception, name, port)) ? null : proxy;
}

/** `name`, `.name`, `*.name`, each with a port or without, and `*`. An entry covers the names below it. */
function excepts(exception, name, port) {
  if (exception === '') return false;
  if (exception === '*' || exception === name) return true;
  const [, host, wanted] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(exception) || [];
  if (!host || (wanted && Number(wanted) !== Number(port))) return false;
  const suffix = bare(host).replace(/^\*?\./, '');
  return name === suffix || (!net.isIP(name) && name.endsWith(`.${suffix}`));
}

function bare(host) {
  return host.replace(/^\[|\]$/g, '');
}

function authority(host, port) {
  return `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** A connection to host:port by way of the proxy: `done(error)` or `done(null, socket)`. */
function tunnel(proxy, host, port, done) {
  const path = authority(bare(host), port);
  const headers = { ...proxy.headers, Host: path };
  const request = http.request({
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path,
    headers,
    agent: false,
  });
  request.setTimeout(CONNECT_MS, () =>
    request.destroy(new Error(`the proxy did not answer CONNECT ${path}`)),
  );
  request.once('error', done);
  request.once('connect', (response, socket, head) => {
    request.off('error', done);
    socket.setTimeout(0);
    if (response.statusCode !== 200) {
      socket.destroy();
      const said = `${response.statusCode} ${response.statusMessage}`;
      done(Object.assign(new Error(`the proxy refused ${path}: ${said}`), { code: 'ERR_PROXY_TUNNEL' }));
      return;
    }
    if (head.length > 0) socket.unshift(head);
    done(null, socket);
  });
  request.end();
}

/** Node's own support is an option of its global agents. */
function supported(agent) {
  return native && Boolean(agent.options?.proxyEnv);
}

/** Every https.Agent opens its connections inside a tunnel. */
function proxyHttpsAgents() {
  const direct = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function createConnection(options, done, ...more) {
    const able = !supported(this) && options && typeof options === 'object' && typeof done === 'function';
    const free = able && !options.socket && !options.socketPath;
    const port = free ? options.port || HTTPS_PORT : 0;
    const proxy = free ? proxyFor('https:', options.host, port) : null;
    if (!proxy) return direct.call(this, options, done, ...more);
    tunnel(proxy, options.host, port, (error, socket) => {
      if (error) done(error);
      else done(null, direct.call(this, { ...options, socket }));
    });
    return undefined;
  };
}

/** Plain HTTP goes to the proxy with the whole URL in its first line. */
function proxyHttpAgents() {
  const direct = http.Agent.prototype.addRequest;
  http.Agent.prototype.addRequest = function addRequest(request, options, ...more) {
    const plain =
      request.protocol === 'http:' && request.method !== 'CONNECT' && !(this instanceof https.Agent);
    const free = plain && !supported(this) && typeof options === 'object' && !options.socketPath;
    const port = free ? Number(options.port || HTTP_PORT) : 0;
    const proxy = free ? proxyFor('http:', options.host, port) : null;
    if (!proxy) return direct.call(this, request, options, ...more);
    askProxy(request, `http://${authority(bare(options.host), port)}`, proxy.headers);
    return direct.call(this, request, { ...options, host: proxy.host, port: proxy.port }, ...more);
  };
}

/** Puts the origin before the path and adds the proxy's fields. */
function askProxy(request, origin, fields) {
  request.path = `${origin.replace(/:80$/, '')}${request.path}`;
  if (!request._header) {
    for (const [name, value] of Object.entries(fields)) request.setHeader(name, value);
    return;
  }
  // A head that was given as a list is written already.
  const extra = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  request._header = request._header.replace(/^(\S+) \S+( HTTP\/1\.1\r\n)/, (_line, method, version) =>
    [method, ' ', request.path, version, ...extra].join(''),
  );
}

/** fetch and WebSocket take their connections from the dispatcher that undici keeps under this symbol. */
function proxyFetch() {
  // Reading the getter loads undici, which puts its Agent there.
  if (typeof globalThis.Headers !== 'function') return;
  const key = Symbol.for('undici.globalDispatcher.1');
  const Agent = globalThis[key]?.constructor;
  if (typeof Agent !== 'function') return;
  globalThis[key] = new Agent({ connect: connectForFetch });
}

/** undici's connector: `done(error)` or `done(null, socket)` with TLS done. */
function connectForFetch({ hostname, protocol, port, servername }, done) {
  const secure = protocol === 'https:';
  const host = bare(hostname);
  const at = Number(port || (secure ? HTTPS_PORT : HTTP_PORT));
  const finish = (socket, event) => {
    const failed = (error) => done(error);
    socket.once('error', failed);
    socket.once(event, () => {
      socket.off('error', failed);
      socket.setNoDelay(true);
      done(null, socket);
    });
  };
  const encrypt = (to) => {
    const name = servername || (net.isIP(host) ? '' : host);
    finish(tls.connect({ ...to, servername: name, ALPNProtocols: ['http/1.1'] }), 'secureConnect');
  };
  const proxy = proxyFor(protocol, host, at);
  if (!proxy)
    return secure ? encrypt({ host, port: at }) : finish(net.connect({ host, port: at }), 'connect');
  return tunnel(proxy, host, at, (error, socket) => {
    if (error) done(error);
    else if (secure) encrypt({ host, socket });
    else done(null, socket);
  });
}

/** The `ws` package connects by functions of these names; without them it asks the agent, as everyone does. */
function proxyWs() {
  const own = new Set(['tlsConnect', 'netConnect']);
  for (const [module, protocol, usual] of [
    [https, 'https:', HTTPS_PORT],
    [http, 'http:', HTTP_PORT],
  ]) {
    const { request } = module;
    module.request = function (options, ...more) {
      const bypass =
        options && typeof options === 'object' && !options.agent && own.has(options.createConnection?.name);
      if (!bypass || options.socketPath || !proxyFor(protocol, options.host, options.port || usual))
        return request.call(this, options, ...more);
      return request.call(this, { ...options, createConnection: undefined }, ...more);
    };
  }
  syncBuiltinESMExports();
}
