/**
 * Workers share their port (SO_REUSEPORT), and with whoever else of this user asks for the same: a second Sallyport
 * would quietly get half of the connections. So the port is asked for once without sharing.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Endpoint } from '../config/settings.ts';

/** Rejects with EADDRINUSE when somebody listens there. Port 0 is always free. */
export async function probePort({ host, port }: Endpoint): Promise<void> {
  if (port === 0) return;
  const probe = net.createServer();
  probe.listen({ host, port, exclusive: true });
  await once(probe, 'listening');
  probe.close();
  await once(probe, 'close');
}
