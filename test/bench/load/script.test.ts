import { expect, test } from 'vitest'
import { writeFill, writeScript } from '../../../bench/load/script.ts'
import { valueOf } from '../../../bench/load/values.ts'

const traffic = { dialect: 'text', keys: 50, valueBytes: 100, sets: 0.25, hits: 0.5, keysPerGet: 1 } as const

test('the mix is what was asked for', () => {
  const script = writeScript(traffic)
  const replies = script.replies.toString('latin1')
  const sets = replies.match(/STORED\r\n/g)!.length
  const hits = replies.match(/VALUE /g)!.length
  expect(sets / script.length).toBeCloseTo(0.25, 1)
  expect(hits / (script.length - sets)).toBeCloseTo(0.5, 1)
  expect(script.valueBytesEach * script.length).toBe((sets + hits) * 100)
})

test('every contestant meets the same requests', () => {
  expect(writeScript(traffic).requests.equals(writeScript(traffic).requests)).toBe(true)
})

test('a multiget asks for as many keys as it says', () => {
  const script = writeScript({ ...traffic, sets: 0, hits: 1, keysPerGet: 100 })
  const first = script.requests.subarray(0, script.requestEnd[0]).toString().trim()
  expect(first.split(' ')).toHaveLength(101)
})

test('values are known from the key, and no two keys share one', () => {
  expect(valueOf('a', 1000)).toEqual(valueOf('a', 1000))
  expect(valueOf('a', 1000).equals(valueOf('b', 1000))).toBe(false)
  expect(valueOf('longer-than-the-value', 4).toString()).toBe('long')
})

test('filling stores each key once', () => {
  const fill = writeFill(traffic)
  expect(fill.length).toBe(50)
  expect(new Set(fill.requests.toString('latin1').match(/set \S+/g)).size).toBe(50)
})
