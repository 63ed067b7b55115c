/** The flags of meta commands: what each takes, so that only lines whose every token is understood are shared.
 *  Source: protocol.txt, "Meta Commands". */
import { commands, ME, MG } from './commands.ts'
import { isBase64, isInt32, isUint64, decimal, release, MAX_UINT32 } from './bytes.ts'
import { MAX_KEY } from './frame.ts'

type Argument = 'none' | 'int32' | 'uint32' | 'uint64' | 'opaque' | 'mode' | 'any'
type Flag = { argument: Argument; since?: string }

const common: Record<string, Flag> = {
  b: { argument: 'none' }, k: { argument: 'none' }, q: { argument: 'none' }, O: { argument: 'opaque' },
  // Routing hints for proxies in front of memcached, which itself reads over them.
  P: { argument: 'any' }, L: { argument: 'any' },
}
const flagsOf: Record<string, Record<string, Flag>> = {
  mg: {
    ...common, v: { argument: 'none' }, c: { argument: 'none' }, s: { argument: 'none' }, t: { argument: 'none' }, f: { argument: 'none' },
    h: { argument: 'none' }, l: { argument: 'none' }, u: { argument: 'none' }, N: { argument: 'int32' }, R: { argument: 'int32' },
    T: { argument: 'int32' }, E: { argument: 'uint64', since: '1.6.27' }, C: { argument: 'uint64', since: '1.6.40' },
  },
  ms: {
    ...common, c: { argument: 'none' }, C: { argument: 'uint64' }, F: { argument: 'uint32' }, I: { argument: 'none' }, T: { argument: 'int32' },
    M: { argument: 'mode' }, s: { argument: 'none', since: '1.6.20' }, N: { argument: 'int32', since: '1.6.20' }, E: { argument: 'uint64', since: '1.6.27' },
  },
  md: {
    ...common, C: { argument: 'uint64' }, I: { argument: 'none' }, T: { argument: 'int32' }, E: { argument: 'uint64', since: '1.6.27' },
    x: { argument: 'none', since: '1.6.27' },
  },
  ma: {
    ...common, N: { argument: 'int32' }, J: { argument: 'uint64' }, D: { argument: 'uint64' }, T: { argument: 'int32' }, M: { argument: 'mode' },
    C: { argument: 'uint64' }, v: { argument: 'none' }, c: { argument: 'none' }, t: { argument: 'none' }, E: { argument: 'uint64', since: '1.6.27' },
  },
  me: { b: { argument: 'none' } },
}
/** Capitals only: small letters are refused by 1.6.18, and one refusal on a shared connection closes it. */
const modesOf: Record<string, string> = { ms: 'EAPRS', ma: 'I+D-' }

const kinds: readonly Argument[] = ['none', 'int32', 'uint32', 'uint64', 'opaque', 'mode', 'any']
const KNOWN = 0x80

type Grammar = { kind: Uint8Array; since: Float64Array; modes: Uint8Array }
const grammarOfRow: readonly (Grammar | undefined)[] = commands.map((row) => {
  const flags = row.verb === undefined ? undefined : flagsOf[row.verb]
  if (flags === undefined) return undefined
  const grammar = { kind: new Uint8Array(128), since: new Float64Array(128), modes: new Uint8Array(128) }
  for (const [letter, flag] of Object.entries(flags)) {
    grammar.kind[letter.charCodeAt(0)] = KNOWN | kinds.indexOf(flag.argument)
    grammar.since[letter.charCodeAt(0)] = flag.since === undefined ? 0 : release(flag.since)
  }
  for (const mode of modesOf[row.verb!] ?? '') grammar.modes[mode.charCodeAt(0)] = 1
  return grammar
})

/** What the flags of the line just read came to. */
export const metaFlags = {
  quiet: false,
  /** Creates the item on a miss (N) or changes when it expires (T), so that a read also writes. */
  vivifies: false,
  touches: false,
  /** Lowest release that knows every flag used, as `release()` gives it. */
  needs: 0,
  /** Answers may carry the raw key in their header line (PROTOCOL 3.3): nobody else may be on that connection. */
  isRawKeyPossible: false,
}

/** Letters as bits, small and capital ones apart. */
const isSmall = (letter: number): boolean => letter >= 97
const bitOf = (letter: number): number => 1 << (letter & 31)
const SMALL_B = bitOf(98)
const SMALL_K = bitOf(107)
const SMALL_Q = bitOf(113)
const CAPITAL_N = bitOf(78)
const CAPITAL_T = bitOf(84)

/** Reads the flag tokens `first` to `count` of a meta line into `metaFlags`.
 *  @param tokens start and end of each token, by pairs
 *  @returns true when every token is one that all releases from `needs` on take as meant */
export function readMetaFlags(bytes: Buffer, tokens: Int32Array, first: number, count: number, row: number): boolean {
  const grammar = grammarOfRow[row]!
  metaFlags.quiet = metaFlags.vivifies = metaFlags.touches = metaFlags.isRawKeyPossible = false
  metaFlags.needs = 0
  if (count === first) return true
  let small = 0
  let capital = 0
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
    if (grammar.since[letter] > metaFlags.needs) metaFlags.needs = grammar.since[letter]
  }
  const isBase64Key = (small & SMALL_B) !== 0
  if (isBase64Key && !isBase64(bytes, tokens[2], tokens[3])) return false
  metaFlags.quiet = (small & SMALL_Q) !== 0
  metaFlags.vivifies = row === MG && (capital & CAPITAL_N) !== 0
  metaFlags.touches = row === MG && (capital & CAPITAL_T) !== 0
  metaFlags.isRawKeyPossible = isBase64Key && (row === ME || (row === MG && (small & SMALL_K) !== 0))
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
