/** Bytes of a peer for a log or a message: what is not printable ASCII stands as \r, \n, \t or \xNN, so that one line stays one
 *  line and no terminal is moved by it.
 *  @param most bytes that are shown; what is cut off stands as … */
export function printable(bytes: Buffer, from: number, to: number, most: number): string {
  const shown = bytes.toString('latin1', from, Math.min(to, from + most)).replace(/[^\x20-\x5b\x5d-\x7e]/g, escaped)
  return to - from > most ? `${shown}…` : shown
}

const names: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t', '\\': '\\\\' }

const escaped = (byte: string): string => names[byte] ?? `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`

/** Text that others wrote (a certificate's name, a backend's version), in one line: control characters, and marks that turn the
 *  direction of writing or are not seen, stand as \uNNNN. Within JSON it stays the same JSON. */
export function printableText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, inUnits)
}

/** As `printableText`, of several lines: their ends and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, inUnits)
}

function inUnits(character: string): string {
  let text = ''
  for (let i = 0; i < character.length; i++) text += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
  return text
}
