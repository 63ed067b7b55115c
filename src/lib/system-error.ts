import { getSystemErrorMap } from 'node:util'

/** `connection refused (ECONNREFUSED)`: what the system says of its code, and the code, which can be looked up.
 *  @param otherwise for what is not a code of the system */
export function systemErrorText(code: string, otherwise = code): string {
  words ??= new Map(getSystemErrorMap().values())
  const text = words.get(code)
  return text === undefined ? otherwise : `${text} (${code})`
}

let words: Map<string, string> | undefined
