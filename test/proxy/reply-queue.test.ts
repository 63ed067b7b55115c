import { expect, test } from 'vitest'
import type { Socket } from 'node:net'
import { ReplyQueue } from '../../src/proxy/reply-queue.ts'
import { ReplyMemory, SlabPool, type Slab } from '../../src/proxy/slab.ts'
import type { Turn } from '../../src/proxy/turn.ts'
import { prng } from '../support/prng.ts'

type Write = { bytes: Buffer, asText: string, done: (error?: Error | null) => void }

/** A socket that confirms what the test tells it to, and a turn that ends when the test says so. */
function scene(isCoalescing = true) {
  const writes: Write[] = []
  const written: string[] = []
  let corks = 0
  const socket = {
    write(bytes: Buffer, done: Write['done']) {
      const asText = bytes.toString('latin1')
      writes.push({ bytes, asText, done })
      written.push(asText)
      return true
    },
    cork() { corks++ },
    uncork() { corks-- },
  }
  const marked: { flush(): void }[] = []
  const turn = { client: (queue: { flush(): void }) => { marked.push(queue) } }
  const told = { taken: 0, lost: 0 }
  const owner = { inFlight: 0, repliesTaken: () => { told.taken++ }, repliesLost: () => { told.lost++ } }
  const queue = new ReplyQueue(socket as unknown as Socket, turn as unknown as Turn, owner, isCoalescing)
  return {
    queue, writes, written, told, owner,
    corks: () => corks,
    endTurn() { for (const each of marked.splice(0)) each.flush() },
    /** Confirms the oldest write, whose bytes must still be what was given to the socket. */
    confirm(error?: Error) {
      const write = writes.shift()!
      expect(write.bytes.toString('latin1')).toBe(write.asText)
      write.done(error ?? null)
    },
  }
}

const slabs = (bytes = 1024) => new SlabPool(bytes, new ReplyMemory(2 ** 40, () => {}))
const put = (slab: Slab, at: number, text: string) => slab.bytes.write(text, at, 'latin1')

test('neighbours leave as one view, others in one corked write', () => {
  const s = scene()
  const pool = slabs()
  const slab = pool.take()
  put(slab, 0, 'abcdef')
  s.queue.add(slab.bytes, 0, 2, slab)
  s.queue.add(slab.bytes, 2, 4, slab)
  s.endTurn()
  expect(s.written).toEqual(['abcd'])
  s.confirm()
  s.queue.add(slab.bytes, 4, 5, slab)
  s.queue.add(Buffer.from('own'), 0, 3, undefined)
  s.queue.add(slab.bytes, 5, 6, slab)
  s.endTurn()
  expect(s.written.slice(1)).toEqual(['e', 'own', 'f'])
  expect(s.corks()).toBe(0)
})

test('one write at a time; what comes meanwhile leaves after it', () => {
  const s = scene()
  const slab = slabs().take()
  put(slab, 0, 'abcdef')
  s.queue.add(slab.bytes, 0, 2, slab)
  s.endTurn()
  s.queue.add(slab.bytes, 2, 4, slab)
  s.endTurn()
  expect(s.written).toEqual(['ab'])
  expect(s.queue.backlog).toBe(4)
  s.confirm()
  s.endTurn()
  expect(s.written).toEqual(['ab', 'cd'])
  s.confirm()
  expect(s.queue).toMatchObject({ backlog: 0, bytesOut: 4, isEmpty: true })
  expect(s.told).toEqual({ taken: 2, lost: 0 })
})

test('without coalescing each reply is a write of its own', () => {
  const s = scene(false)
  const slab = slabs().take()
  put(slab, 0, 'abcdef')
  for (const at of [0, 2, 4]) s.queue.add(slab.bytes, at, at + 2, slab)
  s.endTurn()
  s.confirm()
  s.endTurn()
  s.confirm()
  s.endTurn()
  expect(s.written).toEqual(['ab', 'cd', 'ef'])
})

test('replies wait one turn for those that are still to come, and no longer; 16 KiB do not wait', () => {
  const s = scene()
  s.owner.inFlight = 1
  s.queue.add(Buffer.from('early'), 0, 5, undefined)
  s.endTurn()
  expect(s.written).toEqual([])
  s.queue.add(Buffer.from('late'), 0, 4, undefined)
  s.endTurn()
  expect(s.written).toEqual(['early', 'late'])
  s.confirm()
  s.confirm()
  const enough = Buffer.alloc(16 * 1024, 'e')
  s.queue.add(enough, 0, enough.length - 1, undefined)
  s.endTurn()
  expect(s.written.length).toBe(2)
  s.queue.add(enough, enough.length - 1, enough.length, undefined)
  s.endTurn()
  s.confirm()
  s.queue.add(enough, 0, enough.length, undefined)
  s.endTurn()
  expect(s.written.length).toBe(4)
})

test('256 KiB leave at once, more after they are taken', () => {
  const s = scene()
  const KiB = 1024
  const slab = slabs(1024 * KiB).take()
  for (const bytes of [256 * KiB, 256 * KiB + 1]) {
    s.queue.add(slab.bytes, 0, bytes, slab)
    s.endTurn()
    expect(s.writes.reduce((sum, write) => sum + write.bytes.length, 0)).toBe(256 * KiB)
    while (s.writes.length > 0) s.confirm()
    s.endTurn()
    expect(s.writes.reduce((sum, write) => sum + write.bytes.length, 0)).toBe(bytes - 256 * KiB)
    while (s.writes.length > 0) s.confirm()
  }
  expect(s.queue.backlog).toBe(0)
  expect(slab.isUnshared).toBe(true)
})

test('a slab is free only when every view of every write is confirmed', () => {
  const s = scene()
  const pool = slabs()
  const slab = pool.take()
  put(slab, 0, 'abcdef')
  s.queue.add(slab.bytes, 0, 2, slab)
  s.queue.add(slab.bytes, 3, 5, slab)
  slab.release()
  s.endTurn()
  s.confirm()
  expect(pool.take()).not.toBe(slab)
  s.confirm()
  expect(pool.take()).toBe(slab)
})

test('after an error the slab is never used again, even if later views are confirmed', () => {
  const s = scene()
  const pool = slabs()
  const slab = pool.take()
  s.queue.add(slab.bytes, 0, 2, slab)
  s.queue.add(slab.bytes, 3, 5, slab)
  slab.release()
  s.endTurn()
  s.confirm(new Error('EPIPE'))
  s.confirm()
  expect(s.told.lost).toBe(1)
  for (let n = 0; n < 10; n++) expect(pool.take()).not.toBe(slab)
})

test('closing lets go of what waits, not of what is being written', () => {
  const s = scene()
  const pool = slabs()
  const writing = pool.take()
  const waiting = pool.take()
  s.queue.add(writing.bytes, 0, 2, writing)
  s.endTurn()
  s.queue.add(waiting.bytes, 0, 2, waiting)
  s.queue.close()
  waiting.release()
  writing.release()
  expect(pool.take()).toBe(waiting)
  expect(pool.take()).not.toBe(writing)
  expect(s.queue.backlog).toBe(2)
  s.queue.add(waiting.bytes, 0, 2, waiting)
  expect(s.queue.backlog).toBe(2)
  s.confirm()
  expect(s.queue.backlog).toBe(0)
  expect(pool.take()).toBe(writing)
})

test('slow readers, many slabs: every byte leaves once, in order, and no slab is written while it is looked at', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = prng(seed)
    const pool = slabs(4096)
    const clients = Array.from({ length: 4 }, (_, n) => ({ s: scene(n % 2 === 0), wanted: '', got: '' }))
    let slab = pool.take()
    let end = 0
    for (let step = 0; step < 400; step++) {
      const client = random.pick(clients)
      if (random.chance(0.6)) {
        const text = `${step}:${'abcdefgh'.repeat(random.between(0, 60))};`
        if (end + text.length > 4096) {
          slab.release()
          slab = pool.take()
          end = 0
          // Were anybody still looking at it, confirm() would see other bytes than were given to the socket.
          slab.bytes.fill(0x21)
        }
        put(slab, end, text)
        client.s.queue.add(slab.bytes, end, end + text.length, slab)
        client.wanted += text
        end += text.length
      } else if (random.chance(0.5)) client.s.endTurn()
      else if (client.s.writes.length > 0) {
        client.got += client.s.writes[0].asText
        client.s.confirm()
      }
    }
    for (const { s, wanted, got } of clients) {
      let all = got
      for (s.endTurn(); s.writes.length > 0; s.endTurn()) {
        all += s.writes[0].asText
        s.confirm()
      }
      expect(all).toBe(wanted)
      expect(s.queue).toMatchObject({ backlog: 0, bytesOut: wanted.length })
    }
    expect(slab.isUnshared).toBe(true)
  }
})
