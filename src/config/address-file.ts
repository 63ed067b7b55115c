import { createHash } from 'node:crypto'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { readNamed } from '../lib/file-fault.ts'
import { Ranges, RangesBuilder } from '../lib/ranges.ts'
import { counted } from '../lib/counted.ts'
import { parseCidr } from './address-kinds.ts'
import { Problem } from './problem.ts'

// `allow_file` and `deny_file`: one range a line, `#` begins a comment, blank lines are skipped; lines end in LF or CR LF, and a byte order
// mark is no part of the first.

/** The most ranges, each with a comment. */
const MOST_BYTES = 32 * 1024 * 1024
/** They are sorted in one go, which takes 0.1 to 0.3 s for as many of IPv6, and clients wait for it. */
const MOST_RANGES = 200_000
/** Lines that are read between two looks at the clients: 100,000 of them take 30 to 60 ms. */
const LINES_A_TURN = 2_000
/** Whoever names the wrong file has as many faults as it has lines. */
const MOST_FAULTS = 100

export interface AddressFile {
  ranges: Ranges
  /** Another when a byte is another. */
  digest: string
}

/** @param line counted from 1; undefined: it is about the file as a whole */
export interface LineFault { line?: number, col?: number, message: string, fix: string }

/** @param known what the file held before: it is returned when the file is the same
 *  @returns `ranges` without a fault, or what is wrong */
export async function readAddressFile(path: string, known?: AddressFile): Promise<AddressFile | LineFault[]> {
  const { bytes, fault } = readNamed(path, MOST_BYTES)
  if (fault !== undefined) return [fault]
  const digest = createHash('sha256').update(bytes).digest('hex')
  if (known?.digest === digest) return known
  if (bytes.includes(0)) return [{ message: `${path} is not plain text: it holds NUL bytes.`, fix: 'Save it as UTF-8.' }]
  const builder = new RangesBuilder()
  const faults = await addLines(bytes.toString('utf8').replace(/^\uFEFF/, ''), builder)
  return faults.length > 0 ? faults : { ranges: builder.build(), digest }
}

async function addLines(text: string, builder: RangesBuilder): Promise<LineFault[]> {
  const faults: LineFault[] = []
  let more = 0
  for (let start = 0, line = 1; start < text.length; line++) {
    if (line % LINES_A_TURN === 0) await turnOfTheLoop()
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    const written = text.slice(start, end)
    start = end + 1
    const hash = written.indexOf('#')
    const range = (hash < 0 ? written : written.slice(0, hash)).trim()
    if (range === '') continue
    if (builder.size === MOST_RANGES) return [{ line, message: `there are more than ${MOST_RANGES.toLocaleString('en-US')} ranges in this file.`, fix: 'Write wider ranges.' }]
    if (builder.add(range)) continue
    const problem = parseCidr(range)
    const { message, fix } = problem instanceof Problem ? problem : new Problem(`"${range}" is not an address range.`, 'Write one such as 10.0.0.0/8.')
    if (faults.length < MOST_FAULTS) faults.push({ line, col: written.indexOf(range) + 1, message, fix })
    else more += 1
  }
  if (more > 0) faults.push({ message: `${counted(more, 'more line')} of it ${more === 1 ? 'is' : 'are'} faulty too.`, fix: 'Check that it is the file that is meant.' })
  return faults
}
