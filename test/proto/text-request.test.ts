import { expect, test } from 'vitest'
import { commands } from '../../src/proto/commands.ts'
import { release } from '../../src/proto/bytes.ts'
import { everySplit } from '../support/every-split.ts'
import { apart, expectFrames, faulty, lost, shared } from './frames.ts'
import { latin1, textFrames } from './reading.ts'

const key250 = 'k'.repeat(250)
const key251 = 'k'.repeat(251)
const format = 'CLIENT_ERROR bad command line format'

test.each([
  'get a', 'get a b c', 'gets a', 'gat 0 a', 'gat -1 a b', 'gats 100 a b', 'set a 0 0 2', 'add a 0 0 2', 'replace a 0 0 2', 'append a 0 0 2',
  'prepend a 0 0 2', 'cas a 0 0 2 7', 'incr a 1', 'decr a 1', 'delete a', 'touch a 0', 'flush_all', 'flush_all 0', 'flush_all 10',
  'version', 'mn', 'mg a', 'mg a v', 'md a', 'ma a', 'ms a 2', 'ms a 2 T0', 'me a',
])('%s is for shared connections', line => {
  const data = /^(set|add|replace|append|prepend|cas|ms) /.test(line) ? 'hi\r\n' : ''
  shared(`${line}\r\n${data}`, { command: line.split(' ')[0] })
})

test.each([
  'stats', 'stats settings', 'stats items', 'stats slabs', 'stats sizes', 'stats conns', 'stats extstore', 'stats reset', 'stats detail on',
  'stats cachedump 1 1', 'verbosity 1', 'cache_memlimit 64', 'shutdown', 'shutdown graceful', 'slabs reassign 1 2', 'slabs automove 1',
  'lru mode flat', 'lru_crawler enable', 'lru_crawler metadump all', 'lru_crawler mgdump all', 'watch fetchers', 'refresh_certs',
  'extstore item_size 1', 'misbehave', 'debugtime p', 'debugitem lock a',
])('%s is never for shared connections', line => {
  const words = line.split(' ')
  const sub = commands.some(row => row.name === words.slice(0, 2).join(' ')) ? words.slice(0, 2).join(' ') : words[0]
  apart(`${line}\r\n`, { command: sub })
})

test.each(['quit', 'bget a b'])('%s is well-formed, and its row keeps it off shared connections', line => {
  shared(`${line}\r\n`, { command: line.split(' ')[0] })
  expect(commands.find(row => row.verb === line.split(' ')[0])).toMatchObject({ shareable: false })
})

test('every row with a verb has been tried above', () => {
  const verbs = new Set(commands.flatMap(row => row.verb ?? []))
  const tried = 'get gets bget gat gats set add replace append prepend cas touch delete incr decr mg ms md ma me mn version quit flush_all ' +
    'stats verbosity cache_memlimit shutdown slabs lru lru_crawler watch refresh_certs extstore misbehave debugtime debugitem'
  expect([...verbs].sort()).toEqual(tried.split(' ').sort())
})

test('releases that the line needs are told', () => {
  shared('get a\r\n', { needs: 0 })
  shared('touch a 0\r\n', { needs: release('1.4.8') })
  shared('gat 0 a\r\n', { needs: release('1.5.3') })
  shared('gats 0 a\r\n', { needs: release('1.5.3') })
  for (const line of ['mg a', 'md a', 'ma a', 'me a', 'mn']) shared(`${line}\r\n`, { needs: release('1.6.18') })
  shared('ms a 0\r\n\r\n', { needs: release('1.6.18') })
  shared('set a 0 0 0\r\n\r\n', { needs: 0 })
})

test('keys: 1 to 250 bytes', () => {
  shared(`get ${key250}\r\n`, { key: key250 })
  faulty(`get ${key251}\r\n`, format)
  faulty(`get ${'a '.repeat(49)}${key251}\r\n`, format)
  shared(`gat 0 ${key250}\r\n`)
  faulty(`gat 0 ${key251}\r\n`, format)
  shared(`delete ${key250}\r\n`)
  faulty(`delete ${key251}\r\n`, format)
  shared(`incr ${key250} 1\r\n`)
  faulty(`incr ${key251} 1\r\n`, format)
  shared(`touch ${key250} 1\r\n`)
  faulty(`touch ${key251} 1\r\n`, format)
  shared(`mg ${key250} v\r\n`)
  faulty(`mg ${key251} v\r\n`, format)
  shared(`set ${key250} 0 0 1\r\nx\r\n`)
  // Releases differ in whether they read the block over: nobody knows where the next request begins.
  lost(`set ${key251} 0 0 1\r\nx\r\n`, format)
  lost(`ms ${key251} 1\r\nx\r\n`, format)
})

test('keys: which bytes', () => {
  for (const key of ['\x80', '\xff\xfe', '!', '~', 'END', 'VALUE', 'STORED', '0', '-1', 'nOREPLY', 'noreplyx']) shared(`get ${key}\r\n`, { key })
  for (const key of ['\t', 'a\x01b', '\x1f', '\x7f', 'a\rb', '\r']) {
    apart(`get ${key}\r\n`)
    apart(`gat 0 ${key}\r\n`)
    apart(`delete ${key}\r\n`)
    apart(`set ${key} 0 0 1\r\nx\r\n`)
    apart(`mg ${key}\r\n`)
  }
  faulty('get a\0b\r\n', format)
  faulty('gat 0 a\0b\r\n', format)
  faulty('delete a\0b\r\n', format)
  lost('set a\0b 0 0 1\r\nx\r\n', format)
  lost('ms a\0b 1\r\nx\r\n', format)
})

test('a key called noreply is for nobody else to see', () => {
  for (const line of ['get noreply', 'get a noreply', 'get noreply a', 'gets noreply', 'gat 0 noreply', 'delete noreply', 'incr noreply 1', 'touch noreply 0', 'mg noreply']) {
    apart(`${line}\r\n`, { silent: false })
  }
  apart('set noreply 0 0 1\r\nx\r\n', { silent: false })
  apart('ms noreply 1\r\nx\r\n')
})

test('a get of any number of keys and any length is shared, since it is sent in parts', () => {
  const multiget = (keys: number) => `get${' a'.repeat(keys)}\r\n`
  for (const keys of [1, 2, 24, 25, 100, 256, 257, 1000]) shared(multiget(keys))
  const line = (verb: string, bytes: number) => {
    const key = 'k'.repeat(199)
    let text = `${verb}${` ${key}`.repeat(Math.floor((bytes - 300) / 200))}`
    while (bytes - 2 - text.length > 250) text += ` ${key}`
    return `${text} ${'x'.repeat(bytes - 3 - text.length)}\r\n`
  }
  expect(line('get', 8192)).toHaveLength(8192)
  expect(textFrames([latin1(line('get', 8192))])).toMatchObject([{ found: 'request', strict: true }])
  expect(textFrames([latin1(line('get', 8193))])).toMatchObject([{ found: 'request', strict: true }])
  expect(textFrames([latin1(line('gets', 8192))])).toMatchObject([{ found: 'request', strict: true }])
  expect(textFrames([latin1(line('gets', 8193))])).toMatchObject([{ found: 'request', strict: true }])
})

test('what stands before the keys is sent with each part: 256 bytes of it are shared, more are not', () => {
  shared(`get${' '.repeat(253)}a b\r\n`)
  apart(`get${' '.repeat(254)}a b\r\n`)
  shared(`gat${' '.repeat(251)}0 a b\r\n`)
  apart(`gat${' '.repeat(252)}0 a b\r\n`)
})

test('a line of one key is sent as it is: 8192 bytes of a get are shared, and 2048 of a gat', () => {
  const padded = (line: string, bytes: number): Buffer => latin1(`${line.padEnd(bytes - 2)}\r\n`)
  for (const [line, most] of [['get a', 8192], ['gets a', 8192], ['gat 0 a', 2048], ['gats 0 a', 2048]] as const) {
    expect(textFrames([padded(line, most)])).toMatchObject([{ found: 'request', strict: true }])
    expect(textFrames([padded(line, most + 1)])).toMatchObject([{ found: 'request', strict: false }])
  }
})

test('gat takes as many keys as get', () => {
  for (const keys of [22, 23, 24, 25, 100, 256]) shared(`gat 0${' a'.repeat(keys)}\r\n`, { key: `${'a '.repeat(keys - 1)}a` })
  shared(`gat 0${' a'.repeat(257)}\r\n`, { key: `${'a '.repeat(256)}a` })
  shared(`gats 0${' a'.repeat(1000)}\r\n`)
  apart(`gats 0${' a'.repeat(1100)}\r\n`)
})

test('lines of 2048 bytes are shared, longer ones are not, and only the get family may go on', () => {
  const padded = (line: string, bytes: number) => `${line.padEnd(bytes - 2)}\r\n`
  for (const line of ['delete a', 'incr a 1', 'mg a v', 'touch a 0']) {
    shared(padded(line, 2048))
    apart(padded(line, 2049))
    lost(padded(line, 2050), 'CLIENT_ERROR line too long')
  }
  shared(padded('gat 0 a', 2048))
  apart(padded('gat 0 a', 2049))
  apart(padded('gat 0 a', 3000))
  apart(padded('gats 0 a', 3000))
  shared(padded('get a', 3000))
  shared(padded('gets a', 3000))
  lost(`${'x'.repeat(2049)}`, 'CLIENT_ERROR line too long')
  expectFrames('x'.repeat(2048))
  lost(' '.repeat(3000), 'CLIENT_ERROR line too long')
  lost(`getx ${' '.repeat(3000)}`, 'CLIENT_ERROR line too long')
})

test('a get line is collected up to its limit and no further', () => {
  const head = 'get a'
  everySplit(latin1(head.padEnd(2500)), pieces => expect(textFrames(pieces, 2500)).toEqual([]))
  everySplit(latin1(head.padEnd(2501)), pieces => expect(textFrames(pieces, 2500)).toMatchObject([{ found: 'lost' }]))
  everySplit(latin1(`${head.padEnd(2500)}\n`), pieces => expect(textFrames(pieces, 2500)).toMatchObject([{ found: 'request' }]))
  everySplit(latin1(`${head.padEnd(2501)}\n`), pieces => expect(textFrames(pieces, 2500)).toMatchObject([{ found: 'lost' }]))
})

test('a long get line in small pieces is not copied whole for each', () => {
  const bytes = latin1(`get ${'a'.repeat(200)}${` ${'a'.repeat(200)}`.repeat(10_000)}\r\n`)
  const pieces = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, n) => bytes.subarray(n * 16, n * 16 + 16))
  expect(textFrames(pieces, 4 * 2 ** 20)).toMatchObject([{ found: 'request', strict: true, bytes: bytes.toString('latin1') }])
})

test('only CR LF ends a line that is shared', () => {
  apart('get a\n')
  apart('delete a\n')
  apart('set a 0 0 1\nx\r\n')
  apart('get a\r\r\n')
  apart('delete a\r\r\n')
  faulty('mn\r\r\n', 'ERROR')
})

test('blanks between words and at the end are words to nobody', () => {
  shared('get  a   b \r\n', { key: 'a   b' })
  shared('set  a  0  0  1 \r\nx\r\n', { key: 'a' })
  shared('gat   0   a  b  \r\n', { key: 'a  b' })
  shared('delete a   \r\n', { key: 'a' })
  shared('mg  a  v  k \r\n')
  faulty(' get a\r\n', 'ERROR')
  faulty('\tget a\r\n', 'ERROR')
})

test.each(['', 'x', 'GET a', 'foo', 'foo noreply', 'getx a', 'get\ta', 'mx', 'm', 'QUIT', '\r', '\0', 'get', 'get ', 'gets', 'gat', 'gat 0', 'delete', 'incr a', 'touch a', 'mg', 'flush_all 0 0', 'flush_all 0 0 0'])(
  'a line that is no command, %j, ends at its line end', line => {
    expectFrames(`${line}\r\nget a\r\n`, { found: 'faulty', strict: false }, { found: 'request', command: 'get', strict: true, key: 'a' })
  })

test('an unknown command for the web closes', () => {
  expectFrames('GET / HTTP/1.1\r\nHost: x\r\n\r\n', { found: 'http' }, { found: 'faulty' }, { found: 'faulty' })
  expectFrames('POST x HTTP/1.0\r\n', { found: 'http' })
  expectFrames('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { found: 'http' }, { found: 'faulty' }, { found: 'faulty' }, { found: 'faulty' })
  shared('get / HTTP/1.1\r\n')
  lost('set a 0 HTTP/1 1\r\nx\r\n', format)
})

test('what is not memcached at all', () => {
  expectFrames('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n', { found: 'faulty' })
  expectFrames('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n', { found: 'faulty' })
})

test.each(['0', '1', '4294967295', '0000000001'])('flags %s', flags => shared(`set a ${flags} 0 1\r\nx\r\n`))
test.each(['-1', '4294967296', '+1', '1x', 'x', '00000000001', '99999999999999999999'])('flags %s are no number', flags =>
  lost(`set a ${flags} 0 1\r\nx\r\n`, format))

test.each(['0', '-1', '2147483647', '-2147483648', '2592001'])('exptime %s', exptime => {
  shared(`set a 0 ${exptime} 1\r\nx\r\n`)
  shared(`touch a ${exptime}\r\n`)
  shared(`gat ${exptime} a\r\n`)
})
test.each(['2147483648', '-2147483649', '+1', '--1', '-', '1x', '00000000001'])('exptime %s is no number', exptime => {
  lost(`set a 0 ${exptime} 1\r\nx\r\n`, format)
  faulty(`touch a ${exptime}\r\n`, 'CLIENT_ERROR invalid exptime argument')
  faulty(`gat ${exptime} a\r\n`, 'CLIENT_ERROR invalid exptime argument')
  faulty(`flush_all ${exptime}\r\n`, 'CLIENT_ERROR invalid exptime argument')
})

test('a negative delay of flush_all is for the client alone', () => apart('flush_all -1\r\n'))

test.each(['0', '1', '18446744073709551615', '00000000000000000001'])('64 bits: %s', number => {
  shared(`incr a ${number}\r\n`)
  shared(`cas a 0 0 1 ${number}\r\nx\r\n`)
})
test.each(['18446744073709551616', '99999999999999999999', '-1', '+1', 'x', '1x', '000000000000000000001'])('64 bits: %s is no number', number => {
  faulty(`incr a ${number}\r\n`, 'CLIENT_ERROR invalid numeric delta argument')
  faulty(`decr a ${number}\r\n`, 'CLIENT_ERROR invalid numeric delta argument')
  lost(`cas a 0 0 1 ${number}\r\nx\r\n`, format)
})

test.each(['-1', '4294967298', '-4294967294', '2147483646', '2147483647', '+2', '2x', '2\t', '\t2', `${'0'.repeat(14)}2`, 'x'])('a data length of %j loses the stream', length => {
  lost(`set k 0 0 ${length}\r\nhi\r\n`, format)
  lost(`ms k ${length}\r\nhi\r\n`, format)
})

test('the longest data length is announced and waited for', () => {
  expectFrames('set k 0 0 2147483645\r\nhi\r\n')
  expectFrames('set k 0 0 002\r\nhi\r\n', { found: 'request', strict: true })
})

test('too few and too many words', () => {
  lost('set k 0 0\r\nhi\r\n', 'ERROR')
  lost('set k 0 0 2 x\r\nhi\r\n', 'ERROR')
  lost('set k 0 0 2 noreply x\r\nhi\r\n', 'ERROR')
  lost('cas k 0 0 2\r\nhi\r\n', 'ERROR')
  lost('cas k 0 0 2 1 x\r\nhi\r\n', 'ERROR')
  faulty('incr a 1 x\r\n', 'ERROR')
  faulty('incr a 1 noreply x\r\n', 'ERROR')
  faulty('touch a 1 x\r\n', 'ERROR')
  apart('version x\r\n')
  apart('mn x\r\n')
  apart('quit x\r\n', { command: 'quit' })
  lost(`set k 0 0 2${' x'.repeat(30)}\r\nhi\r\n`, format)
})

test('data blocks are by length alone', () => {
  for (const data of ['', 'x', 'END\r\n', 'VALUE k 0 3\r\nabc\r\nEND\r\n', 'MN\r\n', '\r\n', '\r', '\n', '\0\x80\x81', 'get a\r\n', 'x'.repeat(300)]) {
    expectFrames(`set k 0 0 ${data.length}\r\n${data}\r\nget a\r\n`,
      { found: 'request', strict: true, command: 'set', bytes: `set k 0 0 ${data.length}\r\n${data}\r\n` }, { command: 'get', strict: true })
    expectFrames(`ms k ${data.length}\r\n${data}\r\nmn\r\n`,
      { found: 'request', strict: true, command: 'ms', bytes: `ms k ${data.length}\r\n${data}\r\n` }, { command: 'mn', strict: true })
  }
})

test('a data block without its line end is faulty, and ends where it was announced to end', () => {
  for (const data of ['hiXX', 'hi\nX', 'hi\rX', 'hi\n\n', 'h\r\nX', 'hiX\r']) {
    for (const line of ['set k 0 0 2\r\n', 'ms k 2\r\n']) {
      expectFrames(`${line}${data}get a\r\n`, { found: 'faulty', words: 'CLIENT_ERROR bad data chunk', bytes: line + data }, { command: 'get' })
    }
  }
  expectFrames('set k 0 0 2\r\nhi\r')
  expectFrames('set k 0 0 2\r\nhi')
})

test('data blocks may be streamed or read over', () => {
  const text = 'set k 0 0 5\r\nab\r\nc\r\nget a\r\nms x 3 q\r\nxyz\r\nmn\r\n'
  everySplit(latin1(text), pieces => {
    const frames = textFrames(pieces, 9999, 'stream')
    expect(frames.map(frame => frame.bytes).join('')).toBe(text)
    expect(frames.map(frame => frame.command)).toEqual(['set', 'get', 'ms', 'mn'])
    expect(textFrames(pieces, 9999, 'skip').map(frame => frame.command)).toEqual(['set', 'get', 'ms', 'mn'])
  })
})

test.each(['set a 0 0 1', 'add a 0 0 1', 'replace a 0 0 1', 'append a 0 0 1', 'prepend a 0 0 1', 'cas a 0 0 1 5', 'incr a 1', 'decr a 1', 'delete a', 'touch a 0', 'flush_all', 'flush_all 5'])(
  '%s noreply: the word and its blank are cut out', line => {
    const data = /^(set|add|replace|append|prepend|cas) /.test(line) ? 'x\r\n' : ''
    shared(`${line} noreply\r\n${data}`, { silent: true, sent: `${line}\r\n${data}` })
    shared(`${line}  noreply  \r\n${data}`, { silent: true, sent: `${line}   \r\n${data}` })
  })

test.each(['NOREPLY', 'noreplyx', 'xnoreply', 'norepl'])('%s is no noreply', word => {
  lost(`set a 0 0 1 ${word}\r\nx\r\n`, 'ERROR')
  faulty(`incr a 1 ${word}\r\n`, 'ERROR')
  faulty(`touch a 1 ${word}\r\n`, 'ERROR')
  faulty(`delete a ${word}\r\n`, 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]')
})

test('noreply where it is none', () => {
  lost('cas k 0 0 1 noreply\r\nx\r\n', format)
  faulty('incr a noreply\r\n', 'CLIENT_ERROR invalid numeric delta argument')
  faulty('touch a noreply\r\n', 'CLIENT_ERROR invalid exptime argument')
  apart('delete a 0\r\n')
  apart('delete a 0 noreply\r\n', { silent: true, sent: 'delete a 0\r\n' })
  faulty('delete a 1\r\n', 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]')
  faulty('delete a 0 0\r\n', 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]')
  faulty('delete a 0 0 0\r\n', 'ERROR')
})

test('sub-commands by prefix are unknown ones', () => {
  for (const line of ['stats r', 'stats se', 'stats cach 1 1', 'stats de du', 'stats noreply', 'stats foo', 'lru_crawler met all', 'lru_crawler mg all', 'lru_crawler m all']) {
    expectFrames(`${line}\r\n`, { found: 'faulty', command: 'unknown', words: 'ERROR' })
  }
  apart('stats  settings\r\n', { command: 'stats settings' })
  apart('stats settings x\r\n', { command: 'stats settings' })
  apart('lru_crawler crawl all\r\n', { command: 'lru_crawler' })
})

test('requests follow one another however they are cut', () => {
  expectFrames('get a\r\nset b 0 0 2 noreply\r\n\r\n\r\nmg c v q\r\nmn\r\ndelete d\r\nincr e 1\r\n',
    { command: 'get', key: 'a' }, { command: 'set', silent: true, sent: 'set b 0 0 2\r\n\r\n\r\n' }, { command: 'mg', quiet: true },
    { command: 'mn' }, { command: 'delete', key: 'd' }, { command: 'incr', key: 'e' })
})
