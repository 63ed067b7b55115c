import { lstatSync, realpathSync, statSync, watch, type FSWatcher } from 'node:fs'
import { dirname, parse, sep } from 'node:path'

// Tells when one of a set of files has changed, in whichever way that is done:
//
//   written in place, renamed over     the folder is watched
//   a symlink replaced                 the folder of each symlink on the way is watched: certbot's live/NAME/cert.pem,
//                                      ..data of a Kubernetes secret, or a `current` folder further up
//   on a file system without events    every file is looked at every few seconds as well (NFS, some containers)
//
// An event only means "look": whether anything changed is said by what the path leads to now.

const POLL_MS = 5_000
/** Files are written in several steps, and a pair of them one after the other. */
const SETTLE_MS = 100

export interface FileWatchOptions { onChange: () => void, pollMs?: number, settleMs?: number }

export class FileWatch {
  readonly #onChange: () => void
  readonly #settleMs: number
  readonly #poll: NodeJS.Timeout
  #files: readonly string[] = []
  #watchers = new Map<string, FSWatcher>()
  #seen = ''
  #settling: NodeJS.Timeout | undefined

  constructor({ onChange, pollMs = POLL_MS, settleMs = SETTLE_MS }: FileWatchOptions) {
    this.#onChange = onChange
    this.#settleMs = settleMs
    this.#poll = setInterval(() => this.#look(), pollMs)
    this.#poll.unref()
  }

  /** Watches these from now on, and looks at them at once: they may have changed since they were read.
   *  @param seen `signatureOf` them before they were read; left out: they count as changed */
  set(files: readonly string[], seen = ''): void {
    const wanted = [...new Set(files)].sort()
    if (wanted.join('\n') === this.#files.join('\n') && seen === this.#seen) return
    this.#files = wanted
    this.#seen = seen
    this.#unwatchFolders()
    this.#watchFolders()
    this.#settle()
  }

  close(): void {
    clearInterval(this.#poll)
    clearTimeout(this.#settling)
    this.#unwatchFolders()
  }

  #look(): void {
    const signature = signatureOf(this.#files)
    if (signature === this.#seen) return
    this.#seen = signature
    // Symlinks may lead elsewhere now, and a folder may have been replaced by another of its name.
    this.#unwatchFolders()
    this.#watchFolders()
    this.#onChange()
  }

  #watchFolders(): void {
    for (const folder of new Set(this.#files.flatMap(foldersOf))) this.#watchFolder(folder)
  }

  #unwatchFolders(): void {
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#settle())
      // The folder is gone, or there are no more watches to be had: looking every few seconds goes on.
      watcher.on('error', () => this.#drop(folder, watcher))
      this.#watchers.set(folder, watcher)
    } catch {
      // The same.
    }
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder)
  }

  #settle(): void {
    clearTimeout(this.#settling)
    this.#settling = setTimeout(() => this.#look(), this.#settleMs)
    this.#settling.unref()
  }
}

/** What the files lead to now: the same text as long as nobody has touched any of them. */
export function signatureOf(files: readonly string[]): string {
  return [...new Set(files)].sort().map(file => {
    try {
      const { ino, mtimeMs, ctimeMs, size } = statSync(file)
      return `${realpathSync(file)} ${ino} ${mtimeMs} ${ctimeMs} ${size}`
    } catch (error) {
      return `${file} ${(error as NodeJS.ErrnoException).code}`
    }
  }).join('\n')
}

/** Folders in which something changes when `file` comes to hold something else. */
function foldersOf(file: string): string[] {
  const folders = [dirname(file)]
  try {
    folders.push(dirname(realpathSync(file)))
  } catch {
    // Missing for now: the folder tells when it comes.
  }
  const { root } = parse(file)
  const steps = file.slice(root.length).split(sep)
  for (let depth = 1; depth < steps.length; depth++) {
    const path = root + steps.slice(0, depth).join(sep)
    if (isSymlink(path)) folders.push(dirname(path))
  }
  // A relative symlink's own way may hold more of them: ..data of a Kubernetes secret stands beside the file.
  return folders
}

function isSymlink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false
  }
}
