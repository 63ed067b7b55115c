import { expect, test } from 'vitest'
import { materialIn } from '../../bench/certificates.ts'
import { readOptions, UsageError } from '../../bench/options.ts'

test('a bare run takes all workloads and is kept', () => {
  const options = readOptions([])
  expect(options.isRecord).toBe(true)
  expect(options.workloads.length).toBeGreaterThan(15)
})

test('a run that is changed, quick or partial is not kept', () => {
  for (const argument of [['--quick'], ['--clients', '3'], ['--only', 'pingpong'], ['--contestants', 'nginx'], ['--before', '.'], ['--rounds', '9'], ['--others', '1']]) {
    expect(readOptions(argument).isRecord).toBe(false)
  }
})

test('changes reach the shape of the workload', () => {
  const [{ shape }] = readOptions('--only pingpong --clients 7 --depth 3 --value-bytes 9 --dialect meta --rate 100 --hits 0.5'.split(' ')).workloads
  expect(shape).toMatchObject({
    clients: 7, depth: 3, requestsPerSecond: 100, traffic: { valueBytes: 9, dialect: 'meta', hits: 0.5, keysPerGet: 1 },
  })
})

test('a run with another memcached is kept, and all that is memcached is that one', () => {
  const { isRecord, memcached, contestants } = readOptions(['--memcached', '/nowhere/memcached'])
  expect(isRecord).toBe(true)
  for (const each of [memcached, ...contestants.filter(({ isStore }) => isStore)]) {
    expect(each.absent()).toBe('/nowhere/memcached is not there')
    expect(each.server({ port: 1, memcachedPort: 2, adminPort: 3, material: materialIn('/x'), directory: '/x' }).command[0]).toBe('/nowhere/memcached')
  }
})

test('another checkout takes part beside those that were chosen', () => {
  const { contestants, isChosen } = readOptions(['--contestants', 'memseal', '--before', '/nowhere'])
  expect(contestants.map(each => each.name)).toEqual(['memseal', 'before'])
  expect(isChosen).toBe(true)
  expect(contestants[1].absent()).toBe('/nowhere/src/main.ts is not there')
})

test('what is not known is told with what is', () => {
  expect(() => readOptions(['--only', 'pingpung'])).toThrow(/no workload "pingpung"; there are pingpong, many/)
  expect(() => readOptions(['--contestants', 'nginks'])).toThrow(/no contestant "nginks"/)
  expect(() => readOptions(['--rounds', 'few'])).toThrow('--rounds few: not a number of 0 or more')
  expect(() => readOptions(['--dialect', 'udp'])).toThrow(UsageError)
  expect(() => readOptions(['--unknown'])).toThrow(UsageError)
})
