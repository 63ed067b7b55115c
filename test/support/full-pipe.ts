import { execFileSync } from 'node:child_process'
import { constants, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from './temp-folder.ts'

/** A pipe that is held open, that nobody reads, and that takes not one byte more. The caller closes `fd`. */
export function fullPipe(): { file: string, fd: number } {
  const file = join(tempFolder(), 'pipe')
  execFileSync('mkfifo', [file])
  const fd = openSync(file, constants.O_RDWR | constants.O_NONBLOCK)
  for (const size of [4096, 1]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(size, 'x'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
  return { file, fd }
}
