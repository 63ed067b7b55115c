import { accessSync, constants, open, openSync, readlinkSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { finishAll, LogOutlet } from './log-outlet.ts'

// Where the lines of the log go: a stream that this process was given, or a file, which can be opened anew after somebody
// has renamed it. Lines are written in the background, and each goes whole into one file: those that came before the new
// one was open into the old.
//
//   write ── current ─────────── memseal.log
//            ending ── ending ── memseal.log.1      each is closed when its last line is written

/** A pipe that nobody reads would keep one more descriptor, and its lines, with each rotation: past so many the oldest is closed and
 *  its lines are dropped. */
const MOST_STUCK = 4
// A pipe that nobody reads is to be told, not waited for; files do not know the flag.
export const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
export const FILE_MODE = 0o640

/** Streams of this process by the names that they have. To open them again fails where they are sockets, as under systemd. */
export const streams: Readonly<Record<string, number>> = {
  '-': 1, '/dev/stdout': 1, '/dev/fd/1': 1, '/proc/self/fd/1': 1, '/dev/stderr': 2, '/dev/fd/2': 2, '/proc/self/fd/2': 2,
}

const openInBackground = promisify(open)

/** The file cannot be written to; the message says why, `fix` what to do. */
export class LogFileError extends Error {
  readonly fix: string

  /** @param done what cannot be done to it */
  constructor(file: string, error: NodeJS.ErrnoException, done = 'opened for the log') {
    const [why, fix] = whyNot(file, error)
    super(`${file} cannot be ${done}: ${why}.`, { cause: error })
    this.fix = fix
  }
}

export class LogFile {
  /** Why lines go to standard output instead: a log is no reason to serve nobody. undefined: they go where they should. */
  fault: LogFileError | undefined
  readonly #file: string
  #current: LogOutlet
  readonly #ending = new Set<LogOutlet>()

  /** Opened here rather than in the background: what is wrong is known at once, and lines of a process that ends at
   *  once are not lost. */
  constructor(file: string) {
    this.#file = file
    let fd = streams['-']
    let isOpened = false
    try {
      fd = streams[file] ?? openSync(file, FLAGS, FILE_MODE)
      isOpened = !(file in streams)
    } catch (error) {
      this.fault = new LogFileError(file, error as NodeJS.ErrnoException)
    }
    this.#current = new LogOutlet(fd, !isOpened)
  }

  write(line: string): void {
    this.#current.write(line)
  }

  /** Goes on in the file that has the name now. When it cannot be opened, the old one goes on.
   *  @returns false for a stream, which has no name   @throws LogFileError */
  async reopen(): Promise<boolean> {
    if (this.#file in streams) return false
    let fd: number
    try {
      fd = await openInBackground(this.#file, FLAGS, FILE_MODE)
    } catch (error) {
      throw new LogFileError(this.#file, error as NodeJS.ErrnoException)
    }
    const old = this.#current
    this.#current = new LogOutlet(fd, false)
    this.fault = undefined
    this.#ending.add(old)
    void old.closed.then(() => this.#ending.delete(old))
    old.end()
    const stuck = [...this.#ending].filter(({ isStuck }) => isStuck)
    for (const oldest of stuck.slice(0, -MOST_STUCK)) oldest.destroy()
    return true
  }

  /** Writes what waits, before a process ends, as far as somebody takes it within some 100 ms. */
  async flush(): Promise<void> {
    await finishAll([...this.#ending, this.#current])
  }
}

/** Does the log go where this process was started from? */
export function isStream(file: string): boolean {
  return file in streams
}

/** What keeps `memseal run` from writing to it, as far as that can be known without making it.   @param done as in LogFileError */
export function logFileFault(file: string, done?: string): LogFileError | undefined {
  if (file in streams) return undefined
  try {
    const found = statSync(file, { throwIfNoEntry: false })
    if (found?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
    if (found?.isSocket()) throw Object.assign(new Error(), { code: 'ENXIO' })
    if (found !== undefined) {
      accessSync(file, constants.W_OK)
      return undefined
    }
    const link = readlink(file)
    const folder = dirname(link === undefined ? file : resolve(dirname(file), link))
    if (!statSync(folder).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    accessSync(folder, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return new LogFileError(file, error as NodeJS.ErrnoException, done)
  }
}

function readlink(file: string): string | undefined {
  try {
    return readlinkSync(file)
  } catch {
    return undefined   // no link, or nothing at all
  }
}

function whyNot(file: string, error: NodeJS.ErrnoException): [why: string, fix: string] {
  const folder = dirname(file)
  switch (error.code) {
    case 'ENOENT': case 'ENOTDIR': {
      const link = readlink(file)
      const fix = 'Make the folder, owned by the user of memseal (in a unit: LogsDirectory=), or write "-" for standard output.'
      return [link === undefined ? `there is no folder ${folder}` : `it is a link to ${link}, whose folder is missing`, fix]
    }
    case 'EISDIR': return ['it is a folder', `Write the name of a file in it, such as ${file.replace(/\/$/, '')}/memseal.log.`]
    case 'EACCES': case 'EPERM':
      return ['the user that memseal runs as may not write to it', `Let that user write to the file, or to ${folder} where the file is still to be made.`]
    case 'EROFS':
      return ['it lies on a file system that is read-only here', 'In a unit name its folder by LogsDirectory= or ReadWritePaths=, in a container mount a volume; or write "-" for standard output.']
    case 'ENXIO': return ['it is a socket, or a pipe that nobody reads', 'Write a file, or "-" for standard output; a pipe needs its reader first.']
    case 'ENOSPC': case 'EDQUOT': return ['its disk is full', 'Make room there.']
    case 'EFBIG': return ['it has reached the size that a file may have here', 'Rotate it, or raise the limit (LimitFSIZE= in a unit).']
    case 'EMFILE': case 'ENFILE': return ['too many files are open', 'Raise the open-files limit.']
    case 'ELOOP': return ['its symbolic links lead in a circle', 'Mend the links, or write another path.']
    case 'ENAMETOOLONG': return ['its name is too long', 'Write a shorter path.']
    default: return [`the system says ${error.code ?? error.message}`, 'Write another path, or "-" for standard output.']
  }
}
