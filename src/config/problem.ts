/** Of a text that is quoted, so much is shown: it may be a whole file without a line end. */
const QUOTED = /"([^"]{200})[^"]{20,}"/g

/** What a kind says of a text that it does not take: what is wrong and what to write, both whole sentences. */
export class Problem {
  readonly message: string
  readonly fix: string

  constructor(message: string, fix: string) {
    this.message = message.replace(QUOTED, '"$1…"')
    this.fix = fix
  }
}

/** What an import leaves where only the operator knows the value. @param words what belongs there   @returns undefined: no gap */
export function gapIn(text: string, words: string): Problem | undefined {
  if (!/\bFILL-IN\b/.test(text)) return undefined
  return new Problem('FILL-IN still stands here, in the place of a value that only you know.', `Write it: ${words.replaceAll('`', '')}.`)
}
