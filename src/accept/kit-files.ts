/**
 * The texts of the kit that are files of their own, so that a reviewer reads them as what they are: shell and
 * JavaScript for sandboxes. Read once, when the proxy starts; `self.ts` serves them and `install-script.ts` and
 * `doctor-script.ts` put them together.
 */
import { readFileSync } from 'node:fs';

/** Loaded by Node before a program: proxy support for versions without. */
export const PRELOAD = kitFile('preload.cjs');

/** The fixed part of `/install.sh`: options, tools, trust, environment; and the programs with settings of their own. */
export const INSTALL = kitFile('install.sh');
export const INSTALL_TOOLS = kitFile('install-tools.sh');

/** The fixed part of `/doctor.sh`. */
export const DOCTOR = kitFile('doctor.sh');

function kitFile(name: string): string {
  return readFileSync(new URL(`./kit/${name}`, import.meta.url), 'utf8');
}
