// Conversations that try to get past a rule, from a fresh seed, for 20 s: see test/soak/rules.ts. `npm run soak` has a million of them.
import { expect, test } from 'vitest'
import { fuzzRules } from '../soak/rules.ts'
import { startMemcached } from '../support/memcached.ts'

test('no command that a rule does not name and no key of others comes to memcached', async () => {
  const seed = Date.now() % 1e9
  const memcached = await startMemcached({ args: ['-t', '1', '-A', '-m', '256'] })
  const endsAt = performance.now() + 20_000
  const done = await fuzzRules(memcached.port, 1e9, seed, () => performance.now() > endsAt)
  expect(done.conversations).toBeGreaterThan(0)
  // It says something only if much of it is answered, and much is refused.
  expect(Math.min(done.answered, done.refused) / done.conversations).toBeGreaterThan(0.1)
  console.log(`fuzzed ${done.conversations} conversations from seed ${seed} on`)
})
