/** The fault matrix for clients that speak HTTP/2, towards upstreams of HTTP/1.1 and of HTTP/2. */
import { STREAMED, STREAMED_BOTH } from './h2-transport.ts';
import { playMatrix } from './matrix.ts';

playMatrix('faults over HTTP/2', [STREAMED]);
playMatrix('faults over HTTP/2 on both sides', [STREAMED_BOTH]);
