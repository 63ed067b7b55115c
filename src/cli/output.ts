import { exitStatuses } from '../errors.ts'
import { printableLines } from '../lib/printable.ts'

/** A stream of this process to write to, which may be full or gone. What others wrote (peers, files, a daemon) moves no cursor there. */
export class Output {
  readonly #name: string
  readonly #stream: NodeJS.WriteStream
  #hasFailed = false

  constructor(name: string, stream: NodeJS.WriteStream) {
    this.#name = name
    this.#stream = stream
    stream.on('error', error => this.#failed(error))
  }

  write(text: string): void {
    if (this.#hasFailed) return
    try {
      this.#stream.write(printableLines(text))
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException)   // files are written to at once
    }
  }

  /** A reader that has gone is no fault: in `memseal config reference | head`, head has seen enough. */
  #failed({ code, message }: NodeJS.ErrnoException): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    if (code === 'EPIPE') return
    process.exitCode ||= exitStatuses.failed.status
    if (this.#stream === process.stderr) return   // there is nobody left to tell
    const why = code === 'ENOSPC' ? 'its disk is full' : `${code ?? message}`
    process.stderr.write(`memseal: ${this.#name} cannot be written to: ${why}.\n`)
  }
}
