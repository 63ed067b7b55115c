import { close, fstat, open, openSync, type Stats } from 'node:fs'
import { promisify } from 'node:util'
import { FILE_MODE, FLAGS, LogFileError, streams } from './log-file.ts'
import { finishAll, LogOutlet, type OutletWatch } from './log-outlet.ts'

// Where the lines of the audit go. Unlike the log they go nowhere else when that fails: they wait, 8 MiB of them, and the file is
// tried again every second. What is more than that is lost, and counted.
//
//   write ── outlet ─────────── audit.log            no outlet, or a write has failed: `fault` says why
//            ending ─────────── audit.log.1          (reopened)

const LOOK_MS = 1_000
const MOST_KEPT_BYTES = 8 * 1024 * 1024
const OPENED = 'opened for the audit'
const WRITTEN = 'written to for the audit'

interface Opened { outlet: LogOutlet, fd: number }

const openInBackground = promisify(open)
const stat = promisify(fstat)

export class AuditFile implements OutletWatch {
  /** Why lines wait; undefined: they are written as they come. */
  fault: LogFileError | undefined
  /** Lines that cannot be written any more. */
  lost = 0
  readonly #file: string
  readonly #onChange: (fault: LogFileError | undefined) => void
  #opened: Opened | undefined
  /** While nothing is open. */
  #kept: string[] = []
  #keptBytes = 0
  readonly #ending = new Set<LogOutlet>()
  #isLooking = false
  /** Lines since the file was last seen to be there. */
  #unsure = 0
  readonly #timer: NodeJS.Timeout

  /** @param onChange `fault` is another now */
  constructor(file: string, onChange: (fault: LogFileError | undefined) => void) {
    this.#file = file
    this.#onChange = onChange
    try {
      this.#use(streams[file] ?? openSync(file, FLAGS, FILE_MODE))
    } catch (error) {
      this.#broken(error as NodeJS.ErrnoException, OPENED)
    }
    this.#timer = setInterval(() => void this.#look(), LOOK_MS).unref()
  }

  write(line: string): void {
    if (this.#opened !== undefined) {
      this.#unsure += 1
      return this.#opened.outlet.write(line)
    }
    const bytes = Buffer.byteLength(line)
    if (this.#keptBytes + bytes > MOST_KEPT_BYTES) return this.dropped(1)
    this.#kept.push(line)
    this.#keptBytes += bytes
  }

  /** Bytes that are not written yet. */
  get waitingBytes(): number {
    return this.#keptBytes + (this.#opened?.outlet.waitingBytes ?? 0)
  }

  /** Goes on in the file that has the name now. When it cannot be opened, the old one goes on.
   *  @returns false for a stream, which has no name   @throws LogFileError */
  async reopen(): Promise<boolean> {
    if (this.#file in streams) return false
    try {
      await this.#openAnew()
      return true
    } catch (error) {
      throw new LogFileError(this.#file, error as NodeJS.ErrnoException, OPENED)
    }
  }

  /** Writes what waits, before a process ends, as far as somebody takes it within some 100 ms. */
  async flush(): Promise<void> {
    await finishAll([...this.#ending, ...this.#opened === undefined ? [] : [this.#opened.outlet]])
  }

  /** Writes what waits, and lets go of the file. */
  close(): void {
    clearInterval(this.#timer)
    if (this.#opened !== undefined && !(this.#file in streams)) this.#end(this.#opened.outlet)
  }

  // What the outlet says.

  dropped(lines: number): void {
    this.lost += lines
    if (this.fault === undefined) this.#broken(Object.assign(new Error('nobody reads it'), { code: 'ENXIO' }), WRITTEN)
  }

  failed(error: NodeJS.ErrnoException): void {
    // The reader of a pipe has gone, and the outlet closes.
    if (error.code === 'EPIPE') this.#opened = undefined
    this.#broken(error, WRITTEN)
  }

  written(): void {
    if (this.fault === undefined) return
    this.fault = undefined
    this.#onChange(undefined)
  }

  #broken(error: NodeJS.ErrnoException, done: string): void {
    const fault = new LogFileError(this.#file, error, done)
    if (fault.message === this.fault?.message) return
    this.fault = fault
    this.#onChange(fault)
  }

  /** Lines that wait go into the new file, if the old one does not take them. */
  #use(fd: number, isGone = false): void {
    const old = this.#opened
    let waiting = this.#kept
    if (old !== undefined && this.fault !== undefined) waiting = waiting.concat(old.outlet.takeBack())
    else if (old !== undefined) this.#end(old.outlet)
    if (isGone) this.lost += this.#unsure
    this.#unsure = 0
    this.#kept = []
    this.#keptBytes = 0
    const outlet = new LogOutlet(fd, this.#file in streams, this)
    this.#opened = { outlet, fd }
    for (const line of waiting) outlet.write(line)
    if (waiting.length === 0) this.written()
  }

  #end(outlet: LogOutlet): void {
    this.#ending.add(outlet)
    void outlet.closed.then(() => this.#ending.delete(outlet))
    outlet.end()
  }

  /** Has the file gone, or may lines be written again? */
  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const opened = this.#opened
    let isGone = false
    try {
      if (this.#file in streams) return opened?.outlet.tryAgain()
      const unsure = this.#unsure
      isGone = opened !== undefined && (await stat(opened.fd)).nlink === 0
      if (!isGone) this.#unsure -= unsure
      if (isGone || this.fault !== undefined) await this.#openAnew(isGone)
    } catch (error) {
      if (isGone && opened === this.#opened) this.#leave(opened!)
      this.#broken(error as NodeJS.ErrnoException, OPENED)
    } finally {
      this.#isLooking = false
    }
  }

  async #openAnew(isGone = false): Promise<void> {
    const opened = this.#opened
    const fd = await openInBackground(this.#file, FLAGS, FILE_MODE)
    const isKnown = opened !== undefined && (opened !== this.#opened || isSame(await stat(opened.fd), await stat(fd)))
    if (!isKnown) return this.#use(fd, isGone)
    // A line that was begun is ended where it was begun.
    close(fd)
    this.#opened?.outlet.tryAgain()
  }

  /** Nobody would ever read what it takes. */
  #leave({ outlet }: Opened): void {
    this.#opened = undefined
    this.#kept = outlet.takeBack()
    this.lost += Math.max(this.#unsure - this.#kept.length, 0)
    this.#unsure = 0
    this.#keptBytes = this.#kept.reduce((sum, line) => sum + Buffer.byteLength(line), 0)
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino
}
