// Runs vitest and counts.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pinnedNode, projectEnv, projectFolder } from './dependencies.mjs'

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

/** @param {string[]} args a command of vitest's, and what it takes
 *  @param {NodeJS.ProcessEnv} [env]
 *  @returns {Count} */
export function vitest(args, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-test-'))
  const reportFile = join(folder, 'report.json')
  const [command, ...rest] = args
  const status = runPinned(['node_modules/vitest/vitest.mjs', command, '--root', '.', '--config', 'test/vitest.config.ts',
    '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, ...rest], env)
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

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
export function runPinned(args, env = {}) {
  return spawnSync(pinnedNode, args, { cwd: projectFolder, stdio: 'inherit', env: { ...projectEnv(), ...env } }).status
}

/** Its last line is the count.
 *  @param {Count} count
 *  @returns {never} */
export function finish({ passed, failed, skipped }) {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exit(failed > 0 ? 1 : 0)
}
