// What clients say in the text protocol, classic and meta: every command, and every oddity that memcached answers in a
// way of its own. `~` stands for CRLF.
import type { Conversation, Mask, Step } from './support/conversation.ts'

type Says = (k: string) => Step | Step[]
const named = (name: string, says: Says, more: Partial<Conversation> = {}): Conversation => ({ name, says, ...more })
const inTurn = (name: string, says: Says, mask?: Mask): Conversation => named(name, says, { order: 'in turn', mask })
const last = (name: string, says: Says, mask?: Mask): Conversation => named(name, says, { order: 'last', mask })
const b64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64')
const x = 'x'.repeat
const long = (k: string, bytes: number): string => k.padEnd(bytes, 'x')
const text = (reply: Buffer): string => reply.toString('latin1')

const commandsAsMeant: Conversation[] = [
  named('storage commands', k => `set ${k} 1 0 1~a~add ${k} 0 0 1~b~add ${k}2 0 0 1~b~replace ${k} 2 0 1~c~` +
    `replace ${k}3 0 0 1~d~append ${k} 0 0 2~ee~prepend ${k} 0 0 2~ff~append ${k}3 0 0 1~g~prepend ${k}3 0 0 1~g~get ${k} ${k}2 ${k}3~`),
  named('cas', k => [`set ${k} 0 0 1~a~gets ${k} ${k}2~`,
    got => `cas ${k} 0 0 1 ${/ (\d+)\r\na/.exec(text(got))![1]}~b~cas ${k} 0 0 1 1~c~cas ${k}2 0 0 1 1~c~get ${k}~`], { mask: 'cas' }),
  named('cas of 20 digits', k => `set ${k} 0 0 1~a~cas ${k} 0 0 1 18446744073709551615~b~cas ${k} 0 0 1 18446744073709551616~b~get ${k}~`),
  named('gat and gats', k => `set ${k} 0 0 1~a~gat 100 ${k} ${k}2 ${k}~gats -1 ${k}~get ${k}~`, { mask: 'cas' }),
  named('touch', k => `set ${k} 0 0 1~a~touch ${k} 100~touch ${k}2 0~touch ${k} -1~get ${k}~`),
  named('delete', k => `set ${k} 0 0 1~a~delete ${k}~delete ${k}~get ${k}~`),
  named('incr and decr', k => `set ${k} 0 0 2~10~incr ${k} 5~decr ${k} 6~get ${k}~decr ${k} 100~incr ${k}2 1~get ${k}~`, { mask: 'padding' }),
  named('incr over the top', k => `set ${k} 0 0 20~18446744073709551615~incr ${k} 1~incr ${k} 18446744073709551615~get ${k}~`),
  named('incr of what is no number', k => `set ${k} 0 0 3~abc~incr ${k} 1~set ${k} 0 0 0~~incr ${k} 1~incr ${k} x~incr ${k} -1~incr ${k} 18446744073709551616~`),
  named('version, mn, me', k => `version~mn~me ${k}~set ${k} 0 0 1~a~me ${k}~`, { mask: 'numbers' }),
  named('expired at once', k => `set ${k} 0 -1 1~a~get ${k}~set ${k} 0 2592001 1~a~get ${k}~set ${k} 4294967295 0 1~a~get ${k}~`),
  named('pipelined hits and misses', k => Array.from({ length: 40 }, (_, i) => `set ${k}${i} ${i} 0 2~${i + 10}~get ${k}${i} ${k}x~`).join('')),
  ...['set', 'add', 'replace', 'append', 'prepend', 'cas', 'incr', 'decr', 'delete', 'touch', 'get', 'gets', 'gat', 'gats', 'mg', 'ms', 'md', 'ma', 'me',
    'bget', 'quit', 'version', 'mn', 'mx', 'm', 'watchx', 'misbehave'].map(verb => named(`${verb} alone in its line`, () => `${verb}~version~`)),
]

const values: Conversation[] = [
  named('values full of protocol', k => ['END~', 'VALUE k 0 3~abc~END~', 'MN~', '~', '\r', '\n', '\0', '\x80\x81', 'HD~EN~'].map(value => {
    const bytes = value.replaceAll('~', '\r\n')
    return `set ${k} 0 0 ${bytes.length}~${bytes}~get ${k}~mg ${k} v k~`
  }).join('')),
  named('an empty value', k => `set ${k} 0 0 0~~get ${k}~mg ${k} v~ms ${k} 0~~mg ${k} v s~`),
  named('a value of 100 KB', k => `set ${k} 0 0 100000~${x.call('v', 100000)}~get ${k} ${k}~`),
  named('a value too large', k => `get ${k}~set ${k} 0 0 1048586~${x.call('v', 1048586)}~get ${k}~`),
  named('a value too large, noreply', k => `set ${k} 0 0 1~a~set ${k} 0 0 1048586 noreply~${x.call('v', 1048586)}~get ${k}~`),
  named('a value larger than memseal holds', k => `get ${k}~set ${k} 0 0 3000000~${x.call('v', 3000000)}~get ${k}~`),
  named('a meta value too large', k => `ms ${k} 1048586 q~${x.call('v', 1048586)}~mn~`),
  named('append over the item limit', k => `set ${k} 0 0 1000000~${x.call('v', 1000000)}~append ${k} 0 0 100000~${x.call('w', 100000)}~incr ${k} 1~delete ${k}~`),
  named('a value that never comes whole', k => `get ${k}~set ${k} 0 0 1048586~abc`),
]

const badBlocks: Conversation[] = [
  ...[['XX behind it', 'hiXX'], ['LF behind it', 'hi\n'], ['one byte too few', 'h~'], ['one byte too many', 'hix~'], ['CR only', 'hi\rget'], ['two too many', 'hixx~']]
    .flatMap(([name, block]) => [
      named(`bad chunk: ${name}`, k => `get ${k}~set ${k} 0 0 2~${block}~version~get ${k}~`),
      named(`bad chunk with noreply: ${name}`, k => `set ${k} 0 0 2 noreply~${block}~version~get ${k}~`),
      named(`bad chunk of ms with q: ${name}`, k => `ms ${k} 2 q~${block}~mn~mg ${k} v~`),
    ]),
  named('bad chunk, its end one byte late', k => [`set ${k} 0 0 2~hi`, '\r', '\n', `get ${k}~`]),
  named('FIN without the terminator', k => `get ${k}~set ${k} 0 0 2~hi`, { ends: true }),
  named('FIN in the middle of a line', k => `set ${k} 0 0 2~hi~get ${k}~get ${k}`, { ends: true }),
  named('FIN behind whole requests', k => `set ${k} 0 0 2~hi~get ${k}~set ${k} 0 0 1 noreply~x~get ${k}~mg ${k} v q~mg ${k}2 q~`, { ends: true }),
  named('FIN behind a malformed line', k => `set ${k} 0 0 2~hi~foo ${k}~get ${k}~`, { ends: true }),
  named('FIN at once', () => '', { ends: true }),
]

const numbers: Conversation[] = [
  ...['-1', '4294967298', '-4294967294', '2147483645', '2147483646', '2147483647', '+2', '002', '2x', '2\t', '\t2', '000000000000002', '', '0x2', '2 0 0', '99999999999999999999999']
    .map(length => named(`set with the length ${JSON.stringify(length)}`, k => `set ${k} 0 0 ${length}~hi~get ${k}~`)),
  ...['-1', '4294967296', '+1000', '01000', '1000x', '\t1000', '99999999999999999999999', ''].flatMap(number => [
    named(`set with the flags ${JSON.stringify(number)}`, k => `set ${k} ${number} 0 2~hi~get ${k}~`),
    named(`set with the exptime ${JSON.stringify(number)}`, k => `set ${k} 0 ${number} 2~hi~get ${k}~`),
    named(`touch and gat to ${JSON.stringify(number)}`, k => `set ${k} 0 0 2~hi~touch ${k} ${number}~gat ${number} ${k}~gats ${number} ${k}~`, { mask: 'cas' }),
    named(`incr by ${JSON.stringify(number)}`, k => `set ${k} 0 0 1~5~incr ${k} ${number}~decr ${k} ${number}~`),
    named(`cas with ${JSON.stringify(number)}`, k => `set ${k} 0 0 1~5~cas ${k} 0 0 2 ${number}~hi~get ${k}~`),
    named(`ms with ${JSON.stringify(number)}`, k => `ms ${k} ${number}~hi~ms ${k} 2 T${number}~hi~ms ${k} 2 F${number}~hi~mg ${k} v f~`),
  ]),
]

const keys: Conversation[] = [
  named('keys of 250 bytes', k => `set ${long(k, 250)} 0 0 1~a~get ${long(k, 250)}~mg ${long(k, 250)} v k~touch ${long(k, 250)} 0~incr ${long(k, 250)} 1~delete ${long(k, 250)}~`),
  ...['get', 'gets', 'delete', 'mg', 'md', 'ma', 'me', 'incr', 'touch', 'gat 0', 'gats 0'].map(verb =>
    named(`${verb} of 251 bytes`, k => `set ${k} 0 0 1~a~get ${k}~${verb} ${long(k, 251)}${verb === 'incr' || verb === 'touch' ? ' 1' : ''}~get ${k}~`)),
  ...['set', 'add', 'replace', 'append', 'prepend'].map(verb => named(`${verb} of 251 bytes: the value runs`, k => `${verb} ${long(k, 251)} 0 0 9~version~~get ${k}~`)),
  named('cas of 251 bytes', k => `cas ${long(k, 251)} 0 0 9 1~version~~get ${k}~`),
  named('ms of 251 bytes', k => `ms ${long(k, 251)} 9~version~~mg ${k}~`),
  named('251 bytes as the last of 50 keys', k => `set ${k} 0 0 1~a~get ${k}~get ${x.call(`${k} `, 49)}${long(k, 251)}~get ${k}~`),
  named('multigets', k => [1, 24, 25, 100, 250].map(count => `set ${k}7 0 0 1~7~get ${Array.from({ length: count }, (_, i) => k + i).join(' ')}~`).join('')),
  named('a multiget of 5000 keys', k => `set ${k}7 0 0 1~7~get ${Array.from({ length: 5000 }, (_, i) => k + i).join(' ')}~version~`),
  named('a multiget of 3000 hits', k => `set ${k} 0 0 1~7~get${x.call(` ${k}`, 3000)}~version~`),
  named('repeated keys, prefixes of each other', k => `set ${k} 0 0 1~a~set ${k}a 0 0 1~b~get ${k} ${k} ${k}~get ${k}a ${k} ${k}aa ${k}a~gets ${k}~`, { mask: 'cas' }),
  last('keys that are words of the protocol', () => ['END', 'VALUE', 'STORED', 'noreply', '0', 'NOREPLY'].map(key => `set ${key} 0 0 1~x~get ${key}~get a ${key} b~delete ${key} 0~`).join('')),
  named('keys with odd bytes', k => ['\t', '\r', '\x01', '\x7f', '\x80', '\xff', '\v', '\f'].map(byte => `set ${k}${byte}z 0 0 1~x~get ${k}${byte}z~mg ${k}${byte}z v k~delete ${k}${byte}z~`).join('')),
  named('a key that is CR', () => `set \r 0 0 1~x~get \r~delete \r~`),
]

const lines: Conversation[] = [
  named('noreply on each command', k => `set ${k} 0 0 1 noreply~5~add ${k} 0 0 1 noreply~6~replace ${k} 0 0 1 noreply~7~append ${k} 0 0 1 noreply~8~` +
    `prepend ${k} 0 0 1 noreply~9~cas ${k} 0 0 1 1 noreply~1~get ${k}~incr ${k} 1 noreply~decr ${k} 2 noreply~get ${k}~touch ${k} 0 noreply~delete ${k} noreply~get ${k}~`),
  named('noreply and nothing else', k => `set ${k} 0 0 1 noreply~5~incr ${k} 1 noreply~`),
  named('a thousand noreply, then FIN', k => `set ${k} 0 0 1~0~${x.call(`incr ${k} 1 noreply~`, 1000)}get ${k}~`, { ends: true }),
  named('noreply and blanks', k => `set ${k} 0 0 1 noreply ~x~delete ${k}  noreply~delete ${k} noreply  ~get ${k}~`),
  named('noreply and surplus words', k => `set ${k} 0 0 1 noreply x~x~version~`),
  ...['delete', 'get', 'incr', 'touch', 'foo', 'verbosity', 'stats', 'version', 'mn', 'mg', 'md', 'ma', 'gat', 'set', 'ms'].map(verb => named(`${verb} noreply`, () => `${verb} noreply~version~`)),
  ...['NOREPLY', 'noreplyx', 'junk'].map(word => named(`the word ${word} for noreply`, k => `set ${k} 0 0 1 ${word}~x~delete ${k} ${word}~incr ${k} 1 ${word}~touch ${k} 1000 ${word}~get ${k}~`)),
  named('cas with noreply for the unique', k => `cas ${k} 0 0 1 noreply~x~get ${k}~`),
  named('foo a b noreply', () => 'foo a b noreply~version~'),
  named('delete with 0 and more', k => `set ${k} 0 0 1~x~delete ${k} 0~delete ${k} 0 noreply~delete ${k} 1~delete ${k} 0 0~delete ${k} 0 0 0 0~version~`),
  named('bare LF', k => `set ${k} 0 0 1\nx~get ${k}\nmg ${k} v\nversion\ndelete ${k}\n`),
  named('bare LF of noreply and q', k => `set ${k} 0 0 1 noreply\nx~mg ${k} v q\nmg ${k}2 q\nmn~`),
  named('CR CR LF', k => `get ${k}\r~mn\r~version\r~set ${k} 0 0 1\r~x~get ${k}~`),
  named('empty lines', () => '~~\n\nversion~'),
  named('single letters', () => 'a~b~\nm~g\nversion~'),
  named('leading blanks', k => `set ${k} 0 0 1~x~  get ${k}~ version~ set ${k} 0 0 1~y~ mg ${k} v~get ${k}~`),
  named('blanks only', () => '   ~ ~version~'),
  named('runs of blanks and trailing ones', k => `set  ${k}   0  0   1 ~x~get   ${k}   ${k}  ~mg   ${k}   v  ~delete  ${k}  ~incr ${k}  1 ~version  ~mn ~touch  ${k}  0 ~`),
  named('tabs for blanks', k => `get\t${k}~set\t${k}\t0\t0\t1~x~set ${k} 0 0\t1~x~version\t~version~`),
  named('NUL in lines', k => `set ${k} 0 0 1~x~get ${k}\0b~get ${k}~mg ${k}\0 v~delete ${k}\0c~get ${k}~set ${k}\0 0 0 1~x~version\0~version~`),
  named('capitals', k => `GET ${k}~Set ${k} 0 0 1~VERSION~QUIT~version~`),
  named('unknown words', k => `foo~foo ${k}~gett ${k}~setx ${k} 0 0 1~version~`),
  named('too few words', k => `set ${k} 0 0~get~delete~incr ${k}~touch ${k}~gat~gat 0~mg~md~cas ${k} 0 0 1~version~`),
  named('too many words', k => `set ${k} 0 0 1 noreply 3~x~incr ${k} 1 2 3~touch ${k} 1 2 3~version 1 2~mn 1 2~version~`),
  named('mn and its likes', () => 'mn x~mn\nmx~m~mn~MN~version~'),
  named('2 requests with the border inside CRLF', k => [`get ${k}\r`, `\nversion\r`, '\n']),
  ...[1023, 1024, 1025, 2047, 2048, 2049, 16383, 16384, 16385].flatMap(bytes => [
    named(`a get line of ${bytes} bytes`, k => [`set ${k} 0 0 1~x~`, `${`get ${k} `.padEnd(bytes - 2, `${k}xxxxxxx `)}~`, 'version~']),
    named(`a gat line of ${bytes} bytes`, k => [`set ${k} 0 0 1~x~`, `${`gat 0 ${k} `.padEnd(bytes - 2, `${k}xxxxxxx `)}~`, 'version~']),
    named(`an mg line of ${bytes} bytes`, k => [`set ${k} 0 0 1~x~`, `${`mg ${k} v P`.padEnd(bytes - 2, 'p')}~`, 'version~']),
    named(`a delete line of ${bytes} bytes`, k => [`${`delete ${k}`.padEnd(bytes - 2, 'd')}~`, 'version~']),
    named(`a line of ${bytes} blanks`, () => [`${' '.repeat(bytes - 2)}~`, 'version~']),
  ]),
  named('2048 bytes without LF', k => `get ${k}~${'a'.repeat(2048)}`),
  named('2049 bytes without LF', k => [`get ${k}~`, 'a'.repeat(2049)]),
  named('20000 bytes without LF', () => 'a'.repeat(20000)),
  named('a get of 1 MB without LF', k => `get ${`${k} `.repeat(200_000)}`),
]

const ends: Conversation[] = [
  named('quit', () => 'quit~'),
  named('quit behind requests', k => `set ${k} 0 0 1~x~get ${k}~quit~`),
  named('quit with requests behind it', k => `set ${k} 0 0 1~x~quit~get ${k}~version~`),
  named('quit with words', () => 'version~quit x~version~'),
  named('quit behind noreply and q', k => `set ${k} 0 0 1 noreply~x~mg ${k} v q~mg ${k}2 q~quit~`),
  named('quit with a bare LF', () => 'version~quit\n'),
  named('quit in a value', k => `set ${k} 0 0 6~quit~~get ${k}~`),
  named('a web request', () => 'GET / HTTP/1.1~Host: x~~'),
  named('a web request that posts', () => 'POST x HTTP/1.0~~'),
  named('a web request behind a request', k => `get ${k}~GET / HTTP/1.1~Host: x~~`),
  named('HTTP in a set line', k => `set ${k} 0 HTTP/1 1~x~version~`),
  named('HTTP as a key', () => 'get HTTP/1.1~version~'),
  named('HTTP not in the last place', () => 'FOO HTTP/1.1 x~version~'),
  named('TLS in the clear', () => Buffer.from('16030100c8010000c40303aabbccdd', 'hex')),
  named('a PROXY line', () => 'PROXY TCP4 127.0.0.1 127.0.0.1 1 2~version~'),
  named('binary behind text', k => [`get ${k}~`, Buffer.from('800b00000000000000000000000000000000000000000000', 'hex'), '~version~']),
  named('random bytes', () => Buffer.from('00ff10a0fe0a0d0a7fdeadbeef0a20200a', 'hex')),
]

const meta: Conversation[] = [
  named('meta commands', k => `ms ${k} 2 T0 F7~hi~mg ${k}~mg ${k} v~mg ${k} s v t f c k O123 q~mg ${k} h~ma ${k}~ms ${k}n 1~5~ma ${k}n v~ma ${k}n MD D2 v~` +
    `ma ${k}n M- v t~ma ${k}2~ma ${k}3 N0 J13 v~ma ${k}3 v k Oab~md ${k} k O1~md ${k}~mg ${k} k O1~mg ${k} v~`, { mask: 'cas' }),
  named('ms modes', k => [...'SEARPsearpX'].map(mode => `ms ${k} 1 M${mode}~${mode}~mg ${k} v~ms ${k}${mode} 1 M${mode}~${mode}~`).join('')),
  named('ma modes', k => `ms ${k} 2~10~${['I', 'i', '+', 'INCR', 'D', 'd', '-', 'X', ''].map(mode => `ma ${k} v M${mode}~`).join('')}`),
  named('quiet misses and hits', k => `mg ${k} q~mg ${k} v q~ms ${k} 2 q~hi~mg ${k} v q~mg ${k}2 k Oa q~md ${k}2 q~ma ${k}2 q~md ${k} q~mn~mg ${k}~`),
  named('quiet and no mn', k => `ms ${k} 2 q~hi~mg ${k} v q~mg ${k}2 v q~`),
  named('quiet and then silence', k => `mg ${k} v q~`),
  named('quiet, classic, quiet', k => `mg ${k} q~get ${k}~ms ${k} 2 q~hi~get ${k}~mg ${k} v q k~version~mg ${k}2 q~mn~`),
  named('quiet runs of 300', k => `ms ${k} 1~5~${`mg ${k} v q~mg ${k}x v q~`.repeat(300)}mn~`),
  named('ma q, ma v q, ma N q', k => `ms ${k} 1~5~ma ${k} q~ma ${k} v q~ma ${k}n N0 q~ma ${k}n N0 q v~mn~`),
  named('ms q on what exists', k => `ms ${k} 1~5~ms ${k} 2 q ME~hi~ms ${k} 2 q C1~hi~ms ${k}2 2 q C1~hi~ms ${k}2 2 q MR~hi~ms ${k}2 2 q MA~hi~mn~`),
  named('md with C, I, T, x', k => `ms ${k} 1~5~md ${k} C1~md ${k} I T30~mg ${k} v~mg ${k} v~ms ${k} 1 I C1~6~mg ${k} v~md ${k} q C1~md ${k} x~mn~`),
  named('mg with N: win, then not', k => `mg ${k} v N30~mg ${k} v N30~mg ${k} v N30 q k~ms ${k} 2~hi~mg ${k} v N30~`),
  named('mg with R and stale', k => `ms ${k} 2 T100~hi~mg ${k} v R200~mg ${k} v R200~md ${k} I T30~mg ${k} v c~mg ${k} v~`, { mask: 'cas' }),
  named('mg with T and E and u', k => `ms ${k} 2~hi~mg ${k} T0~mg ${k} u v~mg ${k} E1~ms ${k} 2 E100~hi~mg ${k} c~`, { mask: 'cas' }),
  named('opaques of 31 and 32', k => `mg ${k} O${'o'.repeat(31)} k~mg ${k} O${'o'.repeat(32)} k~mg ${k} O~mn~`),
  named('flags with surplus', k => `ms ${k} 2~hi~mg ${k} vv~mg ${k} v v~mg ${k} v1~mg ${k} qxyz~mg ${k} s1 t2~mn~`),
  named('flags that are none', k => ['!', 'w', '{', '\xff', '-', '1', 'Z', 'W', 'X', '~'].map(flag => `mg ${k} ${flag}~mn~`).join('')),
  ...['!', 'w', '{', '\xff', '1', 'Z', 'k k', 'Mz', 'Cx', 'Tx', 'O12345678901234567890123456789012', 'q q'].map(flag =>
    named(`ms with the flag ${JSON.stringify(flag)}`, k => `ms ${k} 2 ${flag}~mn~mn~version~mn~`)),
  ...[17, 18, 19, 20, 21, 22, 30].map(count => named(`${count} flags`, k => {
    const flags = [...'bktfhlucsvqOPLNTRExyzABCDFGHIJ'].slice(0, count).map(flag => 'ONTRECDFJ'.includes(flag) ? `${flag}1` : flag).join(' ')
    return `mg ${b64(k)} ${flags}~mn~ms ${b64(k)} 2 ${flags}~mn~mn~version~`
  }, { mask: 'numbers' })),
  named('mg with l and t', k => `ms ${k} 2 T100~hi~mg ${k} l t~mg ${k} l t~`, { mask: 'numbers' }),
  named('base64 keys', k => `ms ${b64(k)} 2 b~hi~mg ${b64(k)} b v~mg ${b64(k)} b k~get ${k}~mg ${k} k~ma ${b64(`${k}n`)} b N0 k~md ${b64(k)} b k~me ${b64(k)} b~`, { mask: 'numbers' }),
  named('base64 that is none', k => ['*', '=', 'a', 'ab', 'abc', 'a===', `${b64(k)}x`, `${b64(k)}=`].map(key => `mg ${key} b k~ms ${key} 2 b~hi~md ${key} b~ma ${key} b~mn~`).join('')),
  named('header injection by ma', k => `ma ${b64(`${k}\r\nHD\r\n`)} b N0~mg ${b64(`${k}\r\nHD\r\n`)} b k v~mg ${b64(`${k}\r\nHD\r\n`)} b k v q~mn~`),
  named('header injection by ms', k => `ms ${b64(`${k}\r\nEND\r\n`)} 1 b~x~mg ${b64(`${k}\r\nEND\r\n`)} b k v~me ${b64(`${k}\r\nEND\r\n`)} b~version~`, { mask: 'numbers' }),
  named('ms in older forms', k => `ms ${k} S2~hi~ms ${k}~mn~ms ${k} -1~mn~version~`),
  named('ma with broken numbers', k => `ma ${k} N~ma ${k} Nx~ma ${k} D-1~ma ${k} D18446744073709551616~ma ${k} J~mn~`),
  named('an error in a quiet run', k => `mg ${k} q~mg ${k} q !~mg ${k} q~mn~`),
]

// Not among them: `stats sizes_enable`, which can crash memcached up to 1.6.24.
const administration: Conversation[] = [
  named('stats', () => 'stats~version~', { mask: 'statistics' }),
  named('stats settings', () => 'stats settings~stats  settings~version~', { mask: 'statistics' }),
  ...['items', 'slabs', 'sizes', 'conns', 'extstore'].map(sub => named(`stats ${sub}`, () => `stats ${sub}~version~`, { mask: 'statistics' })),
  ...['se', 'settings x', 'foo', 'malloc', 'detail foo', 'cachedump 1 x y', 'cachedump', 'cachedump x 1', 'cachedump 1', 'cachedump 0 0 0', 'proxy']
    .map(sub => named(`stats ${sub}`, () => `stats ${sub}~version~`, { mask: 'statistics' })),
  last('stats r, stats reset', () => 'stats r~stats reset~stats rese~version~', 'statistics'),
  inTurn('stats detail on, dump, off', k => `stats detail on~get ${k}:a~set ${k}:a 0 0 1~x~stats detail dump~stats detail off~stats de du~version~`, 'statistics'),
  // A dump's end is seen by its last line; an OK may be its begin, so something else stands behind each.
  // In segments items move from list to list behind everybody's back, and a dump may miss one on its way.
  inTurn('cachedump of a class', k => `lru mode flat~set ${k} 0 0 1~x~stats cachedump 1 0~stats cach 1 1~lru mode segmented~version~`, 'dump'),
  inTurn('cachedump of keys with line ends', k => `lru mode flat~ms ${b64(`${k}\r\nEND\r\n`)} 1 b~x~ma ${b64(`${k}\r\nEND\r\nx`)} b N0~stats cachedump 2 0~version~md ${b64(`${k}\r\nEND\r\nx`)} b~lru mode segmented~version~`, 'dump'),
  inTurn('lru_crawler metadump', k => [`lru mode flat~set ${k} 0 0 1~x~`, 'lru_crawler metadump all~', 'lru mode segmented~version~'], 'dump'),
  inTurn('lru_crawler metadump, version behind it', k => [`lru mode flat~set ${k} 0 0 1~x~`, 'lru_crawler metadump all~version~', 'lru mode segmented~version~'], 'dump'),
  inTurn('lru_crawler metadump behind a request', k => `set ${k} 0 0 1~x~get ${k}~lru_crawler metadump all~`, 'dump'),
  // Keys with line ends in them make lines of their own here: all that there will be are there by then.
  last('lru_crawler mgdump', k => [`lru mode flat~set ${k} 0 0 1~x~`, 'lru_crawler mgdump all~', 'lru mode segmented~version~'], 'dump'),
  inTurn('lru_crawler met', () => 'lru_crawler met all~version~', 'dump'),
  inTurn('lru_crawler metadump of nothing', () => ['lru_crawler metadump 63~version~', 'lru_crawler metadump x~', 'lru_crawler metadump~'], 'dump'),
  // While the crawler is off, statistics lack its lines.
  last('lru_crawler', () => ['lru_crawler~lru_crawler sleep 100~lru_crawler tocrawl 0~lru_crawler crawl 63~lru_crawler disable~lru_crawler foo~version~', 'lru_crawler enable~'], 'crawler'),
  inTurn('watch', k => ['watch fetchers~', `get ${k}~`], 'first line'),
  inTurn('watch behind a request', k => `get ${k}~watch fetchers~`, 'first line'),
  inTurn('watch of nothing known', () => 'watch foo~version~', 'first line'),
  inTurn('watch f', () => 'watch f~version~', 'first line'),
  inTurn('verbosity', () => 'verbosity 0~verbosity~verbosity x~verbosity 0 0 0~verbosity 0 noreply~version~'),
  last('cache_memlimit', () => 'cache_memlimit 64~cache_memlimit 1~cache_memlimit x~cache_memlimit~cache_memlimit 64 noreply~version~'),
  inTurn('slabs', () => 'slabs~slabs automove 0~slabs automove 1~slabs automove 1 noreply~slabs automove x~slabs a 1~slabs reassign 1 1~slabs reassign 1 200~slabs foo~version~'),
  inTurn('lru', () => 'lru~lru mode segmented~lru tune 20 40 0.2 2.0~lru tune 1~lru temp_ttl -1~lru foo 1~lru mode segmented noreply~version~'),
  inTurn('extstore, refresh_certs, debugging', () => 'extstore~extstore item_size 1~extstore foo 1~refresh_certs~debugtime p~debugitem lock a~version~'),
  inTurn('shutdown without -A', () => 'shutdown~shutdown graceful~shutdown g~shutdown x~version~'),
  last('flush_all', k => `set ${k} 0 0 1~x~flush_all~get ${k}~flush_all noreply~flush_all 0~flush_all 0 noreply~version~`),
  last('flush_all with oddities', k => `set ${k} 0 0 1~x~flush_all x~flush_all 1 2~flush_all -1~get ${k}~flush_all 100000 x~flush_all 0~version~`),
]

export const textCorpus: readonly Conversation[] = [
  ...commandsAsMeant, ...values, ...badBlocks, ...numbers, ...keys, ...lines, ...ends, ...meta, ...administration,
]
