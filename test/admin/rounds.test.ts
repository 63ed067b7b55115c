import { expect, onTestFinished, test, vi } from 'vitest'
import { Rounds } from '../../src/admin/rounds.ts'

function rounds(make: (asked: readonly string[]) => unknown = () => {}) {
  vi.useFakeTimers()
  onTestFinished(() => { vi.useRealTimers() })
  const made: string[][] = []
  const page = new Rounds<string, number>(async asked => {
    made.push([...asked])
    await make(asked)
    return made.length
  })
  return { page, made }
}

test('all who ask at once get one page, made at once', async () => {
  const { page, made } = rounds()
  expect(await Promise.all(['a', 'b', 'c'].map(each => page.ask(each)))).toEqual([1, 1, 1])
  expect(made).toEqual([['a', 'b', 'c']])
})

test('whoever asks again waits for the next, a tenth of a second later, and never gets one that is older than his question', async () => {
  const { page, made } = rounds()
  await page.ask('a')
  const again = [page.ask('b'), page.ask('c')]
  await vi.advanceTimersByTimeAsync(99)
  expect(made).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(await Promise.all(again)).toEqual([2, 2])
  expect(made).toEqual([['a'], ['b', 'c']])
})

test('two are not made side by side, and one that fails is told to those who asked for it alone', async () => {
  const slow = Promise.withResolvers<void>()
  const { page, made } = rounds(([first]) => first === 'a' ? slow.promise : undefined)
  const failed = expect(page.ask('a')).rejects.toThrow('it failed')
  await vi.advanceTimersByTimeAsync(0)
  const next = page.ask('b')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(made).toEqual([['a']])
  slow.reject(new Error('it failed'))
  await failed
  await vi.advanceTimersByTimeAsync(100)
  expect(await next).toBe(2)
})
