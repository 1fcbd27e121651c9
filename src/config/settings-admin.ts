/** `admin.names` of the settings: under which hosts the admin side is reached beside its own. Part of `settings-schema.ts`. */
import { z } from 'zod';

/** Letters, digits and inner hyphens in labels; no port, no wildcard: each name is one that a browser may be led to. */
const HOST = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

export const adminNames = z
  .array(z.string().toLowerCase().regex(HOST, 'is no host name such as console.corp.example'))
  .max(16)
  .default([])
  .meta({
    description:
      'Further hosts that requests may name, for example behind a reverse proxy; its own address and localhost always.',
  });
