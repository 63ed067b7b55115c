import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Places } from '../../src/admin/places.ts'

function sockets(count: number): Socket[] {
  return Array.from({ length: count }, () => new Socket())
}

const gone = (all: Socket[]): number[] => all.flatMap((socket, at) => socket.destroyed ? [at] : [])

test('as many as there are places stay, and one more takes the place of the one that has waited longest', () => {
  const places = new Places(3)
  const all = sockets(4)
  for (const socket of all.slice(0, 3)) places.take(socket)
  expect(gone(all)).toEqual([])
  places.take(all[3])
  expect(gone(all)).toEqual([0])
})

test('who was answered last goes last, and before those that are being answered', () => {
  const places = new Places(3)
  const all = sockets(6)
  for (const socket of all.slice(0, 3)) places.take(socket)
  places.asks(all[0])
  places.answered(all[0])
  places.asks(all[1])
  places.take(all[3])
  expect(gone(all)).toEqual([2])
  places.take(all[4])
  expect(gone(all)).toEqual([0, 2])
  for (const socket of [all[3], all[4]]) places.asks(socket)
  places.take(all[5])   // all are busy: the first of them
  expect(gone(all)).toEqual([0, 1, 2])
})

test('who leaves gives the place back', async () => {
  const places = new Places(1)
  const [first, second] = sockets(2)
  places.take(first)
  const left = new Promise(resolve => first.once('close', resolve))
  first.destroy()
  await left
  places.take(second)
  expect(second.destroyed).toBe(false)
})
