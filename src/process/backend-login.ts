import { statSync } from 'node:fs'
import type { ServiceConfig } from '../config/schema.ts'
import { readNamed, tooOpen, type FileFault } from '../lib/file-fault.ts'
import type { readWholeFile } from '../lib/whole-file.ts'
import { Login, MAX_PASSWORD } from '../proto/login.ts'

// The login of `backend.auth`: read at a start, at a reload, when the file changes, by `check` and by `probe`.

/** Enough to tell a file that is another one from a password that is too long. */
const MOST_BYTES = 64 * 1024

export interface PasswordResult { password?: Buffer, faults: FileFault[], warnings: FileFault[] }

/** Reads the password, and tells what is wrong with its file. Nothing that is told shows any of it.
 *  @param how `readWhole`: from a pipe too, for what somebody has named on the command line */
export function readPassword(file: string, how?: typeof readWholeFile): PasswordResult {
  const read = readNamed(file, MOST_BYTES, how)
  if (read.bytes === undefined) return { faults: [read.fault], warnings: [] }
  const password = withoutLineEnd(read.bytes)
  const fault = faultIn(file, password)
  if (fault !== undefined) return { faults: [fault], warnings: [] }
  const warnings = [tooOpen(file, statSync(file, { throwIfNoEntry: false })?.mode ?? 0), oddityIn(file, password)]
  return { password, faults: [], warnings: warnings.filter(warning => warning !== undefined) }
}

/** Editors and `echo` end the line. */
function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}

function faultIn(file: string, password: Buffer): FileFault | undefined {
  const fix = 'Write the password and nothing else into it, on one line.'
  if (password.length === 0) return { message: `${file} is empty.`, fix }
  if (password.includes(0)) return { message: `${file} holds a NUL byte, and no password can.`, fix }
  if (password.includes(0x0a) || password.includes(0x0d)) return { message: `${file} holds more than one line.`, fix }
  if (password.length > MAX_PASSWORD) {
    return { message: `${file} holds ${password.length} bytes, and memcached takes no password of more than ${MAX_PASSWORD}.`, fix }
  }
  return undefined
}

function oddityIn(file: string, password: Buffer): FileFault | undefined {
  if (!password.includes(0x20)) return undefined
  return {
    message: `${file}: the password holds a blank, and memcached with -Y before 1.6.40 reads it only up to there.`,
    fix: 'If that is what stands behind, choose a password without blanks.',
  }
}

type Report = (severity: 'fault' | 'warning', path: string, message: string, fix: string) => void

/** @param inForce kept if nothing is different   @returns undefined without `backend.auth`, or after a fault */
export function buildLogin(
  name: string, { backend: { auth } }: Pick<ServiceConfig, 'backend'>, report: Report, inForce: Login | undefined,
): Login | undefined {
  if (auth === undefined) return undefined
  const password = reportPassword(name, auth.password_file, report)
  if (password === undefined) return undefined
  const login = new Login(auth.username, password)
  return login.equals(inForce) ? inForce : login
}

/** What can be said of the file, also where the user's name is in doubt.   @returns the password; undefined after a fault */
export function reportPassword(name: string, file: string, report: Report): Buffer | undefined {
  const { password, faults, warnings } = readPassword(file)
  const path = `services.${name}.backend.auth.password_file`
  for (const { message, fix } of faults) report('fault', path, message, fix)
  for (const { message, fix } of warnings) report('warning', path, message, fix)
  return password
}
