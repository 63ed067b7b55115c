import { binary } from './binary.ts'
import { meta } from './meta.ts'
import { text } from './text.ts'

/** A request and the one reply memcached may give to it. */
export interface Exchange {
  request: Buffer
  reply: Buffer
}

/** How a dialect asks. Values are known to the bench, so replies are too; only a CAS cannot be. */
export interface Dialect {
  get(key: string, value: Buffer): Exchange
  miss(key: string): Exchange
  set(key: string, value: Buffer): Exchange
  getMany(keys: string[], values: Buffer[]): Exchange
  /** where in each reply a CAS stands that cannot be known, as offset and length; left out: none */
  unknown?: { offset: number, length: number }
}

export type DialectName = 'text' | 'meta' | 'binary'

export const dialects: Record<DialectName, Dialect> = { text, meta, binary }
