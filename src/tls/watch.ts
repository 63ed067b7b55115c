import { lstatSync, realpathSync, statSync, watch, type FSWatcher, type Stats } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
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
  #isLooking = false
  #wantsLook = false
  #isClosed = false

  constructor({ onChange, pollMs = POLL_MS, settleMs = SETTLE_MS }: FileWatchOptions) {
    this.#onChange = onChange
    this.#settleMs = settleMs
    this.#poll = setInterval(() => void this.#look(), pollMs)
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
    this.#isClosed = true
    clearInterval(this.#poll)
    clearTimeout(this.#settling)
    this.#unwatchFolders()
  }

  /** Not in the event loop: a file system over the network may take its time, or all of it. One look at a time, so that no
   *  more than one thread waits there. */
  async #look(): Promise<void> {
    this.#wantsLook = true
    if (this.#isLooking) return
    this.#isLooking = true
    while (this.#wantsLook && !this.#isClosed) {
      this.#wantsLook = false
      const files = this.#files
      const signature = await signatureInBackground(files)
      // Otherwise others are watched by now, and are looked at in their turn.
      if (files === this.#files && !this.#isClosed) this.#saw(signature)
    }
    this.#isLooking = false
  }

  #saw(signature: string): void {
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
    this.#settling = setTimeout(() => void this.#look(), this.#settleMs)
    this.#settling.unref()
  }
}

/** What the files lead to now: the same text as long as nobody has touched any of them. */
export function signatureOf(files: readonly string[]): string {
  return [...new Set(files)].sort().map(file => {
    try {
      return signatureText(realpathSync(file), statSync(file))
    } catch (error) {
      return missingText(file, error as NodeJS.ErrnoException)
    }
  }).join('\n')
}

/** The same of files that are sorted, and each there once. */
async function signatureInBackground(files: readonly string[]): Promise<string> {
  const texts: string[] = []
  for (const file of files) {
    try {
      texts.push(signatureText(await realpath(file), await stat(file)))
    } catch (error) {
      texts.push(missingText(file, error as NodeJS.ErrnoException))
    }
  }
  return texts.join('\n')
}

function signatureText(path: string, { ino, mtimeMs, ctimeMs, size }: Stats): string {
  return `${path} ${ino} ${mtimeMs} ${ctimeMs} ${size}`
}

function missingText(file: string, { code }: NodeJS.ErrnoException): string {
  return `${file} ${code}`
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
