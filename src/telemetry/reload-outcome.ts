// What became of a reload: the log, `/status` and `memseal reload` say the same.

export type ReloadCause = 'signal' | 'admin' | 'files'
export type ReloadResult = 'applied' | 'unchanged' | 'refused'

export interface ReloadOutcome {
  result: ReloadResult
  /** What is different now; with `needs a restart` what is not yet. */
  changes: string[]
  /** Why nothing has changed: one line each, with file:line:column. */
  reasons: string[]
  warnings: string[]
}

/** The last of them, and when it ended, in ms since 1970. */
export interface PastReload { at: number, cause: ReloadCause, outcome: ReloadOutcome }

export type ReloadCounts = Record<ReloadCause, Record<ReloadResult, number>>
