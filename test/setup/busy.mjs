#!/usr/bin/env node
// Runs a command while others keep the machine busy, to see what fails only then:
//
//     npm run test:busy                                   the whole suite beside 8 busy loops
//     node test/setup/busy.mjs LOOPS COMMAND [ARGUMENT]…  any command beside LOOPS of them
//
// The loops are processes that do nothing but count. Each ends by itself when this one is gone.
import { spawn } from 'node:child_process'

const loop = `const parent = process.ppid
for (let n = 0; ; n++) if (n % 1e7 === 0 && process.ppid !== parent) break`

const [loops, command, ...args] = process.argv.slice(2)
if (command === undefined || !/^\d+$/.test(loops)) {
  console.error('usage: node test/setup/busy.mjs LOOPS COMMAND [ARGUMENT]…')
  process.exit(2)
}
const busy = Array.from({ length: Number(loops) }, () => spawn(process.execPath, ['-e', loop], { stdio: 'ignore' }))
const child = spawn(command, args, { stdio: 'inherit' })
/** @param {number} code */
const ended = code => {
  for (const each of busy) each.kill()
  process.exit(code)
}
child.on('error', error => { console.error(error.message); ended(127) })
child.on('exit', (code, signal) => ended(code ?? (signal === null ? 1 : 128)))
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
