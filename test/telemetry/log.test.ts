import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { createLogger, readable } from '../../src/telemetry/log.ts'
import { endOf } from '../support/child.ts'
import { fullPipe } from '../support/full-pipe.ts'
import { tempFolder } from '../support/temp-folder.ts'

const module = JSON.stringify(fileURLToPath(new URL('../../src/telemetry/log.ts', import.meta.url)))

test('a line is JSON with an ISO time, the level by name, and its event', () => {
  const lines: string[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(line) } })
  log.tell('reload-waits', {}, 'not at this level')
  log.tell('killed', { address: '10.0.0.1' }, 'closed c1')
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0])).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/), level: 'warn', event: 'killed', address: '10.0.0.1', msg: 'closed c1',
  })
})

test('pretty is one readable line, whatever the values hold', () => {
  const lines: string[] = []
  const { log } = createLogger({ level: 'info', format: 'pretty', file: '-' }, { write: line => { lines.push(line) } })
  log.tell('listening', { service: 'cache', port: 11212, subject: 'O=a, CN=b\nx', names: ['DNS:a'] }, 'ready')
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}listening ready service=cache port=11212 subject="O=a, CN=b\\nx" names=\["DNS:a"\]\n$/)
  expect(readable('{"level":"warn","msg":"words"}\n')).toBe('WARN  words\n')
})

test.each([
  ['an escape sequence', '\u001b[2Jx', '"\\u001b[2Jx"'], ['the one-byte form of it', '\u009b2Jx', '"\\u009b2Jx"'],
  ['a carriage return', 'a\rb', '"a\\rb"'], ['text from right to left', 'a\u202eb', '"a\\u202eb"'], ['DEL', 'a\u007f', '"a\\u007f"'],
  ['a line separator', 'a\u2028b', '"a\\u2028b"'], ['letters', 'müller', 'müller'],
])('pretty lets %s of a client move no cursor, in a field, a list or the message', (_, text, shown) => {
  const one = readable(JSON.stringify({ level: 'warn', event: 'refused', msg: `got ${text}`, subject: `é${text}`, nested: { names: [text] }, [text]: 1 }))
  expect(one.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
  expect(one).toContain(`subject=${shown.replace(/^("?)/, "$1é")}`)
})

test('a line of JSON moves no cursor either, and says the same', () => {
  const lines: string[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(line) } })
  const fields = { version: '1.6\u0080\u009b2J', subject: 'CN=\u202ea\u001b\u2028é', names: ['\u2066'], '\u009b': 1 }
  log.tell('backend-ready', fields, 'got \u009b')
  expect(lines[0]).toMatch(/^[ -~é]+\n$/)
  expect(JSON.parse(lines[0])).toMatchObject({ event: 'backend-ready', ...fields, msg: 'got \u009b' })
})

test('pretty says nothing twice', () => {
  expect(readable(JSON.stringify({ level: 'info', event: 'listening', service: 'cache', listener: '127.0.0.1:1', tls: false, msg: 'listening on 127.0.0.1:1' })))
    .toBe('INFO  listening on 127.0.0.1:1 service=cache tls=false\n')
  expect(readable(JSON.stringify({ level: 'warn', event: 'not-ready', service: 'down', reasons: ['it is down', 'no way'], msg: 'not ready: it is down; no way' })))
    .toBe('WARN  not ready: it is down; no way service=down\n')
  expect(readable(JSON.stringify({ level: 'warn', event: 'x', reasons: ['it is down', 'other words'], msg: 'it is down' })))
    .toBe('WARN  x it is down reasons=["it is down","other words"]\n')
})

test('lines written right before the end are not lost', () => {
  const file = join(tempFolder(), 'end.log')
  const script = `import { createLogger } from ${module}
    const { log } = createLogger({ level: 'info', format: 'json', file: FILE })
    for (let i = 0; i < 1000; i++) log.tell('ready', { i }, 'x')
    process.exit(0)`
  execFileSync(process.execPath, ['--input-type=module', '-e', script.replace('FILE', JSON.stringify(file))])
  expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(1001)
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', script.replace('FILE', '"-"')]).toString().split('\n')).toHaveLength(1001)
})

test.each(['json', 'pretty'])('the last lines (%s) stand below those that a thread is still writing', format => {
  const fifo = join(tempFolder(), 'fifo')
  execFileSync('mkfifo', [fifo])
  // The one thread waits at the pipe, so the first line waits for the thread.
  const script = `import { open, openSync } from 'node:fs'
    import { createLogger } from ${module}
    const { log, flush } = createLogger({ level: 'info', format: '${format}', file: '-' })
    open('${fifo}', 'r', () => {})
    log.tell('draining', {}, 'first')
    setImmediate(() => setImmediate(() => {
      log.tell('draining', {}, 'second')
      log.tell('ended', {}, 'third')
      const flushed = flush()
      openSync('${fifo}', 'w')
      Promise.resolve(flushed).then(() => process.exit(0))
    }))`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env: { ...process.env, UV_THREADPOOL_SIZE: '1' } }).toString()
  expect(out.match(/first|second|third/g)).toEqual(['first', 'second', 'third'])
})

test('a reader of the log that goes away does not end the process', async () => {
  const script = `import { createLogger } from ${module}
    const { log } = createLogger({ level: 'info', format: 'json', file: '-' })
    setInterval(() => log.tell('ready', {}, 'x'), 5)
    setTimeout(() => process.exit(7), 300)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [code] = await once(child, 'exit')
  expect(code).toBe(7)
})

test.each([['process.exit(7)', 7], ["throw new Error('unforeseen')", 1]])('a process that ends by %s ends though nobody reads its log', async (end, code) => {
  const { file, fd } = fullPipe()
  onTestFinished(() => closeSync(fd))
  const script = `import { createLogger } from ${module}
    const { log } = createLogger({ level: 'info', format: 'json', file: ${JSON.stringify(file)} })
    log.tell('ready', {}, 'x')
    setTimeout(() => { log.tell('ready', {}, 'x'); ${end} }, 20)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
  expect((await endOf(child)).code).toBe(code)
})
