/** A real redis-server on a free port of loopback, that a test may stop, pause, empty and start again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from './ports.ts';
import { eventually } from './world.ts';

export type RedisServer = {
  readonly port: number;
  /** runs one command, answers its text */
  cli(...words: string[]): string;
  pause(): void;
  goOn(): void;
  kill(): Promise<void>;
  /** again, empty, on the same port */
  start(...more: string[]): Promise<void>;
  remove(): Promise<void>;
};

const START_MS = 20_000;

/** A relay to a port of loopback that passes bytes on late. */
export async function slowRelay(
  to: number,
  delayMs: number,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const late = (from: net.Socket, into: net.Socket): void => {
    from.on('data', (bytes: Buffer) => {
      setTimeout(() => into.destroyed || into.write(bytes), delayMs);
    });
    from.on('error', () => {});
    from.on('close', () => into.destroy());
    sockets.add(from);
  };
  const server = net.createServer((client) => {
    const up = net.connect(to, '127.0.0.1');
    late(client, up);
    late(up, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('no port');
  return {
    port: at.port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export async function redisServer(...options: string[]): Promise<RedisServer> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-redis-'));
  const port = await freePort();
  let child: ChildProcess | null = null;
  const cli = (...words: string[]): string =>
    spawnSync('redis-cli', ['-p', String(port), ...words], { encoding: 'utf8' }).stdout.trim();
  const start = async (...more: string[]): Promise<void> => {
    const args = [
      '--port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--dir',
      dir,
      ...options,
      ...more,
    ];
    child = spawn('redis-server', args, { stdio: 'ignore' });
    await eventually(() => /PONG|NOAUTH/.test(cli('PING')), START_MS);
  };
  const kill = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  await start();
  return {
    port,
    cli,
    pause: () => void child?.kill('SIGSTOP'),
    goOn: () => void child?.kill('SIGCONT'),
    kill,
    start,
    remove: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
