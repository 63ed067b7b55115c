// What npm runs before it makes a package (`npm pack`): dist/ has to be there. In a fresh checkout nothing is installed yet, the
// compiler neither.
import { spawnSync } from 'node:child_process'
import { installDependencies, projectEnv, projectFolder } from './dependencies.mjs'

try {
  await installDependencies()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
// By way of npm, whose script says how.
const built = spawnSync('npm', ['run', '--silent', 'build'], { cwd: projectFolder, env: projectEnv(), stdio: 'inherit' })
process.exit(built.status ?? 1)
