// YAML with comments, written from the top down: a tree of keys, each with the remarks that stand above it.

export class YamlSection {
  #children = new Map<string, YamlSection>()
  #remarks: { text: string, command: string | undefined }[] = []
  #value: string | undefined
  #entries: string[] = []      // of a value that is a list

  /** The section or key at `path` (`backend.tls.ca`), made where it is missing. */
  at(path: string): YamlSection {
    const [key, ...rest] = path.split('.')
    const child = this.#children.get(key) ?? new YamlSection()
    this.#children.set(key, child)
    return rest.length === 0 ? child : child.at(rest.join('.'))
  }

  /** Puts a section that was made apart to the others of `path`. */
  adopt(path: string, section: YamlSection): void {
    const cut = path.lastIndexOf('.')
    this.at(path.slice(0, cut)).#children.set(path.slice(cut + 1), section)
  }

  has(path: string): boolean {
    const [key, ...rest] = path.split('.')
    const child = this.#children.get(key)
    return child !== undefined && (rest.length === 0 || child.has(rest.join('.')))
  }

  set(path: string, value: string | readonly string[]): void {
    if (typeof value === 'string') this.at(path).#value = quoted(value)
    else this.at(path).#entries = value.map(quoted)
  }

  /** Puts one more value to the list at `path`. */
  append(path: string, value: string): void {
    this.at(path).#entries.push(quoted(value))
  }

  /** @param text may be long; it is broken into lines   @param command to paste: stands on a line of its own, whole */
  remark(text: string, command?: string): void {
    this.#remarks.push({ text, command })
  }

  /** @param depth levels of indentation, two spaces each */
  text(depth = 0): string {
    const indent = '  '.repeat(depth)
    let text = ''
    for (const [key, child] of this.#children) {
      if (depth === 1 && text !== '' && child.#isSection) text += '\n'      // between services
      for (const remark of child.#remarks) {
        text += comment(remark.text, indent)
        if (remark.command !== undefined) text += `${indent}#   ${remark.command}\n`
      }
      text += child.#isSection ? `${indent}${key}:\n${child.text(depth + 1)}` : `${indent}${key}:${child.#written(indent, key)}\n`
    }
    return text
  }

  get #isSection(): boolean {
    return this.#value === undefined && this.#entries.length === 0
  }

  #written(indent: string, key: string): string {
    if (this.#value !== undefined) return ` ${this.#value}`
    const line = ` [${this.#entries.join(', ')}]`
    return indent.length + key.length + line.length <= WIDTH ? line : this.#entries.map(entry => `\n${indent}  - ${entry}`).join('')
  }
}

const WIDTH = 110

/** `# …`, with the lines after the first set in. */
export function comment(text: string, indent = ''): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!
    if (last !== '' && indent.length + last.length + word.length > WIDTH) lines.push(`  ${word}`)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines.map(line => `${indent}# ${line}\n`).join('')
}

/** In quotes, unless it is plain in every place of YAML. */
function quoted(text: string): string {
  return /^[\w/.][\w/.:+-]*(?<!:)$/.test(text) ? text : JSON.stringify(text)
}
