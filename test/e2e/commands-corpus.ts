// What clients try when not all commands are allowed, and what they are told. `~` stands for CRLF. `evil-…` keys are what
// a value or a surplus body would set if it were run; `canary-…` is there from the start.
import { counted, op, packet, stored } from './support/binary.ts'
import type { Packet } from './support/binary.ts'
import { isAtLeast } from '../support/memcached.ts'
import type { Conversation } from './support/conversation.ts'

/** `commands` of each service of the test; `usual` has the default. */
export const allowed = {
  usual: undefined,
  few: ['get', 'set'],
  read: ['read'],
  some: ['read', 'write', 'stats settings'],
  counting: ['read', 'delete', 'arithmetic'],
  adding: ['get', 'incr', 'add', 'ma', 'touch'],
} as const

export interface Attempt extends Conversation {
  at: keyof typeof allowed
  /** The reply; `[closed]` at its end: then memseal closes, else the connection goes on. */
  told: (k: string) => string | Buffer[]
}

const NO = 'CLIENT_ERROR memseal: command not allowed~'
const UNKNOWN = 'ERROR~'
const NO_STATS = 'STAT memseal command_not_allowed~END~'
const TOO_LONG = 'CLIENT_ERROR line too long~'
const FORMAT = 'CLIENT_ERROR bad command line format~'
const CLOSED = '[closed]'
/** A value that would do harm if it were run as commands. */
const evil = (k: string): string => `set evil-${k} 0 0 1~x~delete canary-${k}~flush_all~`
const bytesOf = (text: string): number => text.replaceAll('~', '\r\n').length
const hit = (key: string, value: string): string => `VALUE ${key} 0 ${bytesOf(value)}~${value}~END~`

type Says = (k: string) => string | string[] | Buffer | Buffer[]
const at = (where: keyof typeof allowed) => (name: string, says: Says, told: string | ((k: string) => string | Buffer[])): Attempt =>
  ({ at: where, name, says, told: typeof told === 'string' ? () => told : told })
const usual = at('usual')
const few = at('few')
const read = at('read')
const some = at('some')
const counting = at('counting')
const adding = at('adding')

const inTurn: Attempt[] = [
  few('between allowed ones', k => `set ${k} 0 0 1~5~get ${k}~incr ${k} 1~get ${k}~delete ${k}~get ${k}~`, k => `STORED~${hit(k, '5')}${NO}${hit(k, '5')}${NO}${hit(k, '5')}`),
  few('between many', k => `set ${k} 0 0 1~5~${`get ${k}~touch ${k} 1~`.repeat(100)}`, k => `STORED~${(hit(k, '5') + NO).repeat(100)}`),
  few('with noreply', k => `set ${k} 0 0 1 noreply~5~incr ${k} 1 noreply~delete ${k} noreply~append ${k} 0 0 1 noreply~x~get ${k}~`, k => hit(k, '5')),
  few('in a meta run', k => `mg ${k} q~ms ${k} 2 q~hi~mn~get ${k}~`, `${NO}${NO}MN~END~`),
  few('what is always allowed', () => 'mn~MN~mn~', `MN~${UNKNOWN}MN~`),
  few('commands of one letter more', k => `gets ${k}~gat 0 ${k}~sets ${k} 0 0 1~`, `${NO}${NO}${UNKNOWN}`),
  read('meta writes among quiet reads', k => `mg ${k} q~ms ${k} 2 q~hi~mg ${k} v q~md ${k} q~mg ${k} v~mn~ma ${k} q~mn~`, `${NO}${NO}EN~MN~${NO}MN~`),
  read('mg that writes', k => `mg ${k} v~mg ${k} N30~mg ${k} T30~mg ${k} v N30 q~mg canary-${k} T-1~mg ${k} v~mn~mg canary-${k} v~`, `EN~${NO.repeat(4)}EN~MN~VA 6~canary~`),
  read('mg that takes the leave to renew, or sets a cas', k => `mg canary-${k} R30 v~mg canary-${k} E5~mg canary-${k} R0 q~mn~mg canary-${k} v~`, `${NO.repeat(3)}MN~VA 6~canary~`),
  counting('ma that creates or touches', k => `ma ${k} N30 J5~ma ${k} N0~ma ${k} T30~ma ${k} E5~ma ${k} N30 q~mn~ma ${k}~get ${k}~`, `${NO.repeat(5)}MN~NF~END~`),
  counting('md that touches or stores', k => `md canary-${k} T30~md canary-${k} I T30~md canary-${k} x~md canary-${k} I E5 q~mn~md ${k} I~get canary-${k}~`,
    k => `${NO.repeat(4)}MN~NF~${hit(`canary-${k}`, 'canary')}`),
  counting('ma that touches, in one run with those that do not', k => `mg ${k} q~ma ${k} q~ma ${k} T0 q~md ${k}~mn~`, `NF~${NO}NF~MN~`),
  adding('ma that touches, not one that creates', k => `ma ${k} N30~ma ${k} T30~ma ${k} N30 T30~ma canary-${k} T30 v~get ${k}~`,
    () => `${NO}NF~${NO}CLIENT_ERROR cannot increment or decrement non-numeric value~END~`),
  read('gat', k => `gat -1 canary-${k}~gats -1 canary-${k}~get canary-${k}~`, k => `${NO}${NO}${hit(`canary-${k}`, 'canary')}`),
  read('flush_all and its forms', k => `flush_all~flush_all 0~flush_all noreply~flush_all 10 noreply~get canary-${k}~`, k => `${NO}${NO}${hit(`canary-${k}`, 'canary')}`),
  read('the value of a refused set', k => `set ${k} 0 0 ${bytesOf(evil(k))}~${evil(k)}~get ${k}~`, `${NO}END~`),
  read('the value of a refused set, noreply', k => `set ${k} 0 0 ${bytesOf(evil(k))} noreply~${evil(k)}~get ${k}~`, 'END~'),
  read('the value of a refused ms', k => `ms ${k} ${bytesOf(evil(k))} q~${evil(k)}~mn~`, `${NO}MN~`),
  read('a large refused value', k => `get ${k}~set ${k} 0 0 100000~${evil(k).repeat(3000).replaceAll('~', '\r\n').slice(0, 100000)}~get ${k}~`, `END~${NO}END~`),
  read('a refused value larger than memseal holds', k => `set ${k} 0 0 3000000~${'get a\r\n'.repeat(428571)}get~get ${k}~`, `${NO}END~`),
  read('a bad chunk of a refused set', k => `set ${k} 0 0 2~hiXXget ${k}~`, `${NO}END~`),
  some('stats', () => 'stats~stats items~stats se~stats set~stats r~mn~', `${NO_STATS}${NO_STATS}${UNKNOWN.repeat(3)}MN~`),
  some('words missing', () => 'touch~gat 0~get~delete~incr~verbosity~cache_memlimit~mn~', `${'ERROR~'.repeat(3)}${NO.repeat(4)}MN~`),
]

const administration: Attempt[] = [
  ...['stats reset', 'stats cachedump 1 1', 'stats detail on', 'stats  reset', 'stats reset ',
    'lru_crawler mgdump all', 'lru_crawler disable', 'watch', 'watch fetchers', 'watch f', 'shutdown', 'shutdown graceful',
    'verbosity 2', 'cache_memlimit 1', 'slabs automove 2', 'slabs a 2', 'lru mode flat', 'extstore max_sleep 1', 'refresh_certs', 'debugtime p', 'misbehave']
    .map(line => usual(JSON.stringify(line), () => `mn~${line}~mn~`, `MN~${NO}MN~`)),
  usual('a dump that memcached-tool reads until END', () => 'mn~lru_crawler metadump all~mn~', 'MN~key=memseal:command_not_allowed exp=-1 la=0 cas=0 fetch=no cls=0 size=0~END~MN~'),
  // As memcached answers what it does not know, though it might know it by another name.
  ...['stats r', 'stats res', 'stats cach 1 1', 'stats de du', 'stats foo', 'lru_crawler met all', 'bogus', 'bogus HTTP/1.1 x', 'STATS', 'bget', 'get\tcanary', 'watch\tf', '\twatch',
    'shutdown\0', '\0shutdown', 'flush_all\0', ' shutdown', '  stats reset', ' watch', '   ', '', 'a', '\r', 'watch\r']
    .map(line => usual(JSON.stringify(line), () => `mn~${line}~mn~`, `MN~${UNKNOWN}MN~`)),
  usual('lines that end in LF alone', () => 'watch\nshutdown\nstats reset\nmn\n', `${NO}${NO}${NO}${isAtLeast('1.6.40') ? FORMAT : 'MN~'}`),
  usual('noreply on administration', () => 'verbosity 2 noreply~cache_memlimit 1 noreply~lru mode flat noreply~stats reset noreply~mn~', 'MN~'),
  usual('noreply on what is unknown', () => 'bogus noreply~mn~', `${UNKNOWN}MN~`),
  usual('watch behind a request', k => `get ${k}~watch fetchers~get ${k}~`, `END~${NO}END~`),
  some('stats settings with more words', () => 'stats setting~stats settings_~mn~', `${UNKNOWN}${UNKNOWN}MN~`),
]

const faults: Attempt[] = [
  usual('an over-long key in get', k => `get ${'x'.repeat(251)}~gets a ${'x'.repeat(251)}~mg ${'x'.repeat(251)} v~delete ${'x'.repeat(251)}~get canary-${k}~`, k => `${FORMAT.repeat(4)}${hit(`canary-${k}`, 'canary')}`),
  usual('a bad number in incr', k => `incr ${k} x~incr ${k} -1~decr ${k} 18446744073709551616~mn~`, `${'CLIENT_ERROR invalid numeric delta argument~'.repeat(3)}MN~`),
  usual('a bad time in touch', k => `touch ${k} x~gat x ${k}~flush_all x~mn~`, `${'CLIENT_ERROR invalid exptime argument~'.repeat(3)}MN~`),
  usual('a NUL in a key', k => `get a\0b~get ${k}~`, `${FORMAT}END~`),
  ...['set', 'add', 'replace', 'append', 'prepend'].map(verb => usual(`an over-long key in ${verb}`, k => `mn~${verb} ${'x'.repeat(251)} 0 0 ${bytesOf(evil(k))}~${evil(k)}~mn~`, `MN~${FORMAT}${CLOSED}`)),
  ...['x', '-1', '2147483646', '4294967298', '-4294967294', '+2', '2x', '2\t', '\t2', ''].map(length => usual(`set with the length ${JSON.stringify(length)}`,
    k => `mn~set ${k} 0 0 ${length}~${evil(k)}`, length === '' ? `MN~ERROR~${CLOSED}` : `MN~${FORMAT}${CLOSED}`)),
  usual('set with words missing', k => `mn~set ${k} 0~${evil(k)}`, `MN~ERROR~${CLOSED}`),
  usual('set with bad flags', k => `mn~set ${k} x 0 ${bytesOf(evil(k))}~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  usual('set with a bad time', k => `mn~set ${k} 0 4294967296 ${bytesOf(evil(k))}~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  usual('set with a surplus word', k => `mn~set ${k} 0 0 ${bytesOf(evil(k))} x~${evil(k)}~`, `MN~ERROR~${CLOSED}`),
  usual('set with a surplus word behind noreply', k => `mn~set ${k} 0 0 ${bytesOf(evil(k))} noreply x~${evil(k)}~`, `MN~ERROR~${CLOSED}`),
  usual('set with a NUL', k => `mn~set ${k} 0 0 1\0 2~${evil(k)}`, `MN~${FORMAT}${CLOSED}`),
  usual('cas without its number', k => `mn~cas ${k} 0 0 ${bytesOf(evil(k))}~${evil(k)}~`, `MN~ERROR~${CLOSED}`),
  usual('cas with noreply in its place', k => `mn~cas ${k} 0 0 ${bytesOf(evil(k))} noreply~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  usual('ms of the old form', k => `mn~ms ${k} S${bytesOf(evil(k))}~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  usual('ms without a length', k => `mn~ms ${k}~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  usual('ms with a flag that is none', k => `mn~ms ${k} ${bytesOf(evil(k))} !~${evil(k)}~`, `MN~CLIENT_ERROR invalid flag~${CLOSED}`),
  usual('ms with too many flags', k => `mn~ms ${k} ${bytesOf(evil(k))}${' P'.repeat(25)}~${evil(k)}~`, `MN~${FORMAT}${CLOSED}`),
  read('a broken set where set is refused', k => `mn~set ${k} 0 0 x~${evil(k)}`, `MN~${NO}${CLOSED}`),
  usual('a bad chunk', k => `set ${k} 0 0 2~hiXXget ${k}~watch~mn~`, `CLIENT_ERROR bad data chunk~END~${NO}MN~`),
  usual('a bad chunk with noreply', k => `set ${k} 0 0 2 noreply~hiXXget ${k}~watch~`, `END~${NO}`),
  usual('a bad chunk of ms with q', k => `ms ${k} 2 q~hiXXmg ${k} v~watch~`, `CLIENT_ERROR bad data chunk~EN~${NO}`),
  usual('2049 bytes without a line end', () => [`mn~`, 'a'.repeat(2049)], `MN~${TOO_LONG}${CLOSED}`),
  usual('2049 bytes of a set line', k => [`mn~`, `set ${k} 0 0${' '.repeat(2049)}`], `MN~${TOO_LONG}${CLOSED}`),
  usual('a web request', () => 'GET / HTTP/1.1~Host: x~~', CLOSED),
  usual('a web request behind a request', k => `get ${k}~POST /${k} HTTP/1.1~~${evil(k)}`, `END~${CLOSED}`),
  usual('quit with requests behind it', k => `mn~quit~${evil(k)}`, `MN~${CLOSED}`),
  few('quit with words', k => `mn~quit noreply~${evil(k)}`, `MN~${CLOSED}`),
  usual('a binary packet behind text', () => `mn~${packet(op.flush).toString('latin1')}~mn~`, `MN~${UNKNOWN}MN~`),
]

const reply = (opcode: number, status: number, value: string, more: Packet = {}): Buffer => packet(opcode, { magic: 0x81, vbucket: status, value, ...more })
const no = (opcode: number): Buffer => reply(opcode, 0x83, 'memseal: command not allowed')
const unknown = (opcode: number): Buffer => reply(opcode, 0x81, 'Unknown command')
const invalid = (opcode: number): Buffer => reply(opcode, 0x04, 'Invalid arguments')
const noop = packet(op.noop)
const noopReply = reply(op.noop, 0, '')
const closed = Buffer.from(CLOSED)
/** A packet that would do harm if the surplus of another were run. */
const evilPacket = (k: string): Buffer => packet(op.set, { key: `evil-${k}`, extras: stored(), value: 'x' })

const binary: Attempt[] = [
  ...Object.entries({
    add: { extras: stored(), value: 'v' }, delete: {}, incr: { extras: counted(1n, 1n) }, decr: { extras: counted(1n, 1n) }, append: { value: 'v' }, prepend: { value: 'v' },
    touch: { extras: [0, 0, 0, 1] }, gat: { extras: [0, 0, 0, 1] }, gatk: { extras: [0, 0, 0, 1] }, gatkq: { extras: [0, 0, 0, 1] }, deleteq: {}, incrq: { extras: counted(1n, 1n) },
    addq: { extras: stored(), value: 'v' }, appendq: { value: 'v' }, replaceq: { extras: stored(), value: 'v' }, prependq: { value: 'v' }, decrq: { extras: counted(1n, 1n) }, gatq: { extras: [0, 0, 0, 1] },
  } satisfies Record<string, Packet>).map(([name, of]) => few(`binary: ${name}`,
    k => Buffer.concat([noop, packet(op[name as 'add'], { key: `canary-${k}`, ...of }), noop]), () => [noopReply, no(op[name as 'add']), noopReply])),
  few('binary: flush, flushq, stat, verbosity', () => Buffer.concat([packet(op.flush), packet(op.flushq), packet(op.flushq, { extras: [0, 0, 0, 9] }), packet(op.stat), packet(op.verbosity, { extras: [0, 0, 0, 9] }), noop]),
    () => [no(op.flush), no(op.flushq), no(op.flushq), no(op.stat), no(op.verbosity), noopReply]),
  read('binary: among quiet reads', k => Buffer.concat([packet(op.getq, { key: k }), packet(op.setq, { key: k, extras: stored(), value: evilPacket(k) }), packet(op.getkq, { key: k }), packet(op.gat, { key: k, extras: [0, 0, 0, 1] }), packet(op.getq, { key: k }), noop]),
    () => [no(op.setq), no(op.gat), noopReply]),
  read('binary: a refused value of 100 KB', k => Buffer.concat([packet(op.set, { key: k, extras: stored(), value: Buffer.concat(Array.from({ length: 2000 }, () => evilPacket(k))) }), noop]), () => [no(op.set), noopReply]),
  ...['reset', 'detail on', 'cachedump 1 1', 'r', 'foo', 'detail dump'].map(key => usual(`binary: stat ${key}`, () => Buffer.concat([packet(op.stat, { key }), noop]), () => [no(op.stat), noopReply])),
  ...[0x1f, 0x30, 0x70, 0xff].map(opcode => usual(`binary: the unknown opcode ${opcode.toString(16)} and what it swallows`,
    k => Buffer.concat([packet(opcode, { key: k, extras: stored(), value: 'v' }), packet(op.get, { key: k }), noop]), () => [unknown(opcode), reply(op.get, 1, 'Not found'), noopReply])),
  usual('binary: SASL', () => Buffer.concat([packet(op.saslList), packet(op.saslAuth, { key: 'PLAIN', value: '\0a\0b' }), noop]), () => [unknown(op.saslList), unknown(op.saslAuth), noopReply]),
  ...(['touch', 'gat', 'gatq', 'gatk', 'gatkq'] as const).map(name => usual(`binary: ${name} with a packet in its body`,
    k => Buffer.concat([noop, packet(op[name], { key: k, extras: [0, 0, 0, 0], value: evilPacket(k) }), noop]), () => [noopReply, invalid(op[name]), closed])),
  ...(['stat', 'get', 'getq', 'delete', 'noop', 'version', 'flush', 'quit'] as const).map(name => usual(`binary: ${name} with a packet in its body`,
    k => Buffer.concat([noop, packet(op[name], { key: name === 'get' || name === 'getq' || name === 'delete' ? k : undefined, value: evilPacket(k) }), noop]), () => [noopReply, invalid(op[name]), closed])),
  read('binary: touch with a packet in its body where touch is refused', k => Buffer.concat([noop, packet(op.touch, { key: k, extras: [0, 0, 0, 0], value: evilPacket(k) }), noop]), () => [noopReply, no(op.touch), closed]),
  ...(['incr', 'incrq', 'decr', 'decrq'] as const).map(name => counting(`binary: ${name} that creates`,
    k => Buffer.concat([packet(op.get, { key: k }), packet(op[name], { key: k, extras: counted(1n, 5n, 0) }), packet(op[name], { key: k, extras: counted(1n, 5n, 0xfffffffe) }), packet(op.get, { key: k }), noop]),
    () => [reply(op.get, 1, 'Not found'), no(op[name]), no(op[name]), reply(op.get, 1, 'Not found'), noopReply])),
  ...(['incr', 'incrq', 'decr', 'decrq'] as const).map(name => counting(`binary: ${name} that does not`,
    k => Buffer.concat([packet(op[name], { key: k, extras: counted(1n, 5n, 0xffffffff) }), noop]), () => [reply(op[name], 1, 'Not found'), noopReply])),
  adding('binary: incr that creates, where add is allowed', k => Buffer.concat([packet(op.incrq, { key: `own-${k}`, extras: counted(1n, 5n) }), packet(op.get, { key: `own-${k}` }), noop]),
    () => [reply(op.get, 0, '5', { extras: [0, 0, 0, 0], cas: 1n }), noopReply]),
  usual('binary: set without a key', () => Buffer.concat([noop, packet(op.set, { extras: stored(), value: 'v' }), noop]), () => [noopReply, invalid(op.set), closed]),
  usual('binary: set with a key of 251 bytes', k => Buffer.concat([noop, packet(op.set, { key: k.padEnd(251), extras: stored(), value: 'v' }), noop]), () => [noopReply, invalid(op.set), closed]),
  usual('binary: set with extras missing', k => Buffer.concat([noop, packet(op.set, { key: k, value: evilPacket(k) }), noop]), () => [noopReply, invalid(op.set), closed]),
  usual('binary: a body shorter than its key', k => Buffer.concat([noop, packet(op.get, { key: k, bodyBytes: 1 }), evilPacket(k)]), () => [noopReply, invalid(op.get), closed]),
  ...[2 ** 30 + 1, 2 ** 31, 2 ** 32 - 1].map(bodyBytes => usual(`binary: a body of ${bodyBytes} bytes`,
    k => Buffer.concat([noop, packet(op.set, { key: k, extras: stored(), bodyBytes }), evilPacket(k), evilPacket(k)]), () => [noopReply, invalid(op.set), closed])),
  usual('binary: a wrong magic byte', k => Buffer.concat([noop, packet(op.noop, { magic: 0x81 }), evilPacket(k)]), () => [noopReply, closed]),
  usual('binary: text behind it', k => Buffer.concat([noop, Buffer.from(evil(k).replaceAll('~', '\r\n'))]), () => [noopReply, closed]),
  usual('binary: quitq with packets behind it', k => Buffer.concat([noop, packet(op.quitq), evilPacket(k)]), () => [noopReply, closed]),
  usual('binary: quit with packets behind it', k => Buffer.concat([noop, packet(op.quit), evilPacket(k)]), () => [noopReply, reply(op.quit, 0, ''), closed]),
]

export const attempts: readonly Attempt[] = [...inTurn, ...administration, ...faults, ...binary]
