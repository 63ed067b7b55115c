import { readFileSync, statSync } from 'node:fs'

/** What a small file of this host says, read again when it has changed. */
export class KeptFile<T> {
  readonly #path: string
  readonly #parse: (text: string) => T
  #state: string | undefined
  #value: T | undefined

  /** @param parse what a text says; that of a file that is not there, or cannot be read, is '' */
  constructor(path: string, parse: (text: string) => T) {
    this.#path = path
    this.#parse = parse
  }

  get value(): T {
    const [state, text] = this.#look()
    if (state !== this.#state) {
      this.#state = state
      this.#value = this.#parse(text())
    }
    return this.#value as T
  }

  #look(): [state: string, text: () => string] {
    try {
      const { dev, ino, mtimeMs, size } = statSync(this.#path)
      return [`${dev} ${ino} ${mtimeMs} ${size}`, () => readFileSync(this.#path, 'utf8')]
    } catch {
      return ['', () => '']
    }
  }
}
