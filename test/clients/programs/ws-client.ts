/**
 * WebSocket by the package `ws` (`ws URL WORD`) or by Node's global (`global URL WORD`): sends the word, prints what
 * comes back and how it ended. The placeholder goes in the handshake, where the client can set a field.
 */
import { WebSocket as WsSocket } from 'ws';

const [, , which, url = '', word = ''] = process.argv;

function ofPackage(): void {
  const headers = { authorization: `Bearer ${process.env['API_KEY'] ?? ''}` };
  const socket = new WsSocket(url, { headers });
  socket.on('open', () => socket.send(word));
  socket.on('message', (data: Buffer) => {
    process.stdout.write(`got ${data.toString()}\n`);
    socket.close(1000);
  });
  socket.on('close', (code) => process.stdout.write(`closed ${code}\n`));
  socket.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}

function ofNode(): void {
  const socket = new WebSocket(url);
  socket.addEventListener('open', () => socket.send(word));
  socket.addEventListener('message', ({ data }) => {
    process.stdout.write(`got ${String(data)}\n`);
    socket.close(1000);
  });
  socket.addEventListener('close', ({ code }) => process.stdout.write(`closed ${code}\n`));
  socket.addEventListener('error', () => {
    process.stderr.write('error\n');
    process.exitCode = 1;
  });
}

(which === 'ws' ? ofPackage : ofNode)();
