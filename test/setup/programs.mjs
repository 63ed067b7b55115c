// The programs that tests and `npm start` use beside Node, and how to get them.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runToEnd } from './child.mjs'
import { pinnedNode } from './dependencies.mjs'

/** @typedef {{ name: string, packages: string[], isNeeded?: boolean, isThere: () => boolean }} Program */

/** What nothing works without. */
export const runPrograms = /** @type {Program[]} */ ([
  { name: 'openssl', packages: ['openssl'], isNeeded: true, isThere: () => find('openssl') !== undefined },
  { name: 'memcached', packages: ['memcached'], isNeeded: true, isThere: () => find('memcached') !== undefined },
  // The official Linux builds of Node are linked against it; minimal images lack it.
  { name: 'libatomic', packages: ['libatomic1'], isNeeded: true, isThere: () => succeeds(pinnedNode, ['--version']) },
])

/** Clients that other people wrote; tests of a client that is missing are skipped. */
export const clientPrograms = /** @type {Program[]} */ ([
  { name: 'memccapable', packages: ['libmemcached-tools'], isThere: () => memccapable() !== undefined },
  { name: 'pymemcache', packages: ['python3', 'python3-pymemcache'], isThere: () => python() !== undefined },
  { name: 'php-memcached', packages: ['php-cli', 'php-memcached'], isThere: () => php() !== undefined },
  { name: 'ruby-dalli', packages: ['ruby', 'ruby-dalli'], isThere: () => ruby() !== undefined },
  { name: 'pylibmc', packages: ['python3', 'python3-pylibmc'], isThere: () => pylibmc() !== undefined },
  // For a memcached with -S; memcached's own package brings the library.
  { name: 'saslpasswd2', packages: ['sasl2-bin', 'libsasl2-modules', 'libsasl2-modules-db'], isThere: () => saslpasswd2() !== undefined },
])

/** What other releases of memcached are built with (releases.mjs). */
export const buildPrograms = /** @type {Program[]} */ ([
  { name: 'a compiler', packages: ['gcc', 'libc6-dev', 'make'], isNeeded: true, isThere: () => find('gcc') !== undefined && find('make') !== undefined },
  { name: 'libevent', packages: ['libevent-dev'], isNeeded: true, isThere: () => existsSync('/usr/include/event2/event.h') },
])

/** libmemcached's own checks: Debian has renamed memcapable. */
export const memccapable = () => find('memccapable') ?? find('memcapable')

/** A Python that has pymemcache. The first on PATH may be another than Debian's, for which the package is. */
export const python = () =>
  [find('python3'), '/usr/bin/python3'].find(file => succeeds(file, ['-c', 'import pymemcache']))

/** A Python that has pylibmc. */
export const pylibmc = () =>
  [find('python3'), '/usr/bin/python3'].find(file => succeeds(file, ['-c', 'import pylibmc']))

/** libmemcached's statistics: Debian has renamed memstat. */
export const memstat = () => find('memcstat') ?? find('memstat')

/** It writes lists of users for SASL. */
export const saslpasswd2 = () => [find('saslpasswd2'), '/usr/sbin/saslpasswd2'].find(file => file !== undefined && existsSync(file))

export const php = () => [find('php')].find(file => succeeds(file, ['-r', 'exit(class_exists("Memcached") ? 0 : 1);']))

export const ruby = () => [find('ruby'), '/usr/bin/ruby'].find(file => succeeds(file, ['-e', 'require "dalli"']))

/** Sees to it that the programs are there: installs Debian's packages when it may, else says which command to run.
 *  @param {Program[]} programs
 *  @returns {Promise<string[]>} names of those that are still missing, and that can be done without
 *  @throws {Error} when a needed one is missing, with the command that installs it */
export async function providePrograms(programs) {
  let missing = programs.filter(program => !program.isThere())
  if (missing.length === 0) return []
  const packages = missing.flatMap(program => program.packages)
  const isDebian = find('apt-get') !== undefined
  const isRoot = process.getuid?.() === 0
  if (isDebian && isRoot) {
    await installDebianPackages(packages)
    missing = missing.filter(program => !program.isThere())
    if (missing.length === 0) return []
  }
  const command = isDebian ? `${isRoot ? '' : 'sudo '}apt-get install --no-install-recommends ${packages.join(' ')}`
    : `your system's package manager for: ${packages.join(' ')} (these are Debian's names)`
  const names = missing.map(program => program.name).join(', ')
  if (missing.some(program => program.isNeeded)) throw new Error(`Missing: ${names}. Run: ${command}`)
  console.log(`Missing: ${names}; the tests that need them are skipped. To have them, run: ${command}`)
  return missing.map(program => program.name)
}

/** @param {string[]} packages */
async function installDebianPackages(packages) {
  console.log(`Installing Debian packages: ${packages.join(' ')} …`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const allowServices = forbidServices()
  try {
    for (const args of [['update', '-qq'], ['install', '-qq', '-y', '--no-install-recommends', ...packages]]) {
      const done = await runToEnd('apt-get', args, { env })
      if (done.status !== 0) console.error(`apt-get ${args[0]} failed:\n${done.output}`)
    }
  } finally {
    allowServices()
  }
}

/** Debian's memcached package starts a daemon on 11211 when it is installed; policy-rc.d says no. One that the machine
 *  has of its own stays as it is. @returns undoes it */
function forbidServices() {
  const file = '/usr/sbin/policy-rc.d'
  if (existsSync(file)) return () => {}
  const remove = () => rmSync(file, { force: true })
  process.once('exit', remove)
  writeFileSync(file, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  return () => {
    remove()
    process.off('exit', remove)
  }
}

/** @param {string} program
 *  @returns {string | undefined} its path */
export function find(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/usr/sbin',
    '/opt/homebrew/bin']
  return folders.map(folder => join(folder, program)).find(file => existsSync(file))
}

/** @param {string | undefined} program @param {string[]} args */
function succeeds(program, args) {
  return program !== undefined && spawnSync(program, args, { stdio: 'ignore' }).status === 0
}
