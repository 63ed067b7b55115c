import { execFileSync } from 'node:child_process'
import { closeSync, openSync, statSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { countOpenFds, planFds, readFdLimit } from '../../src/process/fd-limit.ts'

const wants = { listeners: 2, sharedBackends: 4, clients: 1000, privateBackends: 512 }
const needed = 64 + 2 + 4 + 1000 + 512

test('the limit of this process is a number or unknown', () => {
  const limit = readFdLimit()
  expect(limit === undefined || limit > 0).toBe(true)
})

test('a limit that fits is no cause for a word, one less is', () => {
  expect(planFds(needed, wants)).toMatchObject({ limit: 1000, reserved: 70, open: 0, warning: undefined })
  expect(planFds(needed - 1, wants)).toMatchObject({ limit: 999, warning: expect.stringContaining(`LimitNOFILE=${needed}`) })
  expect(planFds(undefined, wants)).toMatchObject({ limit: 1000, warning: undefined })
})

test('clients and the connections they cause share what is left', () => {
  const plan = planFds(1024, { listeners: 1, sharedBackends: 0, clients: 10_000, privateBackends: 10_000 })
  expect(plan.limit).toBe(Math.floor((1024 - 65) / 2))
  expect(plan.warning).toContain('carries 479 client connections, and the configuration permits 10000')
})

test('however low the limit, one client gets in', () => {
  expect(planFds(10, wants).limit).toBe(1)
})

test('the limit is the one that the shell of this process has', () => {
  const told = execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
  expect(String(readFdLimit() ?? 'unlimited')).toBe(told)
})

test('the open files are counted by the system', () => {
  const before = countOpenFds()
  const opened = Array.from({ length: 50 }, () => openSync('/dev/null', 'r'))
  onTestFinished(() => { for (const fd of opened) closeSync(fd) })
  // Before Linux 6.2 the number is the one of the last count.
  if (statSync('/proc/self/fd', { throwIfNoEntry: false })?.size) expect(countOpenFds()).toBeGreaterThanOrEqual(before + 40)
})
