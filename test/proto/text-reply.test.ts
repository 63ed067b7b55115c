import { expect, test } from 'vitest'
import { Got } from '../../src/proto/reply.ts'
import { TextReplyFramer } from '../../src/proto/text-reply.ts'
import { everySplit } from '../support/every-split.ts'
import { expectReplies } from './frames.ts'
import { expecting, latin1, replies, type Asked } from './reading.ts'

const values = (keys: string): Asked => ({ shape: 'values', keys })
const valuesCas = (keys: string): Asked => ({ shape: 'valuesCas', keys })

/** The whole text is one reply. */
const whole = (text: string, asked: Asked, isPrivate = false) => expectReplies(text, [asked], [text], isPrivate)
/** The stream is torn down at it. */
const refused = (text: string, asked: Asked | Asked[], code = 'bad-reply', isPrivate = false) => everySplit(latin1(text), pieces =>
  expect(replies(pieces, [asked].flat(), isPrivate).at(-1)).toBe(code))

const answers: Record<string, { fits: string[], not: string[] }> = {
  stored: { fits: ['STORED', 'NOT_STORED', 'EXISTS', 'NOT_FOUND'], not: ['STORED ', 'STOREDx', 'DELETED', 'HD', 'END', 'stored', ''] },
  number: { fits: ['0', '5', '18446744073709551615', 'NOT_FOUND', 'CLIENT_ERROR cannot increment or decrement non-numeric value'], not: ['184467440737095516150', '-1', '5 ', 'x', 'STORED', ''] },
  deleted: { fits: ['DELETED', 'NOT_FOUND'], not: ['STORED', 'TOUCHED', 'DELETED x'] },
  touched: { fits: ['TOUCHED', 'NOT_FOUND'], not: ['DELETED', 'EXISTS'] },
  ok: { fits: ['OK', 'CLIENT_ERROR flush_all not allowed'], not: ['OK ', 'RESET'] },
  version: { fits: ['VERSION 1.6.45', 'VERSION '], not: ['VERSION', 'OK', 'ERROR Too many open connections'] },
  mn: { fits: ['MN'], not: ['MN ', 'HD', 'EN'] },
  me: { fits: ['ME a exp=-1 la=0 cas=1 fetch=no cls=1 size=60', 'EN'], not: ['ME', 'END', 'HD'] },
  meta: { fits: ['HD', 'EN', 'NF', 'NS', 'EX', 'HD Oabc', 'HD  k', 'NF ', 'EN O1 ka', 'CLIENT_ERROR cannot increment or decrement non-numeric value'], not: ['MN', 'OK', 'HDx', 'E', 'END', 'STORED', 'VA', 'VA ', 'VA x', 'VA -1', 'VA 1x', 'VA 1073741825', 'VA 99999999999', ''] },
}

for (const [shape, { fits, not }] of Object.entries(answers)) {
  const asked = { shape } as Asked
  test(`${shape}: each of its answers, and SERVER_ERROR`, () => {
    for (const line of [...fits, 'SERVER_ERROR out of memory storing object', 'SERVER_ERROR object too large for cache']) whole(`${line}\r\n`, asked)
  })

  test(`${shape}: any other line breaks the stream`, () => {
    for (const line of [...not, 'ERRORx', 'CLIENT_ERROR', 'SERVER_ERROR', 'SERVER_ERRORx', 'VALUE a 0 1']) refused(`${line}\r\n`, asked)
    refused(`${fits[0]}\n`, asked)
    refused('\n', asked)
    for (const behind of ['', '-', '\x01\x7f', '\r\nVALUE a 0 1', ' \n', '\n\r\n']) refused(`SERVER_ERROR out of memory writing get response${behind}\r\n`, asked, 'lost-replies')
    refused('SERVER_ERROR output line too long\r\n', asked, 'lost-replies')
  })
}

const errors = ['ERROR', 'ERROR no such thing', 'CLIENT_ERROR no such pool', 'CLIENT_ERROR bad command line format']

test('an error line is a whole answer to a request without a data block', () => {
  for (const shape of ['number', 'deleted', 'touched', 'ok', 'mn', 'me', 'meta'] as const) {
    for (const line of errors) expectReplies(`${line}\r\nSTORED\r\n`, [{ shape }, { shape: 'stored' }], [`${line}\r\n`, 'STORED\r\n'])
  }
  for (const line of errors) {
    expectReplies(`${line}\r\nSTORED\r\n`, [values('a'), { shape: 'stored' }], [`${line}\r\n`, 'STORED\r\n'])
    expectReplies(`HD\r\n${line}\r\nMN\r\n`, [{ shape: 'metaRun', count: 2, loud: 0 }], ['HD\r\n', `${line}\r\n`, 'MN\r\n'])
    expectReplies(`HD\r\n${line}\r\nEN\r\n`, [{ shape: 'metaBatch', count: 3 }], [`HD\r\n${line}\r\nEN\r\n`])
  }
})

test('an error line to a request with a data block breaks the stream: the block may be read as commands', () => {
  for (const line of errors) {
    refused(`${line}\r\n`, { shape: 'stored' })
    refused(`${line}\r\n`, { shape: 'meta', hasBlock: true })
    refused(`${line}\r\nMN\r\n`, { shape: 'metaRun', count: 2, loud: 0, hasBlock: true })
  }
  const notANumber = 'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n'
  expectReplies(`${notANumber}MN\r\n`, [{ shape: 'metaRun', count: 2, loud: 0, hasBlock: true }], [notANumber, 'MN\r\n'])
})

test('an error line among the values of a get of several keys: part of the list when nothing else can be behind it', () => {
  const a = 'VALUE a 0 1\r\nx\r\n'
  for (const line of ['SERVER_ERROR backend failure', ...errors]) {
    const error = `${line}\r\n`
    const asPart = (text: string, isPrivate: boolean) => expect(replies([latin1(text)], [values('a b c')], isPrivate)).toEqual([text])
    for (const isPrivate of [false, true]) {
      for (const text of [`${a}${error}END\r\n`, `${error}${a}END\r\n`, `${error}${error}END\r\n`, `${a}${error}${error}END\r\n`]) asPart(text, isPrivate)
    }
    // Alone on its connection, a client has a whole answer, as mcrouter gives it.
    expect(replies([latin1(`${a}${error}`)], [values('a b')], true)).toEqual([`${a}${error}`])
    // With others behind it, nobody can tell.
    for (const isPrivate of [false, true]) {
      for (const text of [`${a}${error}`, `${a}${error}END\r\n`]) expect(replies([latin1(text)], [values('a b'), values('d')], isPrivate)).toEqual(['bad-reply'])
    }
  }
  expect(replies([latin1(`CLIENT_ERROR no such pool\r\nEND\r\n`)], [values('a b'), values('d')])).toEqual(['bad-reply'])
  expect(replies([latin1(`SERVER_ERROR out of memory\r\nEND\r\n`)], [values('a b'), values('d')])).toEqual(['SERVER_ERROR out of memory\r\n', 'END\r\n'])
})

test('a client alone on its connection is told whatever memcached says against it', () => {
  for (const shape of [...Object.keys(answers), 'values', 'valuesCas'] as Asked['shape'][]) {
    for (const line of ['ERROR', 'ERROR unknown', 'CLIENT_ERROR bad data chunk', 'SERVER_ERROR out of memory writing get response']) {
      whole(`${line}\r\n`, { shape, keys: 'a' }, true)
    }
    refused('RESET\r\n', { shape, keys: 'a' }, 'bad-reply', true)
  }
})

test('header lines of 2048 bytes pass, longer ones break the stream', () => {
  const line = (bytes: number) => `SERVER_ERROR ${'x'.repeat(bytes - 13)}`
  whole(`${line(2047)}\r\n`, { shape: 'stored' })
  refused(`${line(2048)}\r\n`, { shape: 'stored' })
  refused(line(2049), { shape: 'stored' })
  expectReplies(line(2048), [{ shape: 'stored' }], [`held: ${line(2048)}`])
  refused('x'.repeat(2049), values('a'))
  refused('x'.repeat(2049), { shape: 'meta' })
})

test('values: hits in the order asked, misses left out', () => {
  whole('END\r\n', values('a'))
  whole('VALUE a 0 1\r\nx\r\nEND\r\n', values('a'))
  whole('VALUE a 0 0\r\n\r\nEND\r\n', values('a'))
  whole('VALUE b 0 1\r\nx\r\nEND\r\n', values('a b c'))
  whole('VALUE a 0 1\r\nx\r\nVALUE c 4294967295 2\r\nxy\r\nEND\r\n', values('a b c'))
  whole('VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n', values('a a a'))
  whole('VALUE a -2147483648 1\r\nx\r\nEND\r\n', values('a'))
  whole('VALUE a 18446744073709551615 1\r\nx\r\nEND\r\n', values('a'))
  whole('VALUE ab 0 1\r\nx\r\nEND\r\n', values('a ab abc'))
  whole('VALUE a 0 1\r\nx\r\nVALUE abc 0 1\r\nx\r\nEND\r\n', values('a  ab   abc'))
  for (const key of ['END', 'VALUE', 'STORED', '0', '\x80\xff', 'k'.repeat(250)]) whole(`VALUE ${key} 0 1\r\nx\r\nEND\r\n`, values(key))
})

test('values with cas have it, those without have not', () => {
  whole('VALUE a 0 1 0\r\nx\r\nEND\r\n', valuesCas('a'))
  whole('VALUE a 0 1 18446744073709551615\r\nx\r\nEND\r\n', valuesCas('a'))
  refused('VALUE a 0 1\r\nx\r\nEND\r\n', valuesCas('a'))
  refused('VALUE a 0 1 \r\nx\r\nEND\r\n', valuesCas('a'))
  refused('VALUE a 0 1 1 \r\nx\r\nEND\r\n', valuesCas('a'))
  refused('VALUE a 0 1 184467440737095516150\r\nx\r\nEND\r\n', valuesCas('a'))
  refused('VALUE a 0 1 5\r\nx\r\nEND\r\n', values('a'))
})

test.each(['END\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n', 'VALUE b 0 3\r\nabc\r\nEND\r\n', 'MN\r\n', '\r\n', '\r', '\n', '\0\x80\x81', 'x'.repeat(500)])(
  'a value is by its length alone: %j', data => {
    whole(`VALUE a 0 ${data.length}\r\n${data}\r\nVALUE b 0 1\r\ny\r\nEND\r\n`, values('a b'))
    whole(`VA ${data.length} s1\r\n${data}\r\n`, { shape: 'meta' })
    expectReplies(`VALUE a 0 ${data.length}\r\n${data}\r\nEND\r\nSTORED\r\nVA ${data.length}\r\n${data}\r\nEND\r\n`,
      [values('a'), { shape: 'stored' }, { shape: 'meta' }, values('z')],
      [`VALUE a 0 ${data.length}\r\n${data}\r\nEND\r\n`, 'STORED\r\n', `VA ${data.length}\r\n${data}\r\n`, 'END\r\n'])
  })

test('a value for a key that was not asked for, or not in that place, breaks the stream', () => {
  for (const [key, keys] of [['b', 'a'], ['a', 'ab'], ['ab', 'a'], ['', 'a'], ['a b', 'a'], ['A', 'a']]) {
    const text = `VALUE ${key} 0 1\r\nx\r\nEND\r\n`
    everySplit(latin1(text), pieces => expect(['wrong-key', 'bad-reply']).toContain(replies(pieces, [values(keys)]).at(-1)))
  }
  refused('VALUE b 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n', values('a b'), 'wrong-key')
  refused('VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n', values('a b'), 'wrong-key')
  refused(`VALUE ${'k'.repeat(251)} 0 1\r\nx\r\nEND\r\n`, values('k'.repeat(250)), 'wrong-key')
})

test('values in any order: each key as often as it was asked for, and no other', () => {
  const value = (key: string) => `VALUE ${key} 0 1\r\nx\r\n`
  const list = (keys: string) => `${keys.split(' ').map(value).join('')}END\r\n`
  for (const [asked, answered] of [
    ['a b c', 'c b a'], ['a b c', 'c b'], ['a b c', 'b c a'], ['a b c', 'b a c'], ['a b c d e f', 'd e f a b c'], ['a  ab   abc', 'abc a ab'], ['a ab', 'ab a'], ['a a b', 'b a a'], ['a b a', 'b a a'], ['a b a', 'a a b'],
  ]) expectReplies(`${list(answered)}${list(answered)}STORED\r\n`, [values(asked), values(asked), { shape: 'stored' }], [list(answered), list(answered), 'STORED\r\n'], false, true)
  for (const [asked, answered] of [['a b', 'b a b'], ['a b', 'b b'], ['a a b', 'a b a a'], ['a b', 'b c'], ['ab b', 'b a'], ['a b', 'b ab']]) {
    everySplit(latin1(list(answered)), pieces => expect(replies(pieces, [values(asked)], false, true).at(-1)).toBe('wrong-key'))
  }
  // A get that ends in the middle of another's keys leaves nothing behind for the next one.
  expectReplies(`${list('b')}${list('b a')}`, [values('a b'), values('a b')], [list('b'), list('b a')], false, true)
  const many = Array.from({ length: 1000 }, (_, n) => `key${n}`)
  const reply = list(many.toReversed().join(' '))
  expect(replies([latin1(reply)], [values(many.join(' '))], false, true)).toEqual([reply])
  expect(replies([latin1(reply.replace('END', 'VALUE key7 0 1\r\nx\r\nEND'))], [values(many.join(' '))], false, true)).toEqual(['wrong-key'])
})

test('anything but VALUE and END inside a reply to a get breaks the stream', () => {
  for (const line of ['SERVER_ERROR out of memory', 'ERROR', 'STORED', 'END ', 'HD', '']) refused(`VALUE a 0 1\r\nx\r\n${line}\r\n`, values('a b'))
  refused('SERVER_ERROR out of memory writing get response\r\n', values('a'), 'lost-replies')
  whole('SERVER_ERROR out of memory\r\n', values('a'))
})

test.each([
  'VALUE a 0 x\r\n', 'VALUE a 0\r\n', 'VALUE a\r\n', 'VALUE a x 1\r\n', 'VALUE a 0 -1\r\n', 'VALUE a 0 1073741825\r\n', 'VALUE a 0 99999999999\r\n', 'VALUE a  0 1\r\n',
  'VALUE a 0 1\n', 'VALUE a 0 1\r\r\n', 'VALUE a 0 1 \r\n', 'VALUE\r\n', 'VALUES a 0 1\r\n', 'VALUEa 0 1\r\n', 'VALUE a 000000000000000000000 1\r\n',
])('the header %j breaks the stream', header => {
  everySplit(latin1(`${header}x\r\nEND\r\n`), pieces => expect(['bad-reply', 'wrong-key']).toContain(replies(pieces, [values('a')]).at(-1)))
})

test('a value without its line end breaks the stream', () => {
  for (const text of ['VALUE a 0 1\r\nxy\r\nEND\r\n', 'VALUE a 0 3\r\nx\r\nEND\r\n', 'VALUE a 0 1\r\nx\n\nEND', 'VALUE a 0 0\r\nEND\r\n']) refused(text, values('a'), 'bad-block')
  for (const text of ['VA 1\r\nxy\r\n', 'VA 0\r\nHD\r\n', 'VA 2\r\nx\r\nHD\r\n']) refused(text, { shape: 'meta' }, 'bad-block')
})

test('what is not whole is waited for', () => {
  for (const text of ['VALUE a 0 5\r\nhel', 'VALUE a 0 5\r\nhello', 'VALUE a 0 5\r\nhello\r', 'VALUE a 0', 'V', 'VALUE a 0 5\r\nhello\r\nEN']) {
    expectReplies(text, [values('a')], [`held: ${text}`])
  }
  expectReplies('VA 5\r\nhel', [{ shape: 'meta' }], ['held: VA 5\r\nhel'])
  expectReplies('STORE', [{ shape: 'stored' }], ['held: STORE'])
})

test('a run: any number of answers up to its MN, no more than were asked and no fewer than must come', () => {
  const run = (count: number, loud: number): Asked => ({ shape: 'metaRun', count, loud })
  expectReplies('MN\r\n', [run(3, 0)], ['MN\r\n'])
  expectReplies('HD\r\nVA 4\r\nMN\r\n\r\nEN\r\nMN\r\n', [run(3, 0)], ['HD\r\n', 'VA 4\r\nMN\r\n\r\n', 'EN\r\n', 'MN\r\n'])
  expectReplies('HD\r\nHD\r\nMN\r\n', [run(3, 2)], ['HD\r\n', 'HD\r\n', 'MN\r\n'])
  expectReplies('HD\r\nMN\r\n', [run(3, 2)], ['HD\r\n', 'bad-reply'])
  expectReplies('HD\r\nHD\r\nHD\r\nMN\r\n', [run(2, 0)], ['HD\r\n', 'HD\r\n', 'bad-reply'])
  expectReplies('MN\r\nMN\r\n', [run(2, 0)], ['MN\r\n', 'unasked: M'])
  expectReplies('HD\r\nMN\r\nHD\r\nMN\r\n', [run(1, 0), run(1, 1)], ['HD\r\n', 'MN\r\n', 'HD\r\n', 'MN\r\n'])
  refused('EN\r\nSERVER_ERROR out of memory writing get response\r\n', run(1, 1), 'lost-replies')
  expectReplies('SERVER_ERROR out of memory\r\nMN\r\n', [run(1, 0)], ['SERVER_ERROR out of memory\r\n', 'MN\r\n'])
  for (const line of ['STORED', 'MN x', 'VA x', 'OK']) refused(`${line}\r\n`, run(2, 0))
})

test('lists end at END, dumps at END or EN, and one line may say no', () => {
  whole('STAT pid 1\r\nSTAT x END\r\nEND\r\n', { shape: 'lines' }, true)
  whole('END\r\n', { shape: 'lines' }, true)
  whole('RESET\r\n', { shape: 'lines' }, true)
  whole('ERROR\r\n', { shape: 'lines' }, true)
  whole('PREFIX a get 1\r\nEND\r\n', { shape: 'lines' }, true)
  whole('ITEM a [1 b; 0 s]\r\nEND\r\n', { shape: 'lines' }, true)
  whole('key=a exp=1\nkey=b exp=1\nEND\r\n', { shape: 'dump' }, true)
  whole('OK\r\nkey=a exp=1\nEND\r\n', { shape: 'dump' }, true)
  whole('mg a\r\nmg b\r\nEN\r\n', { shape: 'dump' }, true)
  whole('BUSY currently processing crawler request\r\n', { shape: 'dump' }, true)
  expectReplies('STAT a 1\r\nEND\r\nSTAT b 1\r\nEND\r\n', [{ shape: 'lines' }, { shape: 'lines' }], ['STAT a 1\r\nEND\r\n', 'STAT b 1\r\nEND\r\n'], true)
  whole(`STAT ${'x'.repeat(8187)}\nEND\r\n`, { shape: 'lines' }, true)
  refused(`STAT ${'x'.repeat(8188)}\nEND\r\n`, { shape: 'lines' }, 'bad-reply', true)
  expectReplies('OK\r\nlog line\n', [{ shape: 'endless' }], ['held: OK\r\nlog line\n'], true)
})


test('a batch: as many answers as requests, hits counted however they arrive', () => {
  const text = 'VA 2\r\nab\r\nEN\r\nHD\r\nVA 3\r\nxyz\r\nVA 0\r\n\r\n'
  expectReplies(`${text}STORED\r\n`, [{ shape: 'metaBatch', count: 5 }, { shape: 'stored' }], [text, 'STORED\r\n'])
  expectReplies('HD\r\nVA 2\r\nab', [{ shape: 'metaBatch', count: 2 }], ['held: HD\r\nVA 2\r\nab'])
  refused('HD\r\nMN\r\n', { shape: 'metaBatch', count: 2 })
  everySplit(latin1(text), pieces => {
    const framer = new TextReplyFramer(false)
    const slab = Buffer.alloc(text.length)
    let at = 0
    let end = 0
    let hits = 0
    for (const piece of pieces) {
      end += piece.copy(slab, end)
      for (let got: Got = Got.part; at < end && got !== Got.more;) {
        got = framer.next(slab, at, end, expecting({ shape: 'metaBatch', count: 5 }), 0)
        at = framer.at
        if (got !== Got.more) hits += framer.hits
      }
    }
    expect(hits).toBe(4)
  })
})

/** Gets of one key each that lie side by side, as their client wrote them. */
const gets = (...lines: string[]): Asked => ({ shape: 'gets', keys: lines.map(line => `${line}\r\n`).join(''), count: lines.length })

test('several gets: an answer to each in their order, hits counted however they arrive', () => {
  const a = 'VALUE a 0 3\r\nAAA\r\nEND\r\n'
  const empty = 'VALUE bb 4294967295 0\r\n\r\nEND\r\n'
  const end = 'VALUE END 0 5\r\nEND\r\n\r\nEND\r\n'
  const asked = gets('get a', 'get   bb  ', 'get c', 'get END')
  const texts = [a + empty + 'END\r\n' + end, 'END\r\n'.repeat(4), `${a}${empty}SERVER_ERROR out of memory\r\nEND\r\n`, `CLIENT_ERROR no such pool\r\nEND\r\nEND\r\n${end}`]
  for (const text of texts) expectReplies(`${text}STORED\r\n`, [asked, { shape: 'stored' }], [text, 'STORED\r\n'])
  expectReplies(a, [asked], [`held: ${a}`])
  expectReplies(`${a}VALUE bb`, [asked], [`held: ${a}VALUE bb`])
  everySplit(latin1(a + empty + 'END\r\n' + end), pieces => {
    const framer = new TextReplyFramer(false)
    const slab = Buffer.alloc(200)
    let at = 0
    let to = 0
    let hits = 0
    let got: Got = Got.more
    for (const piece of pieces) {
      to += piece.copy(slab, to)
      for (got = Got.part; at < to && got !== Got.more && got !== Got.whole;) {
        got = framer.next(slab, at, to, expecting(asked), 0)
        at = framer.at
        if (got !== Got.more) hits += framer.hits
      }
    }
    expect({ got, hits }).toEqual({ got: Got.whole, hits: 3 })
  })
})

test('several gets: the value of another key, two values, another line than END behind a value break the stream', () => {
  for (const key of ['b', 'aa', 'A', '']) refused(`VALUE ${key} 0 1\r\nx\r\nEND\r\n`, gets('get a', 'get b'), 'wrong-key')
  refused('END\r\nVALUE a 0 1\r\nx\r\nEND\r\n', gets('get a', 'get b'), 'wrong-key')
  refused('VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n', gets('get a', 'get a'))
  for (const line of ['STORED', 'ENDx', 'SERVER_ERROR x', 'ERROR', 'VALUE b 0 1']) refused(`VALUE a 0 1\r\nx\r\n${line}\r\n`, gets('get a', 'get b'))
  for (const line of ['STORED', 'HD', 'END ', 'VALU a 0 1', 'VALUE a 0', 'VALUE a x 1', 'VALUE a 0 1 2']) refused(`${line}\r\nx\r\n`, gets('get a', 'get b'))
  refused('VALUE a 0 1\r\nxyEND\r\n', gets('get a', 'get b'), 'bad-block')
  refused('SERVER_ERROR out of memory writing get response\r\n', gets('get a', 'get b'), 'lost-replies')
})

// Gets of one key that went on one line. All but the last are `joined`, and the END is the last one's.
const joined = (...keys: string[]): Asked[] => keys.map((key, n) => ({ shape: n < keys.length - 1 ? 'joined' : 'values', keys: key }))

test('joined gets: each has its own value or nothing, and the last has the END', () => {
  const a = 'VALUE a 0 3\r\nAAA\r\n'
  const bb = 'VALUE bb 7 2\r\n\r\n\r\n'
  const c = 'VALUE c 4294967295 0\r\n\r\n'
  const keys = joined('a', 'bb', 'c')
  expectReplies(`${a}${bb}${c}END\r\n`, keys, [a, bb, `${c}END\r\n`])
  expectReplies(`${a}${bb}END\r\n`, keys, [a, bb, 'END\r\n'])
  expectReplies(`${bb}END\r\n`, keys, ['(nothing)', bb, 'END\r\n'])
  expectReplies(`${c}END\r\n`, keys, ['(nothing)', '(nothing)', `${c}END\r\n`])
  expectReplies('END\r\n', keys, ['(nothing)', '(nothing)', 'END\r\n'])
  expectReplies(`${a}${c}END\r\nSTORED\r\n`, [...keys, { shape: 'stored' }], [a, '(nothing)', `${c}END\r\n`, 'STORED\r\n'])
})

test('joined gets: a value that looks like the rest of the reply is a value', () => {
  const body = 'END\r\nVALUE b 0 1\r\nB\r\nEND'
  const a = `VALUE a 0 ${body.length}\r\n${body}\r\n`
  expectReplies(`${a}END\r\n`, joined('a', 'b'), [a, 'END\r\n'])
})

test('joined gets: a key is not taken for one that it begins, nor for one that begins with it', () => {
  const long = 'VALUE ab 0 1\r\n1\r\n'
  const short = 'VALUE a 0 1\r\n2\r\n'
  expectReplies(`${long}END\r\n`, joined('a', 'ab'), ['(nothing)', `${long}END\r\n`])
  expectReplies(`${short}END\r\n`, joined('ab', 'a'), ['(nothing)', `${short}END\r\n`])
})

test('joined gets: the same key of two clients is answered twice, or once', () => {
  const a = 'VALUE a 0 1\r\nA\r\n'
  expectReplies(`${a}${a}END\r\n`, joined('a', 'a'), [a, `${a}END\r\n`])
  expectReplies(`${a}END\r\n`, joined('a', 'a'), [a, 'END\r\n'])
})

test('joined gets: a value that nobody asked for, or asked for earlier, breaks the stream', () => {
  refused('VALUE x 0 1\r\nX\r\nEND\r\n', joined('a', 'b'), 'wrong-key')
  refused('VALUE b 0 1\r\nB\r\nVALUE a 0 1\r\nA\r\nEND\r\n', joined('a', 'b'), 'wrong-key')
  refused('VALUE a 0 1\r\nA\r\nVALUE a 0 1\r\nA\r\nEND\r\n', joined('a', 'b'), 'wrong-key')
  refused('VALUE a 0 1 5\r\nA\r\nEND\r\n', joined('a', 'b'))
  refused('VALUE a 0 1\r\nAA\r\nEND\r\n', joined('a', 'b'), 'bad-block')
  refused('VALUEa 0 1\r\nA\r\n', joined('a', 'b'))
})

test('joined gets: an error line is for all of them, and may not follow a value', () => {
  const error = 'SERVER_ERROR memseal: backend unavailable\r\n'
  expectReplies(`${error}STORED\r\n`, [...joined('a', 'b', 'c'), { shape: 'stored' }], [`for all: ${error}`, `for all: ${error}`, error, 'STORED\r\n'])
  refused(`VALUE a 0 1\r\nA\r\n${error}`, joined('a', 'b', 'c'))
  refused(`VALUE a 0 1\r\nA\r\n${error}`, joined('a', 'b'))
  refused('SERVER_ERROR out of memory writing get response\r\n', joined('a', 'b'), 'lost-replies')
  refused('STORED\r\n', joined('a', 'b'))
  // The next line has nothing to do with it.
  expectReplies(`VALUE a 0 1\r\nA\r\nEND\r\n${error}`, [...joined('a', 'b'), ...joined('a')], ['VALUE a 0 1\r\nA\r\n', 'END\r\n', error])
})
