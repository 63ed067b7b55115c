/** Conversations that are valid, then mutilated, read by every framer in two different cuttings.
 *
 *  A framer may refuse what it reads, and nothing else: no crash, no hang, nothing kept beyond its bounds, no byte looked at
 *  that has not arrived, and the same frames however the bytes were cut. A fault names its seed and case.
 *
 *      node test/soak/framers.ts [cases] [seed]      a single case again: node test/soak/framers.ts 1 <seed of the case> */
import assert from 'node:assert/strict'
import { packet } from '../proto/binary.ts'
import { binaryFrames, binaryReplies, latin1, replies, textFrames, type Asked } from '../proto/reading.ts'
import { prng, type Prng } from '../support/prng.ts'

const maxGetLine = 4096

type Kind = { name: string, make: (random: Prng) => { bytes: Buffer, read: (pieces: Buffer[]) => unknown } }

const kinds: readonly Kind[] = [
  { name: 'text requests', make: random => ({ bytes: several(random, textRequest), read: pieces => textFrames(pieces, maxGetLine) }) },
  { name: 'binary requests', make: random => ({ bytes: several(random, binaryRequest), read: pieces => binaryFrames(pieces) }) },
  {
    name: 'text replies', make: random => {
      const talk = Array.from({ length: random.between(1, 6) }, () => textReply(random))
      const isPrivate = random.chance(0.3)
      return { bytes: latin1(talk.map(each => each.text).join('')), read: pieces => replies(pieces, talk.map(each => each.asked), isPrivate) }
    },
  },
  { name: 'binary replies', make: random => ({ bytes: several(random, binaryReply), read: pieces => binaryReplies(pieces) }) },
]

/** @param cases how many conversations   @throws at the first fault, with what repeats it */
export function fuzzFramers(cases: number, seed: number): void {
  for (let n = 0; n < cases; n++) {
    const caseSeed = (seed + Math.imul(n, 0x9e3779b1)) >>> 0
    const random = prng(caseSeed)
    const kind = random.pick(kinds)
    const { bytes: valid, read } = kind.make(random)
    const bytes = random.chance(0.2) ? valid : mutilated(random, valid)
    const first = cut(random, bytes)
    const second = cut(random, bytes)
    try {
      assert.deepEqual(read(first), read(second))
    } catch (error) {
      const cuts = [first, second].map(pieces => pieces.map(piece => piece.length).join(',')).join(' and ')
      throw new Error(`${kind.name}, \`node test/soak/framers.ts 1 ${caseSeed}\`: ${JSON.stringify(bytes.toString('latin1'))} cut ${cuts}`, { cause: error })
    }
  }
}

const several = (random: Prng, one: (random: Prng) => string | Buffer): Buffer =>
  Buffer.concat(Array.from({ length: random.between(1, 6) }, () => {
    const made = one(random)
    return typeof made === 'string' ? latin1(made) : made
  }))

const words = ['get', 'gets', 'gat', 'set', 'noreply', 'END', 'VALUE', 'a', 'b', 'foo', '0', '1', '-1', 'k'.repeat(250), 'k'.repeat(251), 'mn', 'VA', 'MN', 'q', 'b', 'k', 'O1']
const datas = ['', 'x', 'END\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n', 'MN\r\n', '\r\n', '\r', '\n', '\0\x80\x81', 'x'.repeat(100), 'x'.repeat(2500)]

function textRequest(random: Prng): string {
  const key = random.pick(words)
  const data = random.pick(datas)
  const end = random.chance(0.2) ? ' noreply\r\n' : '\r\n'
  const flags = Array.from({ length: random.between(0, 5) }, () => ` ${random.pick(['q', 'v', 'k', 'b', 'O1', 'T30', 'N0', 's', 'x', 'MS', 'C1'])}`).join('')
  switch (random.between(0, 11)) {
    case 0: return `get ${key} ${random.pick(words)}\r\n`
    case 1: return `${random.pick(['gat', 'gats'])} ${random.pick(['0', '-1', 'x'])}${` ${key}`.repeat(random.pick([1, 3, 30, 300]))}\r\n`
    case 2: return `${random.pick(['set', 'add', 'append'])} ${key} 0 0 ${data.length}${end}${data}\r\n`
    case 3: return `cas ${key} 0 0 ${data.length} 5${end}${data}\r\n`
    case 4: return `incr ${key} ${random.pick(['1', '18446744073709551615', 'x'])}${end}`
    case 5: return `delete ${key}${end}`
    case 6: return `${random.pick(['mg', 'md', 'ma', 'me'])} ${key}${flags}\r\n`
    case 7: return `ms ${key} ${data.length}${flags}\r\n${data}\r\n`
    case 8: return 'mn\r\n'
    case 9: return `stats ${random.pick(words)}\r\n`
    case 10: return `get${` ${key}`.repeat(random.pick([1, 10, 100, 300]))}\r\n`
    default: return `${random.pick(words)} ${random.pick(words)}${end}`
  }
}

function binaryRequest(random: Prng): Buffer {
  const opcode = random.between(0, 0x26)
  const isStore = [1, 2, 3, 0x11, 0x12, 0x13].includes(opcode)
  const isArithmetic = [5, 6, 0x15, 0x16].includes(opcode)
  const extras = isStore ? 8 : isArithmetic ? 20 : [0x1c, 0x1d, 0x1e, 0x23, 0x24].includes(opcode) ? 4 : 0
  return packet({ opcode, extras, key: random.chance(0.8) ? random.pick(words) : '', value: isStore || random.chance(0.1) ? random.pick(datas) : '' })
}

function binaryReply(random: Prng): Buffer {
  return packet({
    magic: 0x81, opcode: random.between(0, 0x24), extras: random.pick([0, 4]), key: random.pick(['', '', 'a', 'k'.repeat(250)]),
    value: random.pick(datas), status: random.pick([0, 0, 1, 0x82]), opaque: random.between(0, 9),
  })
}

function textReply(random: Prng): { asked: Asked, text: string } {
  const keys = ['a', 'b', 'END', 'k'.repeat(250)].slice(0, random.between(1, 4))
  const value = (key: string, cas: string) => {
    const data = random.pick(datas)
    return `VALUE ${key} 0 ${data.length}${cas}\r\n${data}\r\n`
  }
  const meta = () => {
    const data = random.pick(datas)
    return random.pick(['HD\r\n', 'EN\r\n', 'NF Oabc\r\n', `VA ${data.length} s1\r\n${data}\r\n`])
  }
  const hits = keys.filter(() => random.chance(0.6))
  const count = random.between(1, 5)
  switch (random.between(0, 9)) {
    case 0: return { asked: { shape: 'values', keys: keys.join(' ') }, text: `${hits.map(key => value(key, '')).join('')}END\r\n` }
    case 1: return { asked: { shape: 'valuesCas', keys: keys.join('  ') }, text: `${hits.map(key => value(key, ' 7')).join('')}END\r\n` }
    case 2: return { asked: { shape: 'stored' }, text: random.pick(['STORED\r\n', 'SERVER_ERROR out of memory storing object\r\n']) }
    case 3: return { asked: { shape: 'number' }, text: '18446744073709551615\r\n' }
    case 4: return { asked: { shape: 'meta' }, text: meta() }
    case 5: return { asked: { shape: 'metaRun', count, loud: 0 }, text: `${Array.from({ length: random.between(0, count) }, meta).join('')}MN\r\n` }
    case 6: return { asked: { shape: 'metaBatch', count }, text: Array.from({ length: count }, meta).join('') }
    case 8: return {
      asked: { shape: 'gets', keys: keys.map(key => `get ${key}\r\n`).join(''), count: keys.length },
      text: keys.map(key => `${hits.includes(key) ? value(key, '') : ''}END\r\n`).join(''),
    }
    case 7: return { asked: { shape: 'lines' }, text: `${'STAT a 1\r\n'.repeat(random.between(0, 5))}END\r\n` }
    default: return { asked: { shape: 'dump' }, text: `${'key=a\n'.repeat(random.between(0, 5))}END\r\n` }
  }
}

/** A few bytes changed, put in, left out, doubled or cut off: where framers look, more often than elsewhere. */
function mutilated(random: Prng, valid: Buffer): Buffer {
  let bytes = Buffer.from(valid)
  const telling = ['\r', '\n', ' ', '0', '9', '-', '\0', '\x80', '\x81', '\xff', '\r\n', 'noreply', 'END\r\n', '\t', '4294967296', 'x'.repeat(2100)]
  for (let n = random.between(1, 5); n > 0 && bytes.length > 0; n--) {
    const at = random.between(0, bytes.length - 1)
    const to = Math.min(bytes.length, at + random.between(1, 12))
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
    switch (random.between(0, 5)) {
      case 0: bytes[at] = random.between(0, 255); break
      case 1: bytes = Buffer.concat([before, latin1(random.pick(telling)), after]); break
      case 2: bytes = Buffer.concat([before, latin1(random.pick(telling)), bytes.subarray(to)]); break
      case 3: bytes = Buffer.concat([before, bytes.subarray(to)]); break
      case 4: bytes = Buffer.concat([before, bytes.subarray(at, to), after]); break
      default: if (random.chance(0.3)) bytes = Buffer.from(before)
    }
  }
  return bytes
}

function cut(random: Prng, bytes: Buffer): Buffer[] {
  const longest = random.pick([1, 3, 10, 100, 5000])
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + random.between(1, bytes.length > 2000 ? longest + 20 : longest))
    pieces.push(Buffer.from(bytes.subarray(at, to)))
    at = to
  }
  return pieces
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const [cases = '1000000', seed = String(Date.now() >>> 0)] = process.argv.slice(2)
  console.log(`framers: ${cases} cases, seed ${seed}`)
  fuzzFramers(Number(cases), Number(seed))
}
