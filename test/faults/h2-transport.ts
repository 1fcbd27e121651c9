/** How a client of the fault matrix speaks HTTP/2 through the proxy, and which acts and moves make sense there. */
import { once } from 'node:events';
import http2 from 'node:http2';
import tls from 'node:tls';
import { intercepted } from '../helpers/scene.ts';
import { connect, type Talk } from '../helpers/talk.ts';
import type { World } from '../helpers/world.ts';
import { STREAM_ACTS } from './h2-acts.ts';
import type { ClientMove, Seen, Speaker, Transport } from './transports.ts';
import { type Act, HTTP_ACTS } from './upstream-acts.ts';

const MOVES: readonly ClientMove[] = [
  'waits',
  'resets the stream',
  'resets',
  'goes away',
  'closes',
  'half-closes',
  'stops reading',
];
/** A lie is over at once: what the client does is a question of before or after. */
const FEW = MOVES.slice(0, 3);

async function begin(world: World, at: string, half: boolean): Promise<Speaker> {
  const raw = await connect(world.port, at);
  raw.socket.removeAllListeners('data');
  const servername = at.slice(0, at.lastIndexOf(':'));
  const socket = tls.connect({ socket: raw.socket, ca: world.caPem, servername, ALPNProtocols: ['h2'] });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  const session = http2.connect(`https://${at}`, { createConnection: () => socket });
  session.on('error', () => {});
  const stream = session.request(
    {
      ':method': half ? 'POST' : 'GET',
      ':path': '/cell',
      ':authority': at,
      ...(half ? { 'content-length': 10 } : {}),
    },
    { endStream: !half },
  );
  const speaker = watch(raw, session, stream);
  if (half) stream.write('half');
  return speaker;
}

function watch(raw: Talk, session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream): Speaker {
  let status = 0;
  let length = -1;
  let text = '';
  let whole = false;
  stream.on('response', (headers) => {
    status = headers[':status'] ?? 0;
    length = Number(headers['content-length'] ?? -1);
  });
  stream.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  stream.on('end', () => {
    const reset = stream.aborted || (stream.rstCode ?? 0) !== 0;
    whole = status !== 0 && !reset && (length === -1 || length === text.length);
  });
  stream.on('error', () => {});
  const ended = (): Seen['ended'] => {
    if (whole) return 'fin';
    return stream.closed || stream.destroyed ? 'reset' : 'open';
  };
  return {
    move: (kind) => move(kind, { raw, session, stream }),
    seen: () => ({ status, text, whole, ended: ended() }),
    destroy: () => raw.destroy(),
  };
}

type Parts = { raw: Talk; session: http2.ClientHttp2Session; stream: http2.ClientHttp2Stream };

function move(kind: ClientMove, { raw, session, stream }: Parts): void {
  if (kind === 'resets the stream') stream.close(http2.constants.NGHTTP2_CANCEL);
  if (kind === 'resets') raw.reset();
  if (kind === 'goes away') session.close();
  if (kind === 'closes') session.destroy();
  if (kind === 'half-closes') stream.end();
  if (kind !== 'stops reading' || session.destroyed) return;
  session.settings({ initialWindowSize: 0 });
  stream.pause();
}

const moves = (act: Act): readonly ClientMove[] => (act.fault === 'lie' ? FEW : MOVES);
const shared = {
  secure: true,
  streams: true,
  moves,
  rule: (at: string) => intercepted(at),
  requests: 1,
  begin,
};

/** What both kinds of client need from an upstream of HTTP/1.1 is told by `INTERCEPTED`; here is what streams change. */
export const STREAMED: Transport = {
  ...shared,
  name: 'HTTP/2, the upstream HTTP/1.1',
  zone: 'h2',
  acts: HTTP_ACTS.filter(({ phase, name }) => phase !== 'mid head' && !name.includes('until the end')),
};

export const STREAMED_BOTH: Transport = {
  ...shared,
  name: 'HTTP/2 on both sides',
  zone: 'both',
  acts: STREAM_ACTS,
};
