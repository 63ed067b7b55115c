// The releases of memcached that people run beside the one that is installed: built once from Debian's source packages, into a
// folder of the user's cache.
//
//   node test/setup/releases.mjs            builds what is missing, and says where each release is
//   npm run test:releases [-- RELEASE…]     the tests that talk to memcached, against each release
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildPrograms, find, providePrograms } from './programs.mjs'

/** Each with the distribution of Debian whose source package it is. */
const releases = { '1.6.38': 'trixie', '1.6.45': 'sid' }
const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'memseal')
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** The source or what builds it cannot be had on this machine. */
export class NotBuilt extends Error {}

/** @returns {string[]} every release, the newest last   @throws {Error} when none is installed */
export function everyRelease() {
  return [...new Set([installed().release, ...Object.keys(releases)])].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
}

/** @param {string} release one of everyRelease()
 *  @returns {Promise<string>} the program's path
 *  @throws {NotBuilt} */
export async function provideRelease(release) {
  const own = installed()
  if (own.release === release) return own.program
  const program = join(folder, `memcached-${release}`)
  if (existsSync(program)) return program
  console.log(`Building memcached ${release} (once, about a minute) …`)
  await providePrograms(buildPrograms).catch(error => { throw new NotBuilt(error.message) })
  mkdirSync(folder, { recursive: true })
  const work = mkdtempSync(join(tmpdir(), 'memseal-memcached-'))
  try {
    const source = download(release, releases[/** @type {keyof typeof releases} */ (release)], work)
    run('sh', ['-c', './configure --disable-docs --disable-dependency-tracking >/dev/null && make -j2 memcached >/dev/null'], source)
    cpSync(join(source, 'memcached'), `${program}.new`)
    renameSync(`${program}.new`, program)
  } finally {
    rmSync(work, { recursive: true })
  }
  return program
}

function installed() {
  const program = find('memcached')
  if (program === undefined) throw new Error('memcached is not installed; `npm test` says how to get it')
  return { program, release: run(program, ['-V']).replace(/^memcached\s+/, '').trim() }
}

/** Asks the archive that this machine has its own packages from; its signatures are checked by apt.
 *  @param {string} release @param {string} distribution @param {string} work
 *  @returns {string} the folder of the source
 *  @throws {NotBuilt} */
function download(release, distribution, work) {
  try {
    return fetchSource(release, distribution, work)
  } catch (error) {
    throw new NotBuilt(/** @type {Error} */ (error).message)
  }
}

/** @param {string} release @param {string} distribution @param {string} work */
function fetchSource(release, distribution, work) {
  const archive = run('apt-get', ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages']).split('\n')
    .map(line => line.split(' ')).find(([origin, uri]) => origin === 'Debian' && !uri.includes('security'))?.[1]
  if (archive === undefined) throw new Error('this machine has no archive of Debian to take the source from')
  writeFileSync(join(work, 'sources.list'), `deb-src [signed-by=${keyring}] ${archive} ${distribution} main\n`)
  for (const each of ['state/lists/partial', 'cache/archives/partial', 'source']) mkdirSync(join(work, each), { recursive: true })
  const options = [
    `Dir::Etc::sourcelist=${work}/sources.list`, 'Dir::Etc::sourceparts=/dev/null', `Dir::State=${work}/state`, `Dir::Cache=${work}/cache`,
    'Dir::State::status=/var/lib/dpkg/status', 'APT::Sandbox::User=root',
  ].flatMap(option => ['-o', option])
  // Without this it warns of an archive that it could not reach, and goes on with nothing.
  run('apt-get', [...options, '-qq', '-o', 'APT::Update::Error-Mode=any', 'update'])
  const versions = run('apt-cache', [...options, 'showsrc', 'memcached']).matchAll(/^Version: (\S+)$/gm)
  const version = [...versions].map(([, each]) => each).find(each => each.startsWith(`${release}-`))
  if (version === undefined) throw new Error(`Debian's ${distribution} has no memcached ${release} any more; name the release that it has in test/setup/releases.mjs`)
  // Upstream's own archive, as Debian keeps it; apt holds it against the signed index.
  const source = join(work, 'source')
  run('apt-get', [...options, '-qq', '--tar-only', '--download-only', 'source', `memcached=${version}`], source)
  run('tar', ['--strip-components=1', '-xf', readdirSync(source)[0]], source)
  return source
}

/** @param {string} program @param {string[]} args @param {string} [cwd] @returns {string} what it printed */
function run(program, args, cwd) {
  const done = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (done.status !== 0) throw new Error(`${program} ${args.find(arg => /^[a-z]/.test(arg)) ?? args[0]} failed: ${(done.stderr || done.error?.message || '').trim()}`)
  return done.stdout
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const release of everyRelease()) console.log(`${release.padEnd(8)} ${await provideRelease(release)}`)
}
