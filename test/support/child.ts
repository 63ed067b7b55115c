import type { ChildProcess } from 'node:child_process'

const living = new Set<ChildProcess>()
const endAll = () => { for (const child of living) child.kill('SIGKILL') }
process.once('exit', endAll)
// vitest ends its forks this way, and then `exit` is never told.
process.once('SIGTERM', () => {
  endAll()
  process.kill(process.pid, 'SIGTERM')
})

export interface Ended { code: number | null; signal: NodeJS.Signals | null }

/** Follows a child to its end; whatever is still alive when this process exits is killed with it. */
export function endOf(child: ChildProcess): Promise<Ended> {
  living.add(child)
  return new Promise(resolve => {
    const done = (code: number | null, signal: NodeJS.Signals | null) => {
      living.delete(child)
      resolve({ code, signal })
    }
    child.once('exit', done)
    child.once('error', () => done(127, null))
  })
}

/** Waits for `promise`, at most `ms`; on time-out fails with what `describe` says then. */
export async function within<T>(ms: number, promise: Promise<T>, describe: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${describe()}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
