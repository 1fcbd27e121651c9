/** A page as a picture, by Chromium in a network namespace of its own: it asks nobody, whatever it would like to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runProgram } from '../helpers/run-program.ts';

/** `page`: an HTML file; `picture`: where the PNG goes. Throws what Chromium says when there is none. */
export async function screenshot(
  page: string,
  picture: string,
  size: { width: number; height: number },
): Promise<void> {
  const home = mkdtempSync(path.join(tmpdir(), 'sallyport-chromium-'));
  try {
    const { status, stderr } = await runProgram(
      'unshare',
      [
        '-n',
        'chromium',
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--hide-scrollbars',
        `--user-data-dir=${home}`,
        `--window-size=${size.width},${size.height}`,
        `--screenshot=${picture}`,
        `file://${page}`,
      ],
      { env: { PATH: process.env['PATH'] ?? '', HOME: home }, cwd: home },
    );
    if (status !== 0) throw new Error(`chromium ended with ${status}\n${stderr.slice(-2_000)}`);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
