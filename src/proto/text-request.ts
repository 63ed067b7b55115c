/** Requests of the text protocol, classic and meta, pulled one by one out of what a client has sent.
 *  The frame and the ways of taking a data block: request-framer.ts.
 *
 *  `strict` is the grammar of what may be written to a connection that clients share: every release of memcached reads
 *  such a line the same way and answers it in a form known beforehand. What is not strict is never repaired.
 *  Source: protocol.txt; where it is silent, proto_text.c and memcached.c as measured. */
import { commands, GET, UNKNOWN, type Syntax } from './commands.ts'
import { decimal, indexOfByte, isInt32, isUint64, release, sameBytes, MAX_UINT32 } from './bytes.ts'
import { CR, Found, LF, MAX_GET_LINE, MAX_KEY, MAX_LINE, SPACE } from './frame.ts'
import { readMetaFlags } from './meta-request.ts'
import { RequestFramer } from './request-framer.ts'

const NOREPLY = Buffer.from('noreply')
const MAX_TOKENS = 24
/** Above it memcached refuses the line whole: INT_MAX - 2. */
const MAX_VALUE = 2147483645
/** Meta lines of more tokens than this are refused by some releases. */
const MAX_META_TOKENS = 19
/** Verb, exptime and blanks before the keys of a get that is shared. */
const MAX_HEAD = 256

export const Words = {
  error: 'ERROR',
  format: 'CLIENT_ERROR bad command line format',
  chunk: 'CLIENT_ERROR bad data chunk',
  delta: 'CLIENT_ERROR invalid numeric delta argument',
  exptime: 'CLIENT_ERROR invalid exptime argument',
  tooLong: 'CLIENT_ERROR line too long',
} as const

/** Start and end of each word of the line in hand, by pairs. One for all framers: a line is read in one go. */
const tokens = new Int32Array(2 * MAX_TOKENS)

export class TextRequestFramer extends RequestFramer {
  readonly #maxLine: number

  /** @param maxGetLine longest `get` line that is collected, in bytes */
  constructor(maxGetLine: number) {
    super('text')
    this.#maxLine = maxGetLine
  }

  next(): Found {
    if (this.mode !== 'framing' && !this.passBody()) return Found.more
    if (this.mode === 'holding') {
      this.mode = 'framing'
      return this.#endsWithCrlf() ? Found.request : this.#faulty(Words.chunk)
    }
    const input = this.input
    const at = this.at
    if (at === input.length) return this.letGo()
    const lf = indexOfByte(input, LF, Math.max(this.scanned, at), input.length)
    if (lf < 0) {
      this.scanned = input.length
      return this.#isTooLong(input, at, input.length - at) ? this.#begin(input, at, input.length, Found.lost, Words.tooLong) : Found.more
    }
    // Not left to how the line was cut, which is how memcached has it.
    if (lf - at > MAX_LINE && this.#isTooLong(input, at, lf - at)) return this.#begin(input, at, input.length, Found.lost, Words.tooLong)
    return this.#read(input, at, lf)
  }

  #endsWithCrlf(): boolean {
    const { chunk, end, rest } = this.frame
    let last = -1
    let beforeLast = -1
    for (let i = rest.length - 1; i >= 0 && beforeLast < 0; i--) {
      for (let at = rest[i].length - 1; at >= 0 && beforeLast < 0; at--) {
        if (last < 0) last = rest[i][at]
        else beforeLast = rest[i][at]
      }
    }
    if (beforeLast < 0) beforeLast = chunk[end - 1]
    return last === LF && beforeLast === CR
  }

  /** memcached closes on more than 2048 bytes without an LF; only get and gets may go on there, and gat and gats when they
   *  arrive in one read, as they do from us. */
  #isTooLong(input: Buffer, at: number, length: number): boolean {
    if (length <= MAX_LINE) return false
    const isGet = input[at] === 103 && (input[at + 1] === 101 || input[at + 1] === 97) && input[at + 2] === 116 &&
      (input[at + 3] === SPACE || (input[at + 3] === 115 && input[at + 4] === SPACE))
    return !isGet || length > this.#maxLine
  }

  #begin(input: Buffer, at: number, next: number, found: Found, words: string): Found {
    this.beginFrame(input, at, next)
    this.frame.words = words
    return found
  }

  #lost(words: string): Found {
    this.frame.words = words
    this.frame.strict = false
    return Found.lost
  }

  #faulty(words: string): Found {
    this.frame.words = words
    this.frame.strict = false
    return Found.faulty
  }

  #read(input: Buffer, at: number, lf: number): Found {
    this.#begin(input, at, lf + 1, Found.request, Words.error)
    const { frame } = this
    const hasCr = lf > at && input[lf - 1] === CR
    const to = hasCr ? lf - 1 : lf
    frame.strict = hasCr

    // The request that most lines are: `get <key>`.
    if (input[at] === 103 && input[at + 1] === 101 && input[at + 2] === 116 && input[at + 3] === SPACE) {
      frame.row = GET
      return this.#readKeys(input, at + 4, to, MAX_GET_LINE)
    }
    let verbEnd = at
    while (verbEnd < to && input[verbEnd] !== SPACE) verbEnd++
    const isMeta = input[at] === 109 && verbEnd - at === 2
    const row = isMeta ? rowOfMeta[input[at + 1]] : rowOfVerb(input, at, verbEnd)
    if (row < 0) return this.#unknown(input, at, to)
    frame.row = row
    const size = lf + 1 - at
    const syntax = commands[row].syntax!
    if (syntax === 'keys') return this.#readKeys(input, verbEnd, to, MAX_GET_LINE)
    if (size > MAX_LINE) frame.strict = false
    if (syntax === 'exptime-keys') return this.#readExptimeKeys(input, verbEnd, to)
    const count = this.#tokenise(input, at, to)
    if (count < 0) return this.#withoutTokens(syntax, -count)
    switch (syntax) {
      case 'store': return this.#readStore(input, count, 5)
      case 'cas': return this.#readStore(input, count, 6)
      case 'meta': return this.#readMeta(input, count)
      case 'meta-store': return this.#readMetaStore(input, count)
      case 'delete': return this.#readDelete(input, count)
      case 'arithmetic': return this.#readArithmetic(input, count)
      case 'touch': return this.#readTouch(input, count)
      case 'flush': return this.#readFlush(input, count)
      case 'bare':
        frame.needs = needsOfRow[row]
        if (count > 1 || to !== tokens[1]) frame.strict = false
        return Found.request
      case 'words': return this.#readWords(input, count)
    }
  }

  /** Words split on runs of blanks. @returns how many; negative: -1 a NUL among them, -2 more than fit */
  #tokenise(input: Buffer, from: number, to: number): number {
    let count = 0
    let at = from
    while (at < to) {
      if (input[at] === SPACE) {
        at++
        continue
      }
      if (count === MAX_TOKENS) return -2
      tokens[2 * count] = at
      for (let b = input[at]; at < to && b !== SPACE; b = input[++at]) {
        if (b > 32 && b !== 127) continue
        // A NUL ends the line in some releases and is part of a word in others.
        if (b === 0) return -1
        this.frame.strict = false
      }
      tokens[2 * count++ + 1] = at
    }
    return count
  }

  #withoutTokens(syntax: Syntax, why: number): Found {
    if (syntax === 'store' || syntax === 'cas' || syntax === 'meta-store') return this.#lost(Words.format)
    return this.#faulty(why === 1 ? Words.format : Words.error)
  }

  #unknown(input: Buffer, at: number, to: number): Found {
    // memcached's own guard against browsers and forged requests: it closes at once, and so do we.
    let last = to
    while (last > at && input[last - 1] !== SPACE) last--
    if (to - last >= 5 && input.toString('latin1', last, last + 5) === 'HTTP/') return Found.http
    return this.#faulty(Words.error)
  }

  /** The keys may be more than there are places for words. */
  #readExptimeKeys(input: Buffer, from: number, to: number): Found {
    let start = from
    while (start < to && input[start] === SPACE) start++
    let end = start
    while (end < to && input[end] !== SPACE) end++
    const found = this.#readKeys(input, end, to, MAX_LINE)
    if (this.frame.keys === 0 || isInt32(input, start, end)) return found
    return this.#faulty(Words.exptime)
  }

  #readKeys(input: Buffer, from: number, to: number, longest: number): Found {
    const { frame } = this
    let keys = 0
    let at = from
    let isFaulty = false
    while (at < to) {
      if (input[at] === SPACE) {
        at++
        continue
      }
      const start = at
      let b = input[at]
      while (b !== SPACE) {
        if (b < 33 || b === 127) {
          if (b === 0) isFaulty = true
          frame.strict = false
        }
        if (++at === to) break
        b = input[at]
      }
      const length = at - start
      if (length > MAX_KEY) isFaulty = true
      // A key of that name makes some releases answer with an empty line.
      if (length === 7 && sameBytes(input, start, at, NOREPLY)) frame.strict = false
      if (keys++ === 0) frame.keyStart = start
      frame.keyEnd = at
    }
    frame.keys = keys
    frame.needs = needsOfRow[frame.row]
    if (keys === 0) return this.#faulty(Words.error)
    if (isFaulty) return this.#faulty(Words.format)
    // One of many keys is sent in parts; what is before them, and a line of one key, is sent as it is.
    if (frame.keyStart - frame.start > MAX_HEAD || (keys === 1 && frame.size > longest)) frame.strict = false
    return Found.request
  }

  #readKey(input: Buffer): boolean {
    const { frame } = this
    frame.keyStart = tokens[2]
    frame.keyEnd = tokens[3]
    frame.keys = 1
    frame.needs = needsOfRow[frame.row]
    if (frame.keyEnd - frame.keyStart === 7 && sameBytes(input, frame.keyStart, frame.keyEnd, NOREPLY)) frame.strict = false
    return frame.keyEnd - frame.keyStart <= MAX_KEY
  }

  /** Takes `noreply` as the last word, and marks it for cutting. */
  #readNoreply(input: Buffer, token: number): boolean {
    if (!sameBytes(input, tokens[2 * token], tokens[2 * token + 1], NOREPLY)) return false
    const { frame } = this
    frame.silent = true
    frame.cutStart = tokens[2 * token] - 1
    frame.cutEnd = tokens[2 * token + 1]
    return true
  }

  /** @param words of the command without noreply: 5, with a cas unique 6 */
  #readStore(input: Buffer, count: number, words: number): Found {
    if (count < words || count > words + 1) return this.#lost(Words.error)
    const valueBytes = decimal(input, tokens[8], tokens[9], MAX_VALUE)
    if (valueBytes < 0 || !this.#readKey(input)) return this.#lost(Words.format)
    if (decimal(input, tokens[4], tokens[5], MAX_UINT32) < 0 || !isInt32(input, tokens[6], tokens[7])) return this.#lost(Words.format)
    if (words === 6 && !isUint64(input, tokens[10], tokens[11])) return this.#lost(Words.format)
    if (count === words + 1 && !this.#readNoreply(input, words)) return this.#lost(Words.error)
    return this.#withBody(input, valueBytes)
  }

  #withBody(input: Buffer, valueBytes: number): Found {
    const { frame } = this
    frame.size += valueBytes + 2
    const end = frame.start + frame.size
    if (end > input.length) {
      this.at = frame.lineEnd
      return Found.head
    }
    frame.end = this.at = this.scanned = end
    return input[end - 2] === CR && input[end - 1] === LF ? Found.request : this.#faulty(Words.chunk)
  }

  #readArithmetic(input: Buffer, count: number): Found {
    if (count < 3 || count > 4) return this.#faulty(Words.error)
    if (!this.#readKey(input)) return this.#faulty(Words.format)
    if (!isUint64(input, tokens[4], tokens[5])) return this.#faulty(Words.delta)
    if (count === 4 && !this.#readNoreply(input, 3)) return this.#faulty(Words.error)
    return Found.request
  }

  #readDelete(input: Buffer, count: number): Found {
    if (count < 2 || count > 4) return this.#faulty(Words.error)
    if (!this.#readKey(input)) return this.#faulty(Words.format)
    const hasNoreply = count > 2 && this.#readNoreply(input, count - 1)
    const between = count - (hasNoreply ? 3 : 2)
    if (between === 0) return Found.request
    // `delete <key> 0` is an old form that only releases up to 1.6.39 take.
    if (between > 1 || tokens[5] - tokens[4] !== 1 || input[tokens[4]] !== 48) {
      return this.#faulty(Words.format + '.  Usage: delete <key> [noreply]')
    }
    this.frame.strict = false
    return Found.request
  }

  #readTouch(input: Buffer, count: number): Found {
    if (count < 3 || count > 4) return this.#faulty(Words.error)
    if (!this.#readKey(input)) return this.#faulty(Words.format)
    if (!isInt32(input, tokens[4], tokens[5])) return this.#faulty(Words.exptime)
    if (count === 4 && !this.#readNoreply(input, 3)) return this.#faulty(Words.error)
    return Found.request
  }

  #readFlush(input: Buffer, count: number): Found {
    if (count > 3) return this.#faulty(Words.error)
    const hasNoreply = count > 1 && this.#readNoreply(input, count - 1)
    const hasDelay = count - (hasNoreply ? 1 : 0) === 2
    if (count === 3 && !hasNoreply) return this.#faulty(Words.error)
    if (hasDelay && !isInt32(input, tokens[2], tokens[3])) return this.#faulty(Words.exptime)
    if (hasDelay && input[tokens[2]] === 45) this.frame.strict = false
    return Found.request
  }

  #readMeta(input: Buffer, count: number): Found {
    if (count < 2) return this.#faulty(Words.error)
    if (!this.#readKey(input) || count > MAX_META_TOKENS) return this.#faulty(Words.format)
    if (!readMetaFlags(this.frame, tokens, 2, count)) return this.#faulty('CLIENT_ERROR invalid flag')
    return Found.request
  }

  #readMetaStore(input: Buffer, count: number): Found {
    if (count < 3 || count > MAX_META_TOKENS) return this.#lost(Words.format)
    const valueBytes = decimal(input, tokens[4], tokens[5], MAX_VALUE)
    if (valueBytes < 0 || !this.#readKey(input)) return this.#lost(Words.format)
    if (!readMetaFlags(this.frame, tokens, 3, count)) return this.#lost('CLIENT_ERROR invalid flag')
    return this.#withBody(input, valueBytes)
  }

  #readWords(input: Buffer, count: number): Found {
    this.frame.strict = false
    const family = familyOf[this.frame.row]
    if (count > 1 && family.length > 0) {
      const word = input.toString('latin1', tokens[2], tokens[3])
      const exact = family.find((row) => commands[row].sub === word)
      // By prefix, from 1.6.40 on, any other word of `stats` may be anything, and `m…` of lru_crawler a dump.
      if (exact === undefined && (commands[this.frame.row].name === 'stats' || family.some((row) => commands[row].sub!.startsWith(word)))) {
        this.frame.row = UNKNOWN
        return this.#faulty(Words.error)
      }
      if (exact !== undefined) this.frame.row = exact
    }
    if (count > 1 && commands[this.frame.row].name !== 'stats') this.#readNoreply(input, count - 1)
    return Found.request
  }
}

const needsOfRow = Float64Array.from(commands, (row) => (row.since === undefined ? 0 : release(row.since)))

/** Rows of one verb that differ by their second word. */
const familyOf: readonly (readonly number[])[] = commands.map((row) =>
  row.verb === undefined ? [] : commands.flatMap((other, index) => (other.verb === row.verb && other.sub !== undefined ? [index] : [])))

/** Verbs by a hash of their bytes: a small open table, so that finding one allocates nothing. */
const TABLE = 256
const verbs: readonly (Uint8Array | undefined)[] = commands.map((row) => (row.verb === undefined || row.sub !== undefined ? undefined : Buffer.from(row.verb)))
const table = new Int16Array(TABLE).fill(-1)
verbs.forEach((verb, row) => {
  if (verb === undefined) return
  let slot = hash(verb as Buffer, 0, verb.length)
  while (table[slot] >= 0) slot = (slot + 1) % TABLE
  table[slot] = row
})

function hash(bytes: Buffer, from: number, to: number): number {
  let h = to - from
  for (let i = from; i < to; i++) h = (h * 31 + bytes[i]) | 0
  return (h ^ (h >>> 8)) & (TABLE - 1)
}

/** Those of meta commands, which are an m and a letter, by that letter. */
const rowOfMeta = new Int16Array(256).fill(-1)
verbs.forEach((verb, row) => {
  if (verb?.length === 2 && verb[0] === 109) rowOfMeta[verb[1]] = row
})

const LONGEST_VERB = Math.max(...verbs.map((verb) => verb?.length ?? 0))

function rowOfVerb(bytes: Buffer, from: number, to: number): number {
  if (to === from || to - from > LONGEST_VERB) return -1
  for (let slot = hash(bytes, from, to); table[slot] >= 0; slot = (slot + 1) % TABLE) {
    if (sameBytes(bytes, from, to, verbs[table[slot]]!)) return table[slot]
  }
  return -1
}
