// `npm test`: set-up, type check, tests. Its last line is the count. Arguments go to vitest: `npm test -- test/proto`.
import { installDependencies } from './dependencies.mjs'
import { clientPrograms, providePrograms, runPrograms } from './programs.mjs'
import { finish, runPinned, vitest } from './vitest.mjs'

try {
  await installDependencies()
  await providePrograms([...runPrograms, ...clientPrograms])
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  finish({ passed: 0, failed: 1, skipped: 0 })
}
const types = typeCheck()
const tests = vitest(['run', ...process.argv.slice(2)])
finish({ passed: types.passed + tests.passed, failed: types.failed + tests.failed, skipped: tests.skipped })

/** The type check counts as one test. @returns {import('./vitest.mjs').Count} */
function typeCheck() {
  const isFine = runPinned(['node_modules/typescript/bin/tsc', '--noEmit']) === 0
  console.log(isFine ? 'types: fine' : 'types: FAILED, see above')
  return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0 }
}
