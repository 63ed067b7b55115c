// A program that this one waits for, and that ends with it.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

const endingSignals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])
const PATIENCE_MS = 1000

/** Runs a program to its end. It gets a process group of its own: a Ctrl-C in the terminal comes to this process alone, which
 *  passes it on to the whole group, waits for its end and then ends too.
 *  @param {string} program @param {string[]} args
 *  @param {{ cwd?: string, env?: NodeJS.ProcessEnv, mayBeKilled?: boolean }} [options] `mayBeKilled`: what is left of the group a
 *  second after the signal is killed (a package manager of the system, halfway through a package, is not)
 *  @returns {Promise<{ status: number | null, output: string }>} status null: it could not be started, or a signal ended it */
export function runToEnd(program, args, { cwd, env, mayBeKilled = false } = {}) {
  /** @type {NodeJS.Signals | undefined} */
  let endedBy
  const passOn = (/** @type {NodeJS.Signals} */ signal) => {
    if (endedBy === undefined) console.error(`Ending ${program} …`)
    if (endedBy === undefined && mayBeKilled) setTimeout(() => signalGroup(child.pid, 'SIGKILL'), PATIENCE_MS).unref()
    endedBy ??= signal
    signalGroup(child.pid, signal)
  }
  // Before it is started: a signal in between would end this process alone.
  for (const signal of endingSignals) process.on(signal, passOn)
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => { output += text })
  return new Promise(resolve => {
    const end = (/** @type {number | null} */ status) => {
      for (const signal of endingSignals) process.off(signal, passOn)
      if (endedBy === undefined) return resolve({ status, output })
      // The leader is gone; those that it started may not be.
      if (mayBeKilled) signalGroup(child.pid, 'SIGKILL')
      process.exit(128 + constants.signals[endedBy])
    }
    child.once('error', error => { output += error.message; end(null) })
    child.once('exit', status => child.stdout.readableEnded || endedBy !== undefined ? end(status) : child.once('close', () => end(status)))
  })
}

/** @param {number | undefined} leader @param {NodeJS.Signals} signal */
function signalGroup(leader, signal) {
  try {
    if (leader !== undefined) process.kill(-leader, signal)
  } catch {
    // Nobody is left.
  }
}
