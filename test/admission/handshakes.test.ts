import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Handshakes } from '../../src/admission/handshakes.ts'
import type { Handshake } from '../../src/admission/waiting.ts'

interface Made extends Handshake { isGone: boolean }

/** Handshakes that note their number when they begin, and when they are displaced. */
function scene(options: ConstructorParameters<typeof Handshakes>[0]) {
  const clock = { ms: 1 }
  const handshakes = new Handshakes({ slotMs: 60_000, now: () => clock.ms, ...options })
  const begun: string[] = []
  const displaced: string[] = []
  const made: Made[] = []
  const add = (client: string, count = 1, group?: string) => {
    for (let i = 0; i < count; i++) {
      const name = `${client}${made.length}`
      made.push({ client, group, begin: () => { begun.push(name) }, displace: () => { displaced.push(name) }, isGone: false })
      handshakes.add(made.at(-1)!)
    }
  }
  const leave = (at: number) => {
    made[at].isGone = true
    handshakes.finished(made[at])
  }
  return { handshakes, clock, begun, displaced, made, add, leave, end: () => { for (const at of made.keys()) leave(at) } }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

test('one starts per turn of the loop, and no more than there are slots', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 3 })
  add('a', 10)
  expect(begun).toEqual([])
  let before = 0
  for (let i = 0; i < 8; i++) {
    await turn()
    expect(begun.length - before).toBeLessThanOrEqual(1)
    before = begun.length
  }
  expect(begun).toEqual(['a0', 'a1', 'a2'])
  expect([handshakes.running, handshakes.waiting]).toEqual([3, 7])
  leave(1)
  leave(1)
  await turns(4)
  expect(begun).toEqual(['a0', 'a1', 'a2', 'a3'])
  end()
  await turns(4)
  expect([begun.length, handshakes.running, handshakes.waiting]).toEqual([4, 0, 0])
})

test('those that are gone while they wait are forgotten at once and use no turn', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 1 })
  add('a', 5)
  for (const at of [0, 3, 2]) leave(at)
  expect(handshakes.waiting).toBe(2)
  await turns(3)
  expect(begun).toEqual(['a1'])
  leave(1)
  await turns(3)
  expect(begun).toEqual(['a1', 'a4'])
  end()
  expect([handshakes.running, handshakes.waiting]).toEqual([0, 0])
})

test('nobody begins in a turn in which somebody arrives: who has left is seen first', async () => {
  const { handshakes, begun, clock, add, end } = scene({ slots: 4 })
  add('a', 2)
  for (let i = 0; i < 10; i++) {
    handshakes.arrived()
    await turn()
  }
  expect(begun).toEqual([])
  await turn()
  expect(begun).toEqual(['a0'])
  // Newcomers without end hold nobody back for longer than 5 ms.
  for (let ms = 0; ms < 5; ms++) {
    handshakes.arrived()
    await turn()
    clock.ms += 1
  }
  expect(begun).toEqual(['a0'])
  handshakes.arrived()
  await turn()
  expect(begun).toEqual(['a0', 'a1'])
  end()
})

test('it is calm while fewer wait and run than half of the slots, whether they still hold theirs or not', async () => {
  const { handshakes, add, leave, end } = scene({ slots: 4, slotMs: 1 })
  const calm = () => handshakes.isCalm
  expect(calm()).toBe(true)
  add('a', 1)
  expect(calm()).toBe(true)
  add('a', 1)
  expect(calm()).toBe(false)
  while (handshakes.running < 2) await turn()
  await sleep(5)
  expect(calm()).toBe(false)
  leave(0)
  expect(calm()).toBe(true)
  expect(scene({ slots: 1 }).handshakes.isCalm).toBe(false)
  end()
})

test('clients take turns, so that a crowd of one delays another by one turn', async () => {
  const { begun, made, add, leave, end } = scene({ slots: 1 })
  add('a', 50)
  add('b', 2)
  add('c', 1)
  for (let at = 0; at < 6; at++) {
    while (begun.length <= at) await turn()
    leave(made.findIndex((_, index) => begun[at] === `${made[index].client}${index}`))
  }
  expect(begun).toEqual(['a0', 'b50', 'c52', 'a1', 'b51', 'a2'])
  end()
})

test('whoever has fewest handshakes under way comes first: peers that stop halfway do not take the turns of others', async () => {
  const { begun, add, end } = scene({ slots: 5 })
  add('a', 20)
  add('b', 20)
  await turns(6)
  expect(begun).toEqual(['a0', 'b20', 'a1', 'b21', 'a2'])
  end()
  const next = scene({ slots: 5 })
  next.add('a', 4)
  await turns(4)
  next.add('a', 4)
  next.add('b', 1)
  await turns(4)
  expect(next.begun).toEqual(['a0', 'a1', 'a2', 'b8', 'a3'])
  next.end()
})

test('once the oldest of a client has waited for 200 ms, its newest begins first', async () => {
  const { begun, clock, add, leave, end } = scene({ slots: 1 })
  add('a', 4)
  clock.ms += 199
  await turns(3)
  expect(begun).toEqual(['a0'])
  clock.ms += 1
  add('a')
  leave(0)
  await turns(3)
  expect(begun).toEqual(['a0', 'a4'])
  leave(3)
  leave(4)
  await turns(3)
  expect(begun).toEqual(['a0', 'a4', 'a2'])
  leave(2)
  await turns(3)
  expect(begun).toEqual(['a0', 'a4', 'a2', 'a1'])
  end()
})

test('one that waits for its peer gives its slot back and goes on', async () => {
  const { handshakes, begun, made, add } = scene({ slots: 2, slotMs: 20 })
  add('a', 4)
  await turns(5)
  expect(begun).toEqual(['a0', 'a1'])
  while (begun.length < 4) await sleep(5)
  expect(handshakes.running).toBe(4)
  for (const handshake of made) handshakes.finished(handshake)
  expect(handshakes.running).toBe(0)
  // Finished after its slot was given back: the slot is not given back twice.
  add('b', 5)
  await turns(8)
  expect(begun.slice(4)).toEqual(['b4', 'b5'])
  for (const handshake of made) handshakes.finished(handshake)
})

test('peers that stop halfway give their slots back within milliseconds, of themselves', async () => {
  const { handshakes, begun, add, end } = scene({ slots: 1, slotMs: undefined })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => { vi.useRealTimers() })
  add('a', 100)
  for (let at = 1; at <= 100; at++) {
    await turns(4)
    expect(begun.length).toBe(at)
    vi.advanceTimersByTime(5)
  }
  expect(handshakes.running).toBe(100)
  end()
})

test('a newcomer comes before all whose handshakes came to nothing, and they have one turn in eight for certain', async () => {
  const { handshakes, begun, clock, made, add, end } = scene({ slots: 1 })
  const fail = (outcome: 'in vain' | 'in' | 'none') => {
    const at = made.findIndex((_, index) => `${made[index].client}${index}` === begun.at(-1))
    made[at].isGone = true
    handshakes.finished(made[at], outcome)
  }
  const clients = Array.from({ length: 40 }, (_, at) => `10.${at}.0.1-`)
  for (const client of clients) add(client)
  for (let at = 1; at <= 40; at++) {
    while (begun.length < at) await turn()
    if (at < 40) fail('in vain')
  }
  for (const client of clients) add(client)
  for (let at = 0; at < 8; at++) add(`10.99.${at}.1-`)
  fail('in vain')
  for (let at = 41; at <= 49; at++) {
    while (begun.length < at) await turn()
    fail('none')
  }
  expect(begun.slice(40).map(name => name.startsWith('10.99.'))).toEqual([true, true, true, true, true, true, true, false, true])
  end()
  // 30 s after the last it is forgotten, and at once for a client that got in.
  clock.ms += 30_000
  begun.length = 0
  add(clients[0])
  add('10.99.0.1-')
  while (begun.length < 1) await turn()
  expect(begun[0]).toContain('10.0.0.1-')
  end()
})

test('a network of which many came to nothing comes after others, so that its fresh addresses gain it little', async () => {
  const { handshakes, begun, made, add, end } = scene({ slots: 100 })
  for (let at = 0; at < 15; at++) add(`2001:db8::${at.toString(16)}`)
  while (begun.length < 15) await turn()
  const scenes = async (first: string, then: string) => {
    const from = begun.length
    add(first)
    add(then)
    while (begun.length < from + 2) await turn()
    return begun.slice(from).map(name => name.slice(0, 8))
  }
  // One below the bound the order is that in which they came.
  expect(await scenes('2001:db8::aa', '10.0.0.1')).toEqual(['2001:db8', '10.0.0.1'])
  // Under way or in vain is all the same.
  for (const handshake of made) handshakes.finished(handshake, 'in vain')
  expect(await scenes('2001:db8::bb', '10.0.1.1')).toEqual(['10.0.1.1', '2001:db8'])
  end()
})

test('past the bound of those under way the one that began first goes, and its client comes after others', async () => {
  const { handshakes, begun, displaced, made, add, end } = scene({ slots: 1, slotMs: 1, underWay: 3 })
  for (const client of ['a', 'b', 'c']) add(client)
  while (begun.length < 3) await turn()
  expect([displaced, handshakes.running]).toEqual([[], 3])
  add('d')
  while (begun.length < 4) await turn()
  expect([displaced, handshakes.running]).toEqual([['a0'], 3])
  add('a')
  add('e')
  while (begun.length < 6) await turn()
  expect(begun.slice(4)).toEqual(['e5', 'a4'])
  expect(displaced).toEqual(['a0', 'b1', 'c2'])
  expect(made).toHaveLength(6)
  end()
})

test('past the bound the oldest of the client with most goes, and a long queue keeps its order', async () => {
  const { handshakes, begun, displaced, made, add, leave, end } = scene({ slots: 1, queue: 3_000 })
  add('a', 2_999)
  add('b')
  expect(displaced).toEqual([])
  add('b')
  expect([displaced, handshakes.waiting]).toEqual([['a0'], 3_000])
  end()
  begun.length = 0
  add('c', 2_500)
  for (let at = 0; at < 2_500; at++) {
    while (begun.length <= at) await turn()
    leave(made.length - 2_500 + at)
  }
  expect(begun).toEqual(Array.from({ length: 2_500 }, (_, at) => `c${made.length - 2_500 + at}`))
})

test('a group has no more than its share at once, and the others go on', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 4 })
  handshakes.shares = new Map([['batch', 1]])
  add('b', 5, 'batch')
  add('a', 5)
  await turns(8)
  expect(begun).toEqual(['a5', 'b0', 'a6', 'a7'])
  expect([handshakes.running, handshakes.waiting]).toEqual([4, 6])
  leave(5)   // an `a`: its slot goes to an `a` again
  await turns(4)
  expect(begun.at(-1)).toBe('a8')
  // One of each ends: both lines have had as much for their shares, and one after the other has a turn.
  leave(0)
  leave(6)
  await turns(6)
  expect(begun.slice(5).sort()).toEqual(['a9', 'b1'])
  end()
})

test('with nobody else there a group has its share and no more, without a loop that turns for nothing', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 4 })
  handshakes.shares = new Map([['batch', 2]])
  add('b', 5, 'batch')
  await turns(8)
  expect(begun).toEqual(['b0', 'b1'])
  const immediate = vi.spyOn(globalThis, 'setImmediate')
  onTestFinished(() => immediate.mockRestore())
  await sleep(1)
  expect(immediate).not.toHaveBeenCalled()
  leave(0)
  await turns(2)
  expect(begun).toEqual(['b0', 'b1', 'b2'])
  end()
})

test('lines take turns by the size of their shares', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 6 })
  handshakes.shares = new Map([['batch', 2], ['web', 3]])
  add('a', 60)
  add('b', 60, 'batch')
  add('w', 60, 'web')
  add('o', 1, 'no share')
  for (let i = 0; i < 66; i++) {
    await turns(3)
    const [name] = begun.slice(-1)
    leave(Number(name.slice(1)))
  }
  const of = (letter: string) => begun.filter(name => name.startsWith(letter)).length
  // 6 : 3 : 2 of 66, give or take those that were there when it began.
  for (const [count, share] of [[of('a') + of('o'), 36], [of('w'), 18], [of('b'), 12]]) {
    expect(count).toBeGreaterThanOrEqual(share - 4)
    expect(count).toBeLessThanOrEqual(share + 4)
  }
  end()
})

test('whoever had nobody waiting gains no turns by it', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 2 })
  handshakes.shares = new Map([['batch', 2]])
  add('a', 40)
  for (let i = 0; i < 20; i++) {
    await turns(3)
    leave(Number(begun.at(-1)!.slice(1)))
  }
  const before = begun.length
  add('b', 20, 'batch')
  for (let i = 0; i < 10; i++) {
    await turns(3)
    leave(Number(begun.at(-1)!.slice(1)))
  }
  const later = begun.slice(before).map(name => name[0])
  expect(later.filter(letter => letter === 'a').length).toBeGreaterThanOrEqual(4)
  expect(later.filter(letter => letter === 'b').length).toBeGreaterThanOrEqual(4)
  end()
})

test('too many wait: one of the longest line goes', async () => {
  const { handshakes, displaced, add, end } = scene({ slots: 1, queue: 4 })
  handshakes.shares = new Map([['batch', 1]])
  add('b', 3, 'batch')
  add('a', 2)
  expect(displaced).toEqual(['b0'])
  end()
})

test('a share that goes: those that wait there keep their turns, and none is lost', async () => {
  const { handshakes, begun, add, leave, end } = scene({ slots: 1 })
  handshakes.shares = new Map([['batch', 1]])
  add('b', 3, 'batch')
  handshakes.shares = new Map()
  add('b', 2, 'batch')
  for (let i = 0; i < 5; i++) {
    await turns(3)
    leave(Number(begun.at(-1)!.slice(1)))
  }
  expect(begun).toEqual(['b0', 'b1', 'b2', 'b3', 'b4'])
  expect([handshakes.running, handshakes.waiting]).toEqual([0, 0])
  end()
})
