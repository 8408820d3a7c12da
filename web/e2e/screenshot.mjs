// Pictures of the page at work: dark and light, wide and phone.
//   node web/e2e/screenshot.mjs --url http://127.0.0.1:4173/ --input FILE --out FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, main, openPage, options, play, stop } from './browser.mjs';

const usage = 'node web/e2e/screenshot.mjs --url URL --input FILE --out FOLDER [--seconds N]';

const pictures = [
  { name: 'wide-dark', colorScheme: 'dark', viewport: { width: 1440, height: 1000 } },
  { name: 'wide-light', colorScheme: 'light', viewport: { width: 1440, height: 1000 } },
  { name: 'phone-dark', colorScheme: 'dark', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 },
  { name: 'phone-light', colorScheme: 'light', viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 },
];

await main(async () => {
  const { url, input, out, seconds } = options({ url: undefined, input: undefined, out: undefined, seconds: '12' }, usage);
  mkdirSync(out, { recursive: true });
  const browser = await launch();
  try {
    for (const { name, ...look } of pictures) {
      const { page } = await openPage(browser, url, look);
      // The sizing part first gets something to show.
      await page.click('#exercise');
      await page.waitForTimeout(Number(seconds) * 1000);
      await play(page, input);
      await page.waitForTimeout(3000);
      await page.evaluate(() => window.scrollTo(0, 0));
      const path = join(out, `${name}.png`);
      await page.screenshot({ path, fullPage: true });
      console.log(path);
      await stop(page);
      await page.close();
    }
  } finally {
    await browser.close();
  }
});
