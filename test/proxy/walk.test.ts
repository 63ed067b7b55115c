import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// The way of a get in src/README.md is the one that it takes: V8 tells whose functions ran.

/** They read bytes, count, or have nothing to do for this get. */
const besides = {
  request: ['proto/bytes.ts', 'proto/frame.ts', 'proto/pieces.ts', 'proxy/client-record.ts', 'proxy/private-route.ts'],
  reply: ['proto/bytes.ts', 'proxy/slab.ts', 'proxy/share.ts', 'proxy/long-reply.ts', 'proxy/client-record.ts', 'proxy/get-join.ts', 'proxy/intake.ts', 'proxy/client-session.ts'],
}

async function coverage(): Promise<{ taken: () => Promise<string[]> }> {
  const inspector = new Session()
  inspector.connect()
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  const taken = async (): Promise<string[]> => {
    const { result } = await inspector.post('Profiler.takePreciseCoverage')
    return result.filter(({ functions }) => functions.some(({ functionName, ranges }) => functionName !== '' && ranges[0].count > 0))
      .flatMap(({ url }) => /\/src\/((?:proto|policy|proxy)\/[\w-]+\.ts)/.exec(url)?.[1] ?? [])
  }
  return { taken }
}

/** The files of a table in README.md, in its order. */
function told(table: 'request' | 'reply'): string[] {
  const text = readFileSync('src/README.md', 'utf8')
  const rows = text.slice(text.indexOf(`| | ${table} | |`)).split('\n\n')[0].split('\n')
  return rows.flatMap((row) => /^\| \d+ \| `([\w/.-]+)`/.exec(row)?.[1] ?? [])
}

test('a get goes from socket to socket through the files that README.md names, and its reply too', async () => {
  const t = await transcript()
  const [get, reply] = ['get a\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n']
  const ask = async (): Promise<void> => {
    t.client(1).sends(get)
    await t.backend.sees(get)
  }
  const answer = async (): Promise<void> => {
    t.backend.says(reply)
    await t.client(1).gets(reply)
  }
  await ask()      // its lane is chosen
  await answer()
  t.clock.stop()   // no deadlines are looked at meanwhile
  const { taken } = await coverage()
  await taken()
  await ask()
  const request = await taken()
  await answer()
  const back = await taken()
  const [there, here] = [told('request'), told('reply')]
  expect(request.filter((file) => !besides.request.includes(file)).sort()).toEqual(there.toSorted())
  expect(back.filter((file) => !besides.reply.includes(file)).sort()).toEqual(here.toSorted())
  expect(there.length).toBeLessThanOrEqual(15)
  expect(here.length).toBeLessThanOrEqual(8)
})
