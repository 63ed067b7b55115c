import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs'

/** The path leads to something that is not read: `words` follow the name of the path, `is a pipe`. */
export class FileKindError extends Error {
  readonly words: string
  readonly fix: string

  constructor(words: string, fix: string) {
    super(words)
    this.words = words
    this.fix = fix
  }
}

/** Reads a file whole, and never waits for whoever writes it: a pipe, a device or a folder in its place is refused, links
 *  are followed.
 *  @param most bytes   @throws FileKindError, or the system's error */
export function readWholeFile(path: string, most: number): Buffer {
  checkKind(statSync(path))   // first: what opens some devices sets them going
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    checkKind(fstatSync(fd))  // once more, it may be another by now
    return readUpTo(fd, most)
  } finally {
    closeSync(fd)
  }
}

/** The same of whatever can be read, a pipe too: for what somebody has named on the command line.
 *  @throws FileKindError, or the system's error */
export function readWhole(path: string, most: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY)
  try {
    return readUpTo(fd, most)
  } finally {
    closeSync(fd)
  }
}

function checkKind(stats: Stats): void {
  if (stats.isFile()) return
  if (stats.isDirectory()) throw new FileKindError('is a folder', 'Write the path of the file in it.')
  const kind = stats.isFIFO() ? 'pipe' : stats.isSocket() ? 'socket' : 'device'
  throw new FileKindError(`is a ${kind}, and only a file is read`, 'Write the path of a file, or put the file there.')
}

function readUpTo(fd: number, most: number): Buffer {
  const pieces: Buffer[] = []
  for (let length = 0; ;) {
    const piece = Buffer.allocUnsafe(65_536)
    const read = readSync(fd, piece)
    if (read === 0) return Buffer.concat(pieces)
    length += read
    if (length > most) throw new FileKindError(`is larger than ${most / 2 ** 20} MiB, which is the most that is read`, 'Check that it is the file that is meant.')
    pieces.push(piece.subarray(0, read))
  }
}
