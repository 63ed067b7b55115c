import { whyNotSeen } from './hidden-paths.ts'
import { FileKindError, readWholeFile } from './whole-file.ts'

// A file that the configuration names, and what is wrong with it, for people.

export interface FileFault { message: string, fix: string }

/** @param most bytes   @returns what it holds, or why it cannot be read */
export function readNamed(file: string, most: number, how = readWholeFile): { bytes: Buffer, fault?: undefined } | { bytes?: undefined, fault: FileFault } {
  try {
    return { bytes: how(file, most) }
  } catch (error) {
    return { fault: faultOf(file, error as NodeJS.ErrnoException) }
  }
}

function faultOf(file: string, error: NodeJS.ErrnoException | FileKindError): FileFault {
  if (error instanceof FileKindError) return { message: `${file} ${error.words}.`, fix: error.fix }
  const { code } = error
  const hidden = whyNotSeen(file)
  if (hidden !== undefined) return { message: `${file} cannot be read (${code}): ${hidden.words}.`, fix: hidden.fix }
  if (code === 'ENOENT') return { message: `there is no file ${file}.`, fix: 'Write the path of the file, or put the file there.' }
  if (code === 'EACCES') return { message: `${file} may not be read by this user.`, fix: `Let memseal's user read it: chgrp memseal ${file} && chmod 640 ${file}` }
  return { message: `${file} cannot be read (${code}).`, fix: 'Check the file and the disk.' }
}

/** @param mode of a file with a secret in it   @returns undefined when not everybody may read it */
export function tooOpen(file: string, mode: number): FileFault | undefined {
  if ((mode & 0o004) === 0) return undefined
  return {
    message: `${file} can be read by every user of this host (mode ${(mode & 0o777).toString(8)}).`,
    fix: `Run chmod 640 ${file} (or 600), owned by the user or group of memseal.`,
  }
}
