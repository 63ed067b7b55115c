// Runs before anything is installed, under whatever Node (18 or newer) the machine has: Node's own modules only.
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runToEnd } from './child.mjs'

export const projectFolder = fileURLToPath(new URL('../../', import.meta.url))
/** The Node that package.json pins; there once the dependencies are. */
export const pinnedNode = join(projectFolder, 'node_modules/.bin/node')

/** Installs the npm packages of package-lock.json unless they are there already. Silent when all goes well. */
export async function installDependencies() {
  if (dependenciesAreCurrent()) return
  console.log('Installing the npm packages (once, about 15 s) …')
  // Whatever NODE_ENV or `omit` say: without the development packages there is no Node to run on.
  const npm = await runToEnd('npm', ['ci', '--include=dev'], { cwd: projectFolder, env: outerEnv(), mayBeKilled: true })
  if (npm.status === 0 && dependenciesAreCurrent()) return
  // npm's warnings (an older Node than some packages name; they never run on it) are of use only when it failed.
  console.error(npm.output)
  throw new Error('The npm packages could not be installed. Run `npm ci` to see why.')
}

/** The environment in which the project's programs run: the pinned Node is the first on PATH. */
export function projectEnv() {
  return { ...process.env, PATH: `${join(projectFolder, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}` }
}

/** Compares what npm wrote down when it installed with what package-lock.json wants. */
function dependenciesAreCurrent() {
  const installedFile = join(projectFolder, 'node_modules/.package-lock.json')
  if (!existsSync(installedFile) || !existsSync(pinnedNode)) return false
  const wanted = packagesIn(join(projectFolder, 'package-lock.json'))
  const installed = packagesIn(installedFile)
  return Object.entries(wanted).every(([path, { integrity, optional }]) =>
    // Optional packages for other platforms are in the lockfile and not on the disk.
    path === '' || (installed[path] ? installed[path].integrity === integrity : optional === true))
}

/** @param {string} lockfile
 *  @returns {Record<string, { integrity?: string, optional?: boolean }>} */
function packagesIn(lockfile) {
  return JSON.parse(readFileSync(lockfile, 'utf8')).packages
}

/** The environment without this npm run's own additions: `npm ci` replaces node_modules, so it must not run on the Node
 *  that lies in there. Settings (npm_config_registry and the like) are the user's and stay, but for where: npm has said that
 *  for this folder. */
function outerEnv() {
  const isOwn = (/** @type {string} */ name) => /^npm_(?!config_)|^npm_config_(global|local_prefix|location)$/.test(name)
  const outer = Object.entries(process.env).filter(([name]) => !isOwn(name))
  const path = (process.env.PATH ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return { ...Object.fromEntries(outer), PATH: path.join(delimiter) }
}
