// One conversation with a memcached, direct or through memseal: what is sent, how it is cut, and all that comes back.
import type { Rounds } from '../../support/rounds.ts'
import { connect } from '../../support/wire.ts'
import type { Wire, WireOptions } from '../../support/wire.ts'

/** Bytes to send. In text `~` stands for CRLF. A function gets what has come back so far (for cas numbers). */
export type Step = string | Buffer | ((received: Buffer) => string | Buffer)

export interface Conversation {
  name: string
  /** @param k a word of this conversation's own, for its keys */
  says: (k: string) => Step | Step[]
  /** `in turn`: touches settings, so no two of these run at once. `last`: others would see what it does (flush_all), so it
   *  runs by itself when all others are done. */
  order?: 'in turn' | 'last'
  /** The client ends its sending side behind its last byte. */
  ends?: boolean
  /** What of the reply cannot be the same twice. */
  mask?: Mask
}

export type Mask =
  | 'cas' //        numbers of cas: only which of them are equal counts
  | 'numbers' //    all numbers
  | 'padding' //    blanks behind a number that has become shorter, which later changes may or may not keep
  | 'statistics' // names and values: only which kinds of lines there are
  | 'dump' //       lines about others' keys
  | 'crawler' //    whether the crawler could be started again while its thread was still ending
  | 'first line' // an endless log: only its first line

/** `whole`: one write a step. `bytes`: each byte by itself; long conversations in some 40 pieces. */
export type Cut = 'whole' | 'bytes'

export interface Reply {
  bytes: Buffer
  isClosed: boolean
  /** Bytes that had come when each step but the last was answered. */
  answered: number[]
}

/** What is waited for: the reply that another place gave, and how many bytes it had given after each step. */
export interface Expected {
  shown: string | undefined
  answered: number[]
}

/** Bytes beyond which a conversation is not cut into single bytes, since that would take seconds. */
const MANY_BYTES = 500
const PIECES = 40
/** Rounds (rounds.ts) in which nothing more may come behind what was expected. */
const SURPLUS_ROUNDS = 3
/** memcached serves each connection 20 requests a round, and what it has to say then comes in the next. */
const QUIET_ROUNDS = 8
const REQUESTS_A_ROUND = 20
/** What is expected and has not come after so many rounds and so long will not come: only a test that fails gets there. */
const VAIN_ROUNDS = 300
const VAIN_MS = 10_000
/** A reply may be as much shorter than another place's: a cas number of fewer digits, say. */
const SHORTER_BYTES = 16

export const textBytes = (text: string | Buffer): Buffer =>
  typeof text === 'string' ? Buffer.from(text.replaceAll('~', '\r\n'), 'latin1') : text

/** Says all of it and listens until the other side closes, or has nothing more to say.
 *  @param rounds of the same place; one of memcached itself, with one thread, when nothing is expected
 *  @param expected what another place answered; left out: whatever comes */
export async function converse(
  place: WireOptions, rounds: Rounds, conversation: Conversation, k: string, cut: Cut, expected?: Expected,
): Promise<Reply> {
  const wire = await connect({ ...place, allowHalfOpen: conversation.ends })
  if (expected === undefined) await rounds.untilAccepted(wire.socket.localPort!)
  const steps = [conversation.says(k)].flat()
  const answered: number[] = []
  const reply = (): Reply => ({ bytes: wire.received, isClosed: wire.hasEnded, answered })
  let requests = 0
  let stepFrom = 0
  for (const [index, step] of steps.entries()) {
    if (index > 0) {
      const wanted = hasFixedLength(conversation) ? (expected?.answered[index - 1] ?? 0) - SHORTER_BYTES : 0
      await stillness(wire, rounds, requests, expected, () => wire.received.length >= wanted && isAtEnd(wire.received.subarray(stepFrom), conversation))
      answered.push(wire.received.length)
    }
    if (conversation.mask === 'dump') await crawlerIsIdle(place)
    const bytes = textBytes(typeof step === 'function' ? step(wire.received) : step)
    stepFrom = wire.received.length
    requests = bytes.filter(byte => byte === 10 || byte === 0x80).length
    await say(wire, rounds, bytes, cut)
  }
  if (conversation.ends) wire.end()
  await stillness(wire, rounds, requests, expected, () => (expected === undefined ? isAtEnd(wire.received.subarray(stepFrom), conversation) : shown(reply(), conversation, k) === expected.shown),
    conversation.mask === 'first line')
  const all = reply()
  wire.destroy()
  return all
}

/** memcached says the end of a dump before it can begin another: until then it would answer BUSY. */
async function crawlerIsIdle(place: WireOptions): Promise<void> {
  const wire = await connect(place)
  do void wire.write('stats\r\n')
  while ((await wire.readUntil('END\r\n')).includes('STAT lru_crawler_running 1'))
  wire.destroy()
}

async function say(wire: Wire, rounds: Rounds, bytes: Buffer, cut: Cut): Promise<void> {
  if (cut === 'whole') return wire.write(bytes)
  const pieceBytes = bytes.length > MANY_BYTES ? Math.ceil(bytes.length / PIECES) : 1
  for (let at = 0; at < bytes.length && !wire.hasEnded; at += pieceBytes) {
    await wire.write(bytes.subarray(at, at + pieceBytes))
    // The other side has read it before the next one comes.
    await rounds.pass(1)
  }
}

/** Waits until the connection ends, or what is wanted is here and nothing more comes.
 *  @param requests that were sent last   @param isEndless more will come, which nobody wants */
async function stillness(wire: Wire, rounds: Rounds, requests: number, expected: Expected | undefined, isThere: () => boolean, isEndless = false): Promise<void> {
  const since = performance.now()
  for (let round = 0; !wire.hasEnded && !isThere(); round++) {
    if (round > VAIN_ROUNDS && performance.now() - since > VAIN_MS) return
    await rounds.pass(1)
  }
  const enough = expected === undefined ? QUIET_ROUNDS + Math.ceil(requests / REQUESTS_A_ROUND) : SURPLUS_ROUNDS
  let before = -1
  while (!wire.hasEnded && !isEndless && before !== wire.received.length) {
    before = wire.received.length
    await rounds.pass(enough)
  }
}

/** Dumps and endless replies come from other threads of memcached, at times of their own.   @param answer to the last step */
function isAtEnd(answer: Buffer, { mask }: Conversation): boolean {
  if (mask === 'first line') return answer.includes(10)
  return mask !== 'dump' || /(^|\n)(?!key=|mg |ITEM |OK)[^\n]*\n$/.test(answer.toString('latin1'))
}

/** Dumps and statistics tell of others too, so their length is no sign of their end. */
const hasFixedLength = ({ mask }: Conversation): boolean => mask === undefined || mask === 'cas' || mask === 'numbers'

export const pause = (ms: number): Promise<void> => new Promise(resolve => { setTimeout(resolve, ms) })

/** A reply as a test compares and prints it. */
export function shown(reply: Reply, { mask }: Conversation, k: string): string {
  const bytes = reply.bytes[0] === 0x81 ? packets(reply.bytes) : masked(reply.bytes.toString('latin1'), mask, k)
  const text = bytes.replaceAll(k, 'K')
  const short = text.length > 2000 ? `${text.slice(0, 900)} … ${text.length} characters, sum ${sum(text)} … ${text.slice(-900)}` : text
  return short + (reply.isClosed ? '[closed]' : '')
}

function masked(text: string, mask: Mask | undefined, k: string): string {
  switch (mask) {
    case undefined: return text
    case 'cas': return ordinals(text, /(?<=VALUE \S+ \d+ \d+ )\d+|(?<= c)\d+|(?<= cas=)\d+/g)
    case 'padding': return text.replace(/(VALUE \S+ \d+) \d+\r\n(\d+) *\r\n/g, '$1 #\r\n$2\r\n')
    case 'numbers': return text.replace(/-?\d+(\.\d+)?/g, '#')
    case 'statistics': {
      const kinds = text.split('\r\n').map(line => line.replace(/^(STAT \S+) .*/, '$1').replace(/\d+/g, '#'))
      return [...new Set(kinds)].sort().join('\n')
    }
    case 'dump': return text.split('\n').filter(line => !/^(key=|mg |ITEM )/.test(line) || line.includes(k))
      .map(line => line.replace(/(exp|la|cas|cls|size)=-?\d+|(?<=; )\d+ s/g, '$1#')).sort().join('\n')
    case 'crawler': return text.replace('ERROR failed to start lru crawler thread', 'OK')
    case 'first line': return text.slice(0, text.indexOf('\n') + 1)
  }
}

/** Each number becomes its place in the order of first appearance. */
function ordinals(text: string, numbers: RegExp): string {
  const seen = new Map<string, string>()
  return text.replace(numbers, number => {
    if (!seen.has(number)) seen.set(number, `#${seen.size}`)
    return seen.get(number) as string
  })
}

/** Binary packets, one a line, without cas numbers and without what statistics count. */
function packets(bytes: Buffer): string {
  const lines: string[] = []
  const seen = new Map<string, string>([['0000000000000000', '-']])
  let at = 0
  while (bytes.length - at >= 24 && bytes[at] === 0x81) {
    const end = at + 24 + bytes.readUInt32BE(at + 8)
    if (end > bytes.length) break
    const cas = bytes.toString('hex', at + 16, at + 24)
    if (!seen.has(cas)) seen.set(cas, `#${seen.size}`)
    const keyEnd = at + 24 + bytes[at + 4] + bytes.readUInt16BE(at + 2)
    const isStatistic = bytes[at + 1] === 0x10 && bytes.readUInt16BE(at + 6) === 0
    const header = bytes.toString('hex', at, isStatistic ? at + 2 : at + 12)
    const body = isStatistic ? bytes.toString('latin1', at + 24, keyEnd).replace(/\d+/g, '#') : bytes.toString('latin1', at + 24, end)
    const line = `${header} ${bytes.toString('hex', at + 12, at + 16)} ${seen.get(cas)} ${body}`
    if (!isStatistic || !lines.includes(line)) lines.push(line)
    at = end
  }
  return lines.join('\n') + (at < bytes.length ? `\nrest: ${bytes.toString('latin1', at)}` : '')
}

function sum(text: string): number {
  let total = 0
  for (let at = 0; at < text.length; at++) total = (total * 31 + text.charCodeAt(at)) | 0
  return total
}
