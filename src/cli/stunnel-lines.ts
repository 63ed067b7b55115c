import { shown, type StunnelLine } from './stunnel-conf.ts'
import { stunnelOption } from './stunnel-options.ts'

// The lines that hold for one section: what stands before the first section, then its own, so that the last one counts.
// Whoever reads a line that shows in the result takes it; each line that nobody took is remarked upon, so none is lost
// without a word.

export class SectionLines {
  readonly taken = new Set<StunnelLine>()
  #own: readonly StunnelLine[]
  #all: readonly StunnelLine[]

  /** @param inherited lines of options that a section may have, from before the first section */
  constructor(inherited: readonly StunnelLine[], own: readonly StunnelLine[]) {
    this.#own = own
    this.#all = [...inherited, ...own]
  }

  /** The line that counts, without taking it. */
  find(option: string): StunnelLine | undefined {
    return this.named(option).at(-1)
  }

  has(option: string): boolean {
    return this.find(option) !== undefined
  }

  isYes(option: string): boolean {
    return this.find(option)?.value.toLowerCase() === 'yes'
  }

  isOwn(line: StunnelLine): boolean {
    return this.#own.includes(line)
  }

  /** In the order of the file, the last one last. */
  named(...options: string[]): StunnelLine[] {
    const names = options.map(option => stunnelOption(option)?.name ?? option)
    return this.#all.filter(line => names.includes(stunnelOption(line.option)?.name ?? line.option))
  }

  take(...lines: (StunnelLine | undefined)[]): void {
    for (const line of lines) if (line !== undefined) this.taken.add(line)
  }

  /** The line that counts, which the caller shows in the result. */
  last(option: string): StunnelLine | undefined {
    const line = this.find(option)
    this.take(line)
    return line
  }

  /** All of an option that may stand several times. */
  all(option: string): StunnelLine[] {
    const lines = this.named(option)
    this.take(...lines)
    return lines
  }

  /** Is this option of OpenSSL set (`options = NAME`, and no `-NAME` after it)? */
  hasOpenSslOption(name: string): boolean {
    const last = this.named('options').findLast(({ value }) => value.replace(/^-/, '').toUpperCase() === name.toUpperCase())
    if (last === undefined || last.value.startsWith('-')) return false
    this.take(last)
    return true
  }

  /** What is to be said of each line that nobody took. Inherited ones that the section overrides say nothing. */
  remarks(): { line: StunnelLine, text: string }[] {
    return this.#all.filter(line => !this.taken.has(line)).flatMap(line => {
      const counts = this.find(line.option)!
      if (stunnelOption(line.option)?.isList || counts === line) return [{ line, text: `${origin(line)}: ${wordsOf(line)}` }]
      return this.isOwn(line) ? [{ line, text: `${origin(line)}: ${counts.where} overrides it.` }] : []
    })
  }
}

/** `stunnel.conf:12 TIMEOUTclose = 0`; secrets stay where they are. */
export function origin({ where, option, value }: StunnelLine): string {
  return `${where} ${shown(option)} = ${stunnelOption(option)?.isSecret ? '…' : shown(value)}`
}

/** Why the line has no key of ours, and what to do. */
export function wordsOf({ option, value }: StunnelLine): string {
  const known = stunnelOption(option)
  if (known === undefined) return 'stunnel 5 does not have this option. Look up what it did where it was written, or remove it.'
  if (known.default !== undefined && known.default === value.toLowerCase()) return 'Nothing to do: this is what holds without it.'
  return known.words ?? 'This has no meaning for such a service. Remove it.'
}
