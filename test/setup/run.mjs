// `npm test`: set-up, type check, tests. Its last line is the count. Arguments go to vitest: `npm test -- test/proto`.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installDependencies, pinnedNode, projectEnv, projectFolder } from './dependencies.mjs'
import { clientPrograms, providePrograms, runPrograms } from './programs.mjs'

try {
  await installDependencies()
  await providePrograms([...runPrograms, ...clientPrograms])
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  finish({ passed: 0, failed: 1, skipped: 0 })
}
const types = typeCheck()
const tests = vitest(process.argv.slice(2))
finish({ passed: types.passed + tests.passed, failed: types.failed + tests.failed, skipped: tests.skipped })

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

/** The type check counts as one test. @returns {Count} */
function typeCheck() {
  const isFine = runPinned(['node_modules/typescript/bin/tsc', '--noEmit']) === 0
  console.log(isFine ? 'types: fine' : 'types: FAILED, see above')
  return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0 }
}

/** @param {string[]} args
 *  @returns {Count} */
function vitest(args) {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-test-'))
  const reportFile = join(folder, 'report.json')
  const status = runPinned(['node_modules/vitest/vitest.mjs', 'run', '--root', '.', '--config', 'test/vitest.config.ts',
    '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, ...args])
  const report = existsSync(reportFile) ? JSON.parse(readFileSync(reportFile, 'utf8')) : {}
  rmSync(folder, { recursive: true })

  const { numPassedTests: passed = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0 } = report
  /** @type {{ status: string, assertionResults: { status: string }[] }[]} */
  const files = report.testResults ?? []
  // A file that cannot be loaded, or whose hook fails, has no failed test of its own to count.
  const failedFiles = files.filter(file => file.status === 'failed' &&
    !file.assertionResults.some(test => test.status === 'failed')).length
  const failed = numFailedTests + failedFiles
  const isUnexplained = failed === 0 && (status !== 0 || passed === 0)
  return { passed, failed: isUnexplained ? 1 : failed, skipped: numPendingTests + numTodoTests }
}

/** @param {string[]} args */
function runPinned(args) {
  return spawnSync(pinnedNode, args, { cwd: projectFolder, stdio: 'inherit', env: projectEnv() }).status
}

/** @param {Count} count
 *  @returns {never} */
function finish({ passed, failed, skipped }) {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exit(failed > 0 ? 1 : 0)
}
