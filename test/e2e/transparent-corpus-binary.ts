// What clients say in the binary protocol: each opcode as it is meant and with every length that is off by one, quiet
// runs, and packets that smuggle others.
import { casOf, counted, op, packet, stored } from './support/binary.ts'
import type { Packet } from './support/binary.ts'
import type { Conversation, Step } from './support/conversation.ts'

type Says = (k: string) => Step | Step[]
const named = (name: string, says: Says, more: Partial<Conversation> = {}): Conversation => ({ name: `binary: ${name}`, says, ...more })
const join = (...packets: Buffer[]): Buffer => Buffer.concat(packets)
const set = (k: string, value: string, more: Packet = {}): Buffer => packet(op.set, { key: k, extras: stored(5), value, ...more })
const noop = packet(op.noop, { opaque: 0xffffffff })
const version = packet(op.version, { opaque: 0 })

/** Each opcode with a body as it should be. */
const asMeant: Record<keyof typeof op, (k: string) => Packet> = {
  get: key => ({ key }), getq: key => ({ key }), getk: key => ({ key }), getkq: key => ({ key }),
  gat: key => ({ key, extras: [0, 0, 0, 0] }), gatq: key => ({ key, extras: [0, 0, 0, 0] }),
  gatk: key => ({ key, extras: [0, 0, 0, 0] }), gatkq: key => ({ key, extras: [0, 0, 0, 0] }),
  touch: key => ({ key, extras: [0, 0, 0, 0] }),
  set: key => ({ key, extras: stored(), value: 'v' }), setq: key => ({ key, extras: stored(), value: 'v' }),
  add: key => ({ key, extras: stored(), value: 'v' }), addq: key => ({ key, extras: stored(), value: 'v' }),
  replace: key => ({ key, extras: stored(), value: 'v' }), replaceq: key => ({ key, extras: stored(), value: 'v' }),
  append: key => ({ key, value: 'v' }), appendq: key => ({ key, value: 'v' }), prepend: key => ({ key, value: 'v' }), prependq: key => ({ key, value: 'v' }),
  delete: key => ({ key }), deleteq: key => ({ key }),
  incr: key => ({ key, extras: counted(1n, 5n) }), incrq: key => ({ key, extras: counted(1n, 5n) }),
  decr: key => ({ key, extras: counted(1n, 5n) }), decrq: key => ({ key, extras: counted(1n, 5n) }),
  flush: () => ({}), flushq: () => ({}), noop: () => ({}), version: () => ({}), quit: () => ({}), quitq: () => ({}),
  stat: () => ({}), verbosity: () => ({ extras: [0, 0, 0, 0] }),
  saslList: () => ({}), saslAuth: () => ({ key: 'PLAIN', value: '\0user\0word' }), saslStep: () => ({ key: 'PLAIN', value: 'x' }),
}

const opcodes = Object.keys(asMeant) as (keyof typeof op)[]
/** What really flushes does so when nobody else is there. */
const flushes = (name: string): Partial<Conversation> => (name.startsWith('flush') ? { order: 'last' } : {})

const eachOpcode: Conversation[] = opcodes.flatMap(name => [
  named(`${name}, twice, on what is and what is not there`, k => [set(k, 'value'), join(packet(op[name], asMeant[name](k)), noop,
    packet(op[name], { ...asMeant[name](`${k}x`), opaque: 0 }), packet(op[name], { ...asMeant[name](`${k}x`), opaque: 0 }), noop)], flushes(name)),
  named(`${name} with a byte more of extras`, k => {
    const meant = asMeant[name](k)
    return join(version, packet(op[name], { ...meant, extras: [...meant.extras ?? [], 0] }), noop)
  }),
  named(`${name} with a byte less of extras`, k => {
    const meant = asMeant[name](k)
    return join(version, packet(op[name], { ...meant, extras: [...meant.extras ?? []].slice(1) }), noop)
  }, flushes(name)),
  named(`${name} without a key, or with one`, k => {
    const meant = asMeant[name](k)
    return join(version, packet(op[name], { ...meant, key: meant.key === undefined ? k : undefined }), noop)
  }),
  named(`${name} with a value, or without`, k => {
    const meant = asMeant[name](k)
    const wrong = packet(op[name], { ...meant, value: meant.value === undefined ? 'v' : undefined })
    // Its last byte by itself: some of these are answered before it comes, and what it is taken for closes the connection.
    return [set(k, '1'), wrong.subarray(0, -1), join(wrong.subarray(-1), noop)]
  }, name === 'stat' ? { mask: 'statistics' } : {}),
  // Quiet opcodes are checked by the same code; long packets, byte by byte, take time.
  ...name.endsWith('q') ? [] : [named(`${name} with a key of 251 bytes`, k => join(version, packet(op[name], { ...asMeant[name](k), key: k.padEnd(251, 'x') }), noop))],
  named(`${name} with another packet in its body`, k => join(set(k, '1'), packet(op[name], { ...asMeant[name](k), value: version }), noop)),
  named(`${name} with a body shorter than its key`, k => join(version, packet(op[name], { ...asMeant[name](k), bodyBytes: 1 }), noop)),
])

// Not among them: a set with a body of 4 GiB. What memcached up to 1.6.41 makes of it depends on how it arrives.
const broken: Conversation[] = [
  named('no body for a set', k => join(version, packet(op.set, { key: k, bodyBytes: 0 }), noop)),
  named('a body of 2 GiB', k => join(version, packet(op.set, { key: k, extras: stored(), bodyBytes: 2 ** 31 }), noop)),
  named('a key of 65535 bytes', k => join(version, packet(op.get, { key: k, keyBytes: 65535, bodyBytes: 65535 }), noop)),
  named('more extras than body', k => join(version, packet(op.set, { key: k, extraBytes: 255, extras: stored() }), noop)),
  ...[0x1f, 0x25, 0x30, 0x3c, 0x70, 0xff].flatMap(opcode => [
    named(`the unknown opcode ${opcode.toString(16)}`, () => join(version, packet(opcode), noop, version)),
    named(`the unknown opcode ${opcode.toString(16)} with a key`, k => join(packet(opcode, { key: k }), set(k, '1'), noop, version, version)),
    named(`the unknown opcode ${opcode.toString(16)} with all`, k => join(packet(opcode, { key: k, extras: stored(), value: 'value' }), noop, version, version)),
  ]),
  named('wrong magic behind valid packets', k => join(set(k, '1'), version, packet(op.noop, { magic: 0x81 }), version)),
  named('wrong magic 0x00', k => [join(set(k, '1'), version), packet(op.noop, { magic: 0 })]),
  named('text behind binary', k => [join(set(k, '1'), version), 'version\r\nget a\r\n']),
  named('a header cut off', () => [version, version.subarray(0, 10)]),
  named('FIN in a header', k => join(set(k, '1'), packet(op.get, { key: k }), version.subarray(0, 10)), { ends: true }),
  named('FIN in a value', k => join(version, set(k, 'value').subarray(0, -2)), { ends: true }),
  named('FIN behind quiet packets', k => join(packet(op.setq, { key: k, extras: stored(), value: '1' }), packet(op.getq, { key: k }), packet(op.getkq, { key: `${k}x` })), { ends: true }),
  named('a value too large', k => join(set(k, 'v'.repeat(1_048_600)), packet(op.get, { key: k }), noop)),
  named('a value too large, quiet', k => join(packet(op.setq, { key: k, extras: stored(), value: 'v'.repeat(1_048_600) }), noop)),
  named('a value larger than memseal holds', k => join(version, set(k, 'v'.repeat(3_000_000)), packet(op.get, { key: k }), noop)),
  named('quit with packets behind it', () => join(version, packet(op.quit), version)),
  named('quitq with packets behind it', () => join(version, packet(op.quitq), version)),
]

const runs: Conversation[] = [
  named('getkq of many, noop', k => join(set(`${k}3`, '3'), ...Array.from({ length: 50 }, (_, i) => packet(op.getkq, { key: k + i, opaque: i })), noop)),
  named('setq of many, set', k => join(...Array.from({ length: 50 }, (_, i) => packet(op.setq, { key: k, extras: stored(i), value: String(i), opaque: i })), set(k, 'last'), packet(op.get, { key: k }))),
  named('quiet misses and errors', k => join(packet(op.deleteq, { key: k }), packet(op.incrq, { key: k, extras: counted(1n, 7n) }), packet(op.incrq, { key: `${k}x`, extras: counted(1n, 7n, 0xffffffff) }),
    packet(op.addq, { key: k, extras: stored(), value: 'v' }), packet(op.appendq, { key: `${k}x`, value: 'v' }), packet(op.replaceq, { key: `${k}x`, extras: stored(), value: 'v' }), packet(op.gatq, { key: `${k}x`, extras: [0, 0, 0, 0] }), noop)),
  named('quiet and then nothing', k => join(packet(op.setq, { key: k, extras: stored(), value: '1' }), packet(op.getq, { key: k }), packet(op.getq, { key: `${k}x` }))),
  named('one quiet miss', k => packet(op.getq, { key: k })),
  named('the same opaque on all', k => join(...Array.from({ length: 30 }, (_, i) => packet(i % 2 ? op.getk : op.getkq, { key: k, opaque: 7 })), set(k, 'v', { opaque: 7 }), ...Array.from({ length: 30 }, () => packet(op.getkq, { key: k, opaque: 7 })), noop)),
  named('data type and vbucket', k => join(set(k, 'v', { dataType: 3, vbucket: 1234 }), packet(op.get, { key: k, dataType: 255, vbucket: 65535 }))),
  named('keys with blanks, line ends and NUL', k => ['a b', 'a\r\nEND\r\n', 'a\0b', '\x80'].map(key => join(set(k + key, key), packet(op.getk, { key: k + key }), packet(op.delete, { key: k + key }))).reduce((a, b) => join(a, b))),
  named('cas', k => [set(k, '1'), got => join(set(k, '2', { cas: casOf(got) }), set(k, '3', { cas: casOf(got) }), set(`${k}x`, '3', { cas: 1n }), packet(op.append, { key: k, value: 'x', cas: 1n }),
    packet(op.delete, { key: k, cas: 1n }), packet(op.incr, { key: k, extras: counted(1n, 1n), cas: 1n }), packet(op.setq, { key: k, extras: stored(), value: 'q', cas: 1n }), packet(op.get, { key: k }), noop)]),
  named('numbers', k => join(packet(op.incr, { key: k, extras: counted(1n, 18446744073709551615n) }), packet(op.incr, { key: k, extras: counted(1n, 0n) }), packet(op.decr, { key: k, extras: counted(5n, 0n) }),
    set(k, 'abc'), packet(op.incr, { key: k, extras: counted(1n, 0n) }), packet(op.incr, { key: `${k}x`, extras: counted(1n, 0n, 0xffffffff) }))),
  named('a value of 100 KB', k => join(set(k, 'v'.repeat(100_000)), packet(op.get, { key: k }), packet(op.getkq, { key: k }), noop)),
  ...['settings', 'items', 'slabs', 'sizes', 'conns', 'extstore', 'foo', 'set', 'cachedump 1 1', 'detail dump', 'x'.repeat(250)].map(key =>
    named(`stat ${key.slice(0, 20)}`, () => join(packet(op.stat, { key }), noop))),
  named('stat reset, stat detail', () => join(packet(op.stat, { key: 'reset' }), packet(op.stat, { key: 'detail on' }), packet(op.stat, { key: 'detail off' }), noop), { order: 'last' }),
  named('flush with a time', k => join(set(k, '1'), packet(op.flush, { extras: [0, 0, 0, 0] }), packet(op.get, { key: k }), packet(op.flushq), noop), { order: 'last' }),
  named('a key with line ends, read by meta', k => set(`${k}\r\nEND\r\nVALUE x 0 3`, 'abc')),
]

export const binaryCorpus: readonly Conversation[] = [...eachOpcode, ...broken, ...runs]
