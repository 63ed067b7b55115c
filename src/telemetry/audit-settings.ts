/** What may be recorded of a key. */
export const keyModes = ['none', 'prefix', 'hash', 'full'] as const

export interface AuditSettings { file: string, events: readonly string[], keys: typeof keyModes[number], required: boolean }
