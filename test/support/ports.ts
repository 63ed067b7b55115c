import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

// Below the ports that systems give out themselves (Linux from 32768 on), to connections and to whoever asks for port 0: one of
// those may be somebody else's before the program that it is for binds it.
const FIRST = 20_000
const COUNT = 12_000

let next = Math.floor(Math.random() * COUNT)

/** A TCP port of `host` that nobody listens on, and that this run of the tests gives out once. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + next++ % COUNT
    if (isOurs(port) && await isFree(port, host)) return port
  }
  throw new Error(`no port from ${FIRST} on is free`)
}

/** Test files run in processes of their own: the first to make the file has the port. */
function isOurs(port: number): boolean {
  const run = process.env['MEMSEAL_TEST_RUN_FOLDER']
  if (run === undefined) return true
  try {
    writeFileSync(join(run, `port-${port}`), '', { flag: 'wx' })
    return true
  } catch {
    return false
  }
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer().once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}
