/** What becomes of the requests that are in flight behind a long reply of another client.
 *
 *      lane    [ long reply … ][ c2 get a ][ c3 set b ][ c2 get c ]          c2 reads only: it goes on at another lane, where it asks
 *      heir                      c2 get a                c2 get c             once more; what is answered here is nobody's
 *
 *  A client moves with all that it has in flight, or stays: memcached may execute what comes on two connections in either order. */
import { again, type Asking, type Heir } from './lost-requests.ts'
import type { Outbox, Run } from './outbox.ts'

/** @param nobody takes the replies that nobody waits for any more
 *  @param mostAgeMs a client that has waited for longer does not wait for another answer
 *  @returns how many requests are asked again */
export function moveOn(lane: Asking, nobody: Outbox, heir: Heir, mostAgeMs: number): number {
  const { expected } = lane
  if (expected.count < 2) return 0
  const bytes = new Array<Buffer | undefined>(expected.count)
  const staying = new Set<Outbox | undefined>([undefined, expected.run[expected.head]?.outbox])
  for (let n = 1; n < expected.count; n++) {
    const i = expected.at(n)
    const outbox = expected.run[i]?.outbox
    if (staying.has(outbox)) continue
    bytes[n] = outbox!.isClosed ? undefined : again(lane, i, heir, mostAgeMs, false)
    if (bytes[n] === undefined) staying.add(outbox)
  }
  heir.dialect.endRun()
  let moved = 0
  const runs = new Set<Run>()
  for (let n = 1; n < expected.count; n++) {
    const i = expected.at(n)
    const run = expected.run[i]
    if (run === undefined || staying.has(run.outbox)) continue
    const { outbox } = run
    const count = expected.requests[i]
    heir.dialect.enterAgain(expected, i, bytes[n]!, outbox.askAgain(run, count, heir))
    outbox.client.goesOnAt(heir)
    expected.run[i] = nobody.expect(lane, expected.keys[i], count)
    runs.add(run)
    moved += count
  }
  for (const run of runs) run.outbox.lose(run)
  return moved
}
