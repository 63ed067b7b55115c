import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

test('package-lock.json holds no download addresses: any registry will do', () => {
  const lockfile = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')
  expect(lockfile.includes('"resolved"')).toBe(false)
  expect(lockfile.includes('.tgz')).toBe(false)
})
