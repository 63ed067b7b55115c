/** The flags of meta commands: what each takes, so that only lines whose every token is understood are shared.
 *  Source: protocol.txt, "Meta Commands". */
import { commands, ME, MG } from './commands.ts'
import { isBase64, isInt32, isUint64, decimal, release, MAX_UINT32 } from './bytes.ts'
import { MAX_KEY, type RequestFrame } from './frame.ts'

type Argument = 'none' | 'int32' | 'uint32' | 'uint64' | 'opaque' | 'mode' | 'any'
/** `also`: with this flag the line changes an item as that other command does, and is allowed only where that one is. */
type Flag = { argument: Argument; since?: string; also?: 'ms' | 'touch' }

/** Gives the item another cas number than memcached's next, by which later writes are compared. */
const E: Flag = { argument: 'uint64', since: '1.6.27', also: 'ms' }
/** Changes when the item expires. */
const T: Flag = { argument: 'int32', also: 'touch' }

const common: Record<string, Flag> = {
  b: { argument: 'none' }, k: { argument: 'none' }, q: { argument: 'none' }, O: { argument: 'opaque' },
  // Routing hints for proxies in front of memcached, which itself reads over them.
  P: { argument: 'any' }, L: { argument: 'any' },
}
const flagsOf: Record<string, Record<string, Flag>> = {
  mg: {
    ...common, v: { argument: 'none' }, c: { argument: 'none' }, s: { argument: 'none' }, t: { argument: 'none' }, f: { argument: 'none' },
    h: { argument: 'none' }, l: { argument: 'none' }, u: { argument: 'none' },
    // Creates the item on a miss; hands out the one leave to renew it, so that no other client gets that.
    N: { argument: 'int32', also: 'ms' }, R: { argument: 'int32', also: 'ms' },
    T, E, C: { argument: 'uint64', since: '1.6.40' },
  },
  ms: {
    ...common, c: { argument: 'none' }, C: { argument: 'uint64' }, F: { argument: 'uint32' }, I: { argument: 'none' }, T: { argument: 'int32' },
    M: { argument: 'mode' }, s: { argument: 'none', since: '1.6.20' }, N: { argument: 'int32', since: '1.6.20' }, E: { argument: 'uint64', since: '1.6.27' },
  },
  md: {
    // I marks the item stale, which is a way of deleting it; x leaves an empty one, which readers take for a hit.
    ...common, C: { argument: 'uint64' }, I: { argument: 'none' }, T, E, x: { argument: 'none', since: '1.6.27', also: 'ms' },
  },
  ma: {
    ...common, N: { argument: 'int32', also: 'ms' }, J: { argument: 'uint64' }, D: { argument: 'uint64' }, T, M: { argument: 'mode' },
    C: { argument: 'uint64' }, v: { argument: 'none' }, c: { argument: 'none' }, t: { argument: 'none' }, E,
  },
  me: { b: { argument: 'none' } },
}
/** Which lines need a second command as well: the flags of each verb, by that command. For the reference. */
export const flagsThatNeedMore = Object.entries(flagsOf).flatMap(([verb, flags]) => (['ms', 'touch'] as const).map((also) => ({
  verb, also, letters: Object.keys(flags).filter((letter) => flags[letter].also === also),
}))).filter(({ letters }) => letters.length > 0)

/** Capitals only: small letters are refused by 1.6.18, and one refusal on a shared connection closes it. */
const modesOf: Record<string, string> = { ms: 'EAPRS', ma: 'I+D-' }

const ROW_OF_MS = commands.findIndex((row) => row.verb === 'ms')
const ROW_OF_TOUCH = commands.findIndex((row) => row.verb === 'touch')

const kinds: readonly Argument[] = ['none', 'int32', 'uint32', 'uint64', 'opaque', 'mode', 'any']
const KNOWN = 0x80

/** Letters as bits, small and capital ones apart. */
const isSmall = (letter: number): boolean => letter >= 97
const isCapital = (letter: number): boolean => letter < 97
const bitOf = (letter: number): number => 1 << (letter & 31)
const bitsOf = (flags: Record<string, Flag>, also: Flag['also'], isOfCase: (letter: number) => boolean): number =>
  Object.keys(flags).filter((letter) => flags[letter].also === also && isOfCase(letter.charCodeAt(0)))
    .reduce((bits, letter) => bits | bitOf(letter.charCodeAt(0)), 0)
const SMALL_B = bitOf(98)
const SMALL_K = bitOf(107)
const SMALL_Q = bitOf(113)
const CAPITAL_O = bitOf(79)

type Grammar = {
  kind: Uint8Array
  since: Float64Array
  modes: Uint8Array
  /** Flags, as bits of small and capital letters, with which the line needs `ms` as well; and `touch`. */
  storesSmall: number
  storesCapital: number
  touchesCapital: number
}
const grammarOfRow: readonly (Grammar | undefined)[] = commands.map((row) => {
  const flags = row.verb === undefined ? undefined : flagsOf[row.verb]
  if (flags === undefined) return undefined
  const grammar = {
    kind: new Uint8Array(128), since: new Float64Array(128), modes: new Uint8Array(128),
    storesSmall: bitsOf(flags, 'ms', isSmall), storesCapital: bitsOf(flags, 'ms', isCapital), touchesCapital: bitsOf(flags, 'touch', isCapital),
  }
  for (const [letter, flag] of Object.entries(flags)) {
    grammar.kind[letter.charCodeAt(0)] = KNOWN | kinds.indexOf(flag.argument)
    grammar.since[letter.charCodeAt(0)] = flag.since === undefined ? 0 : release(flag.since)
  }
  for (const mode of modesOf[row.verb!] ?? '') grammar.modes[mode.charCodeAt(0)] = 1
  return grammar
})

/** Reads the flag tokens `first` to `count` of the meta line in hand.
 *  @param tokens start and end of each token, by pairs
 *  @returns true when every token is one that all releases from `needs` on take as meant */
export function readMetaFlags(frame: RequestFrame, tokens: Int32Array, first: number, count: number): boolean {
  if (count === first) return true
  const bytes = frame.chunk
  const grammar = grammarOfRow[frame.row]!
  let small = 0
  let capital = 0
  let needs = frame.needs
  for (let token = first; token < count; token++) {
    const from = tokens[2 * token]
    const to = tokens[2 * token + 1]
    const letter = bytes[from]
    if (letter > 127 || grammar.kind[letter] === 0) return false
    const bit = bitOf(letter)
    if (((isSmall(letter) ? small : capital) & bit) !== 0) return false
    if (isSmall(letter)) small |= bit
    else capital |= bit
    if (!takesArgument(bytes, from + 1, to, kinds[grammar.kind[letter] & ~KNOWN], grammar)) return false
    if (grammar.since[letter] > needs) needs = grammar.since[letter]
  }
  const isBase64Key = (small & SMALL_B) !== 0
  if (isBase64Key && !isBase64(bytes, tokens[2], tokens[3])) return false
  frame.needs = needs
  frame.hasBase64Key = isBase64Key
  frame.quiet = (small & SMALL_Q) !== 0
  frame.isEchoed = (small & SMALL_K) !== 0 || (capital & CAPITAL_O) !== 0
  if (((capital & grammar.storesCapital) | (small & grammar.storesSmall)) !== 0) frame.alsoRow = ROW_OF_MS
  else if ((capital & grammar.touchesCapital) !== 0) frame.alsoRow = ROW_OF_TOUCH
  // Answers may carry the raw key in their header line (PROTOCOL 3.3). With line ends in it, nobody else may be on that connection.
  if (isBase64Key && (frame.row === ME || (frame.row === MG && (small & SMALL_K) !== 0 && !isPlainText(bytes, tokens[2], tokens[3])))) frame.strict = false
  return true
}

/** A base64 key that has neither blanks nor control bytes in it. */
function isPlainText(bytes: Buffer, from: number, to: number): boolean {
  for (const byte of Buffer.from(bytes.toString('latin1', from, to), 'base64')) if (byte <= 32 || byte === 127) return false
  return true
}

function takesArgument(bytes: Buffer, from: number, to: number, kind: Argument, grammar: Grammar): boolean {
  switch (kind) {
    case 'none': return from === to
    case 'int32': return isInt32(bytes, from, to)
    case 'uint32': return decimal(bytes, from, to, MAX_UINT32) >= 0
    case 'uint64': return isUint64(bytes, from, to)
    case 'opaque': return to - from >= 1 && to - from <= 31
    case 'mode': return to - from === 1 && bytes[from] < 128 && grammar.modes[bytes[from]] === 1
    case 'any': return to - from <= MAX_KEY
  }
}
