// `npm run test:releases [-- RELEASE…]`: the tests that talk to memcached, against each release that people run. `newest` names the
// last of them. Its last line is the count.
import { spawnSync } from 'node:child_process'
import { installDependencies, pinnedNode, projectEnv, projectFolder } from './dependencies.mjs'
import { provideReleases } from './releases.mjs'

/** Those that hold memseal against what memcached itself says. */
const tests = ['test/e2e', 'test/soak/checker.test.ts']

installDependencies()
const releases = provideReleases()
const words = process.argv.slice(2).map(word => word === 'newest' ? releases[releases.length - 1].release : word)
const chosen = words.length === 0 ? releases : releases.filter(({ release }) => words.includes(release))
if (chosen.length === 0) {
  console.error(`there is none of ${words.join(', ')}; there are ${releases.map(({ release }) => release).join(', ')}`)
  process.exit(2)
}
let failed = 0
for (const { release, program } of chosen) {
  console.log(`--- memcached ${release}`)
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--root', '.', '--config', 'test/vitest.config.ts', ...tests]
  const { status } = spawnSync(pinnedNode, args, { cwd: projectFolder, stdio: 'inherit', env: { ...projectEnv(), TEST_MEMCACHED: program } })
  console.log(status === 0 ? `ok      memcached ${release}` : `FAILED  memcached ${release}`)
  if (status !== 0) failed++
}
console.log(`${chosen.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
