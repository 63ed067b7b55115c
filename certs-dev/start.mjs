// `npm start`: sets everything up, then runs memseal with config/dev.yaml. Ctrl-C ends all that it started.
import { spawn, spawnSync } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { installDependencies, pinnedNode, projectEnv, projectFolder } from '../test/setup/dependencies.mjs'
import { find, providePrograms, runPrograms } from '../test/setup/programs.mjs'

const memcachedPort = 11211
const memsealPort = 11212
/** Ended in this order, each after the one before is gone, so that memseal can drain. @type {Started[]} */
const started = []
let isEnding = false

try {
  const port = await holdPort()
  await installDependencies()
  await startAll(port)
} catch (error) {
  if (!isEnding) console.error(error instanceof Error ? error.message : error)
  await endAll(1)
}

/** Of two that are started at once one gets the port, and holds it until memseal takes it over: the other does nothing. */
async function holdPort() {
  const holder = createServer(socket => socket.destroy())
  await new Promise((resolve, reject) => {
    holder.once('error', reject)
    holder.listen(memsealPort, '127.0.0.1', () => resolve(undefined))
  }).catch(error => {
    throw new Error(error.code === 'EADDRINUSE'
      ? `Port ${memsealPort} of 127.0.0.1 is taken: another \`npm start\`? End that program first.`
      : `Port ${memsealPort} of 127.0.0.1 cannot be had: ${error.message}.`)
  })
  return holder.unref()
}

/** @param {import('node:net').Server} port */
async function startAll(port) {
  const greeting = await ask(memcachedPort, 'version\r\n')
  const needed = runPrograms.filter(program => program.name !== 'memcached' || greeting === undefined)
  await providePrograms(needed)
  makeCertificates()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => void endAll(0))

  if (greeting === undefined) await startMemcached()
  else if (greeting.startsWith('VERSION ')) console.log(`Using the memcached on 127.0.0.1:${memcachedPort}.`)
  else throw new Error(`What listens on 127.0.0.1:${memcachedPort} is not a memcached. End that program first.`)

  await new Promise(resolve => port.close(resolve))
  const memseal = start('memseal', pinnedNode, ['src/main.ts', 'run', '--config', 'config/dev.yaml'])
  started.unshift(memseal)
  // By its own word: on the port another one might answer.
  await Promise.race([memseal.says(`listening on 127.0.0.1:${memsealPort}`), memseal.ended])
  if (!memseal.isRunning) throw new Error('memseal ended at its start; see above.')
  console.log(`\nmemseal is ready. Paste this line into another shell:\n${firstSteps()}\nCtrl-C ends it.\n`)
  await memseal.ended
  if (!isEnding) throw new Error('memseal has ended.')
}

async function startMemcached() {
  const asUser = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const memcached = start('memcached', find('memcached') ?? 'memcached',
    ['-l', '127.0.0.1', '-p', String(memcachedPort), '-U', '0', ...asUser])
  started.push(memcached)
  await waitFor(memcached, async () => await ask(memcachedPort, 'version\r\n') !== undefined)
  console.log(`Started a memcached on 127.0.0.1:${memcachedPort}.`)
}

function makeCertificates() {
  const make = spawnSync('sh', [join(projectFolder, 'certs-dev/make.sh')], { stdio: 'inherit' })
  if (make.status !== 0) throw new Error('The development certificates could not be made; see above.')
}

/** The line that a newcomer pastes: a set and a get through TLS, from any folder. `quit` makes memseal close, and
 *  that ends openssl. Only options that LibreSSL's openssl (macOS) knows too. */
function firstSteps() {
  const file = (/** @type {string} */ name) => quoted(join(projectFolder, 'certs-dev', name))
  return `printf 'set greeting 0 60 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' | openssl s_client -quiet ` +
    `-verify_return_error -servername localhost -connect 127.0.0.1:${memsealPort} ` +
    `-CAfile ${file('ca.crt')} -cert ${file('client.crt')} -key ${file('client.key')}`
}

/** @param {string} path */
function quoted(path) {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`
}

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/** @typedef {{ name: string, process: ChildProcess, ended: Promise<void>, isRunning: boolean,
 *   says: (text: string) => Promise<void> }} Started */

/** Each gets a process group of its own: a Ctrl-C in the terminal then comes to this process alone, which ends them in
 *  order.
 *  @param {string} name @param {string} program @param {string[]} args
 *  @returns {Started} */
function start(name, program, args) {
  const child = spawn(program, args, { cwd: projectFolder, env: projectEnv(), detached: true,
    stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.pipe(process.stdout, { end: false })
  const says = (/** @type {string} */ text) => new Promise(resolve => {
    let said = ''
    child.stdout.setEncoding('utf8').on('data', function look(more) {
      said += more
      if (!said.includes(text)) return
      child.stdout.off('data', look)
      resolve(undefined)
    })
  })
  /** @type {Started} */
  const entry = { name, process: child, isRunning: true, ended: Promise.resolve(), says }
  entry.ended = new Promise(resolve => {
    const end = () => { entry.isRunning = false; resolve() }
    child.once('exit', end)
    child.once('error', end)
  })
  return entry
}

/** @param {Started} entry @param {() => Promise<boolean>} isReady */
async function waitFor(entry, isReady) {
  while (!await isReady()) {
    if (!entry.isRunning) throw new Error(`${entry.name} ended at its start; see above.`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Connects to a port of loopback, says `text` if given, and resolves with the first of the answer ('' if nothing was
 *  said), or with undefined when nobody listens.
 *  @param {number} port @param {string} [text]
 *  @returns {Promise<string | undefined>} */
function ask(port, text) {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const tell = (/** @type {string | undefined} */ answer) => { socket.destroy(); resolve(answer) }
    socket.once('error', () => tell(undefined))
    socket.once('connect', () => {
      if (text === undefined) return tell('')
      socket.write(text)
      socket.setTimeout(2000, () => tell(''))
    })
    socket.once('data', data => tell(data.toString('latin1')))
    socket.once('end', () => tell(''))
  })
}

/** @param {number} status */
async function endAll(status) {
  // npm passes a terminal's Ctrl-C on, so it may come twice.
  if (isEnding) return
  isEnding = true
  for (const entry of started) {
    if (entry.isRunning) entry.process.kill('SIGTERM')
    await entry.ended
  }
  process.exit(status)
}
