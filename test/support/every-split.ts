import { prng } from './prng.ts'

const randomCuts = 50

/** Hands `bytes` to `check` cut in many ways: whole, one byte at a time, at every single place, and at seeded random
 *  places. An incremental parser must come to the same result each time. The cuts are named in the error's message. */
export function everySplit(bytes: Buffer, check: (pieces: Buffer[]) => void, seed = 1): void {
  const tryCuts = (cuts: number[], name: string) => {
    try {
      check(piecesOf(bytes, cuts))
    } catch (error) {
      if (error instanceof Error) error.message = `split ${name}: ${error.message}`
      throw error
    }
  }
  tryCuts([], 'whole')
  tryCuts(Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1), 'one byte at a time')
  for (let at = 1; at < bytes.length; at++) tryCuts([at], `at ${at}`)
  if (bytes.length < 3) return

  const random = prng(seed)
  for (let round = 0; round < randomCuts; round++) {
    const cuts = new Set<number>()
    for (let n = random.between(2, 8); n > 0; n--) cuts.add(random.between(1, bytes.length - 1))
    const sorted = [...cuts].sort((a, b) => a - b)
    tryCuts(sorted, `at ${sorted.join(', ')} (seed ${seed}, round ${round})`)
  }
}

/** Each piece is a copy in memory of its own, so that a parser that reads past a piece's end meets foreign bytes. */
function piecesOf(bytes: Buffer, cuts: number[]): Buffer[] {
  const pieces: Buffer[] = []
  let start = 0
  for (const end of [...cuts, bytes.length]) {
    pieces.push(Buffer.from(bytes.subarray(start, end)))
    start = end
  }
  return pieces
}
