// YAML with comments, written from the top down: a tree of keys, each with the remarks that stand above it.

export class YamlSection {
  #children = new Map<string, YamlSection>()
  #remarks: string[] = []
  #value: string | undefined

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
    this.at(path).#value = typeof value === 'string' ? quoted(value) : `[${value.map(quoted).join(', ')}]`
  }

  /** @param text may be long; it is broken into lines */
  remark(text: string): void {
    this.#remarks.push(text)
  }

  /** @param depth levels of indentation, two spaces each */
  text(depth = 0): string {
    const indent = '  '.repeat(depth)
    let text = ''
    for (const [key, child] of this.#children) {
      if (depth === 1 && text !== '' && child.#value === undefined) text += '\n'      // between services
      text += child.#remarks.map(remark => comment(remark, indent)).join('')
      text += child.#value === undefined ? `${indent}${key}:\n${child.text(depth + 1)}` : `${indent}${key}: ${child.#value}\n`
    }
    return text
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
