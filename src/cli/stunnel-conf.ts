import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { MOST_BYTES } from '../config/parse.ts'
import { readWholeFile } from '../lib/whole-file.ts'

// stunnel.conf as stunnel reads it: a line is empty, a comment (# or ; at its start), [section] or option = value. A
// value runs to the end of its line, and there is no quoting. What stands before the first section holds for all.

export interface StunnelLine {
  where: string      // stunnel.conf:12
  option: string     // as it was written
  value: string
}

export interface StunnelSection { where: string, name: string, lines: StunnelLine[] }

export interface StunnelConf {
  globals: StunnelLine[]
  sections: StunnelSection[]
  /** Lines that say nothing to stunnel either, and folders that could not be read: where, and what is wrong. */
  faults: { where: string, message: string }[]
  /** Some file holds a certificate or a key itself. */
  hasPem: boolean
  /** Some file is not text: a key in DER, a PKCS #12. */
  hasBinary: boolean
}

/** A folder that includes itself would never end. */
const DEEPEST_INCLUDE = 10

/** @param file `-`: standard input   @throws the system's error when the file itself cannot be read */
export function readStunnelConf(file: string): StunnelConf {
  const conf: StunnelConf = { globals: [], sections: [], faults: [], hasPem: false, hasBinary: false }
  readInto(conf, file === '-' ? 'stdin' : file, readFileSync(file === '-' ? 0 : file, 'utf8'), 0)
  return conf
}

function readInto(conf: StunnelConf, file: string, text: string, depth: number): void {
  const name = basename(file)
  // Neither this nor PEM is shown anywhere: it may be a key.
  if (text.includes('\0')) {
    conf.hasBinary = true
    conf.faults.push({ where: name, message: 'is not a text file.' })
    return
  }
  let isInPem = false
  for (const [at, raw] of text.replace(/^\ufeff/, '').split('\n').entries()) {
    const line = raw.trim()
    const where = `${name}:${at + 1}`
    if (line.startsWith('-----BEGIN ')) {
      isInPem = conf.hasPem = true
      conf.faults.push({ where, message: 'A certificate or key (PEM) stands here. stunnel reads it from a file of its own: cert, key, CAfile.' })
    }
    if (isInPem) {
      isInPem = !line.startsWith('-----END ')
      continue
    }
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue
    const section = /^\[(.*)\]$/.exec(line)
    const option = /^([^=]*?)\s*=\s*(.*)$/.exec(line)
    if (section !== null) {
      conf.sections.push({ where, name: section[1].trim(), lines: [] })
    } else if (option === null) {
      conf.faults.push({ where, message: `"${shown(line)}" is neither an option nor a section.` })
    } else if (option[1].toLowerCase() === 'include') {
      includeFolder(conf, where, resolve(dirname(file), option[2]), depth)
    } else {
      const lines = conf.sections.at(-1)?.lines ?? conf.globals
      lines.push({ where, option: option[1], value: option[2] })
    }
  }
}

/** `include` names a folder; its files follow each other in the order of their names, as if they were one. */
function includeFolder(conf: StunnelConf, where: string, folder: string, depth: number): void {
  if (depth >= DEEPEST_INCLUDE) {
    conf.faults.push({ where, message: `include = ${shown(folder)}: more than ${DEEPEST_INCLUDE} folders within each other.` })
    return
  }
  try {
    const files = readdirSync(folder).sort().map(name => join(folder, name)).filter(file => statSync(file).isFile())
    for (const file of files) readInto(conf, file, readWholeFile(file, MOST_BYTES).toString(), depth + 1)
  } catch (error) {
    conf.faults.push({ where, message: `include = ${shown(folder)}: cannot be read here (${(error as NodeJS.ErrnoException).code}). ` +
      'Run this where its files are, or import each of them.' })
  }
}

/** Text of the file as part of a comment: one line, no control codes. */
export function shown(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '?').slice(0, 200)
}
