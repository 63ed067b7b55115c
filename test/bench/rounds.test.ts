import { expect, test } from 'vitest'
import type { Bout } from '../../bench/bouts/bout.ts'
import { MOST_OTHERS, playRounds, type Turns } from '../../bench/rounds.ts'

const plan = { sliceMs: 250, mostOthers: MOST_OTHERS }

test('a slice is kept with 5 % used by others, and thrown away with more', async () => {
  const turns = taking([0.05, 0.0501, 0.04])
  await playRounds([turns], { ...plan, rounds: 2 })
  expect(turns.samples).toEqual([{ proxyUs: 0 }, { proxyUs: 2 }])
  expect(turns.thrown).toBe(1)
})

test('on a busy machine a contestant takes three slices for each that is wanted, and no more', async () => {
  const turns = taking([0.5, 0.5, 0, 0.5, 0.5, 0.5, 0, 0, 0])
  await playRounds([turns], { ...plan, rounds: 2 })
  expect(turns.samples).toEqual([{ proxyUs: 2 }, null])
  expect(turns.thrown).toBe(5)
})

test('one that falls over takes no more turns, and those of others stay side by side', async () => {
  const [stable, falling] = [taking([0, 0, 0]), taking([0, 'it fell over'])]
  await playRounds([falling, stable], { ...plan, rounds: 3 })
  expect(falling.samples).toEqual([{ proxyUs: 0 }, null, null])
  expect(falling.failed).toBe('it fell over')
  expect(stable.samples).toHaveLength(3)
})

test('each round begins with another one, and every other round goes backwards', async () => {
  const order: string[] = []
  const all = ['a', 'b', 'c'].map(name => taking([0, 0, 0, 0], () => order.push(name)))
  await playRounds(all, { ...plan, rounds: 4 })
  expect(order.join('')).toBe('abc' + 'acb' + 'cab' + 'cba')
})

test('one that has a turn in every third round has no sample in the others, and its tries are for its turns', async () => {
  const seldom = { ...taking([0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]), every: 3 }
  await playRounds([seldom], { ...plan, rounds: 8 })
  expect(seldom.samples).toEqual([{ proxyUs: 0 }, null, null, { proxyUs: 1 }, null, null, null, null])
  expect(seldom.thrown).toBe(7)
})

/** A contestant whose slices are numbered.   @param shares of others in each, or why it falls over */
function taking(shares: (number | string)[], onSlice = () => {}): Turns {
  let count = 0
  const bout: Bout = {
    open: async () => {},
    slice: async () => {
      onSlice()
      const share = shares[count]
      if (typeof share === 'string') throw new Error(share)
      if (share === undefined) throw new Error('more slices than there are')
      return { sample: { proxyUs: count++ }, othersShare: share }
    },
    close: async () => {},
  }
  return { contestant: 'x', bout, every: 1, samples: [], thrown: 0 }
}
