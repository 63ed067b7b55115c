// `npm run test:releases [-- RELEASE…]`: every test that starts a memcached, against each release that people run. `newest` names
// the last of them. Its last line is the count. A release whose source cannot be had here is told and counts as skipped.
import { installDependencies } from './dependencies.mjs'
import { clientPrograms, providePrograms, runPrograms } from './programs.mjs'
import { everyRelease, NotBuilt, provideRelease } from './releases.mjs'
import { finish, vitest } from './vitest.mjs'

/** Whoever imports it, through whatever else, talks to memcached. */
const memcachedOfTests = 'test/support/memcached.ts'

const total = { passed: 0, failed: 0, skipped: 0 }
for (const release of await chosenReleases()) {
  console.log(`--- memcached ${release}`)
  const count = await run(release)
  console.log(`memcached ${release}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
  for (const what of /** @type {const} */ (['passed', 'failed', 'skipped'])) total[what] += count[what]
}
finish(total)

/** @returns {Promise<string[]>} */
async function chosenReleases() {
  try {
    await installDependencies()
    await providePrograms([...runPrograms, ...clientPrograms])
    const releases = everyRelease()
    const words = process.argv.slice(2).map(word => word === 'newest' ? releases[releases.length - 1] : word)
    const unknown = words.filter(word => !releases.includes(word))
    if (unknown.length === 0) return words.length === 0 ? releases : words
    console.error(`there is no ${unknown.join(', ')}; there are ${releases.join(', ')}`)
    process.exit(2)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    finish({ passed: 0, failed: 1, skipped: 0 })
  }
}

/** @param {string} release
 *  @returns {Promise<import('./vitest.mjs').Count>} */
async function run(release) {
  try {
    const program = await provideRelease(release)
    return vitest(['related', '--run', memcachedOfTests], { TEST_MEMCACHED: program })
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    const isSkipped = error instanceof NotBuilt
    console.log(isSkipped ? `skipped: memcached ${release} was not built: ${words}` : `FAILED  memcached ${release} does not build: ${words}`)
    return { passed: 0, failed: isSkipped ? 0 : 1, skipped: isSkipped ? 1 : 0 }
  }
}
