import { isDeepStrictEqual } from 'node:util'
import { Audit } from '../telemetry/audit.ts'
import type { AuditSettings } from '../telemetry/audit-settings.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import { LogFileError } from '../telemetry/log-file.ts'
import { version } from '../version.ts'

// The audit of the running configuration: begun, opened anew, replaced by a reload, ended.

/** `file`, and what is wrong with it: undefined where there is none, or nothing. */
export interface AuditNow { file: string | undefined, fault: string | undefined, lines: number, lost: number, waitingBytes: number }

export class Auditing {
  readonly #log: EventLog
  readonly #configuration: string
  #audit: Audit | undefined
  /** Counts of those that a reload has ended. */
  readonly #earlier = { lines: 0, lost: 0 }
  readonly #ending = new Set<Promise<void>>()

  /** @param configuration whose daemon this is, for people */
  constructor(log: EventLog, configuration: string) {
    this.#log = log
    this.#configuration = configuration
  }

  /** Puts other settings in force; undefined: none. It cannot fail: what is wrong with the file is told.   @returns whether an audit begins */
  use(settings: AuditSettings | undefined): boolean {
    if (isDeepStrictEqual(settings, this.#audit?.settings)) return false
    this.#end()
    if (settings === undefined) return false
    this.#audit = this.#log.audit = new Audit(settings, fault => this.#tell(fault, settings))
    this.#log.tell('started', { version, pid: process.pid, configuration: this.#configuration }, 'the audit begins')
    return true
  }

  /** Why nothing may happen that would have to be recorded; undefined: it can be, or need not be. */
  get fault(): LogFileError | undefined {
    return this.#audit?.isBlind === true ? this.#audit.file.fault : undefined
  }

  get now(): AuditNow {
    const { lines: earlierLines, lost: earlierLost } = this.#earlier
    if (this.#audit === undefined) return { file: undefined, fault: undefined, lines: earlierLines, lost: earlierLost, waitingBytes: 0 }
    const { lines, file: { fault, lost, waitingBytes } } = this.#audit
    return { file: this.#audit.settings.file, fault: fault?.message, lines: earlierLines + lines, lost: earlierLost + lost, waitingBytes }
  }

  /** @returns why the audit goes on in the file that it had */
  async reopen(cause: string): Promise<string | undefined> {
    try {
      if (await this.#audit?.file.reopen() === true) this.#log.tell('audit-reopened', { cause }, 'the audit goes on in the file that has its name now')
      return undefined
    } catch (error) {
      if (!(error instanceof LogFileError)) throw error
      const words = `${error.message} ${error.fix} Until then it goes on in the file that was open.`
      this.#log.tell('audit-reopen-failed', { cause }, words)
      return words
    }
  }

  /** Writes what waits, as far as it is taken soon. */
  async flush(): Promise<void> {
    this.#end()
    await Promise.all(this.#ending)
  }

  #tell(fault: LogFileError | undefined, { required }: AuditSettings): void {
    if (fault === undefined) this.#log.tell('audit-available', { lost: this.#audit?.file.lost }, 'the audit can be written to again')
    else {
      const meanwhile = required ? 'nobody new is let in meanwhile' : 'lines wait meanwhile'
      this.#log.tell('audit-unavailable', {}, `${fault.message} ${fault.fix} memseal tries again every second, and ${meanwhile}.`)
    }
  }

  #end(): void {
    const audit = this.#audit
    if (audit === undefined) return
    this.#audit = this.#log.audit = undefined
    audit.close()
    const ended = audit.file.flush().then(() => {
      this.#ending.delete(ended)
      const { lines, file: { lost, waitingBytes } } = audit
      this.#earlier.lines += lines
      this.#earlier.lost += lost
      if (waitingBytes > 0) this.#log.tell('audit-lost', { lost, waitingBytes }, 'the audit ends with lines that could not be written and are lost')
    })
    this.#ending.add(ended)
  }
}
