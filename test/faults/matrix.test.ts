/** The fault matrix over HTTP/1.1 inside intercepted TLS and over tunnels. */
import { playMatrix } from './matrix.ts';
import { INTERCEPTED, TUNNELLED } from './transports.ts';

playMatrix('faults', [INTERCEPTED, TUNNELLED]);
