// The job of `dump` with Node's got: body and record, nothing proven.
//   node got_dump.mjs URLS FOLDER CA [CONCURRENCY]
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import got from 'got';

const [urlsFile, folder, caFile, concurrency = '32'] = process.argv.slice(2);
const urls = (await readFile(urlsFile, 'utf8')).split(/\s+/).filter(Boolean);
const client = got.extend({
  http2: true,
  decompress: false,
  responseType: 'buffer',
  retry: { limit: 0 },
  https: { certificateAuthority: await readFile(caFile) },
});

function pathOf(url) {
  const parts = new URL(url).pathname.split('/').filter(Boolean);
  if (parts.at(-2) === 'instances') parts.push('_', parts.at(-1));
  return path.join(folder, ...parts);
}

let next = 0;
async function worker() {
  while (next < urls.length) {
    const url = urls[next++];
    const start = performance.now();
    const response = await client.get(url);
    const file = pathOf(url);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, response.body);
    await writeFile(`${file}.dump.json`, JSON.stringify({
      url,
      request: { headers: response.request.options.headers },
      response: {
        headers: response.headers,
        statusCode: response.statusCode,
        httpVersion: response.httpVersion,
        timeToLastByteInMS: performance.now() - start,
        bytesDownloaded: response.body.length,
      },
    }));
  }
}

const began = performance.now();
await Promise.all(Array.from({ length: Number(concurrency) }, worker));
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }));
process.exit(0);
