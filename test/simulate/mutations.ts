/** Breaks the data path on purpose, one way at a time, in a copy of the tree, and counts the histories that the simulator takes to
 *  find it out: a simulator that finds nothing shows nothing.
 *
 *      node test/simulate/mutations.ts [NAME…]        --most 20000: histories to try for each */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export interface Mutation { name: string, file: string, from: string, to: string }

export const mutations: readonly Mutation[] = [
  // Memory.
  { name: 'a slab is written again while views of it are out', file: 'slab', from: 'return this.#views === 1 && !this.#isSpoilt', to: 'return true' },
  { name: 'a slab is given back when its view is written, not when that is confirmed', file: 'reply-queue', from: '    this.#unconfirmed++\n', to: '    this.#unconfirmed++\n    segment.slab?.release()\n    segment.slab = undefined\n' },
  { name: 'a joined buffer is used again before its write is confirmed', file: 'staging', from: '    this.#staged.push(staging)\n', to: '    freeStaging.push(staging)\n    this.#staged.push(undefined as never)\n' },
  { name: 'what is left of a slab is not carried to the next', file: 'reply-window', from: 'this.bytes.copy(next.bytes, 0, this.from, this.end)', to: 'this.bytes.copy(next.bytes, 0, this.from, this.at)' },
  { name: 'a long reply that is split loses a byte', file: 'reply-queue', from: 'segment.to = behind.from\n', to: 'segment.to = behind.from - 1\n' },
  // Whose reply it is.
  { name: 'an entry is taken off twice', file: 'text-replies', from: '    expected.shift()\n    run.outbox.settle(run, count, keys)\n', to: '    expected.shift()\n    if (expected.count > 1 && row === GET) expected.shift()\n    run.outbox.settle(run, count, keys)\n' },
  { name: 'the queue forgets whose an entry is when it grows', file: 'expected', from: 'put(i, old[(this.head + i) & this.#mask])', to: 'put(i, old[i & this.#mask])' },
  { name: 'a client that left is not kept in its place', file: 'backend-connection', from: 'if (isSwallowed === 0) run.outbox.deliver', to: 'run.outbox.deliver' },
  { name: 'a refusal does not wait its turn', file: 'outbox', from: '    if (this.inFlight === 0) {\n', to: '    if (this.inFlight < 1e9) {\n' },
  { name: 'the opaque of a binary client is not put back', file: 'binary-dialect', from: 'writeUint32(bytes, start + OPAQUE, expected.opaque[head])', to: '' },
  { name: 'a joined get keeps no END', file: 'text-replies', from: 'this.#assemble(run, window.at, END_LINE)', to: 'this.#assemble(run, window.at, NO_BYTES)' },
  { name: 'a joined get takes the value of another key', file: '../proto/text-reply', from: "if (!sameRange(bytes, key, keyEnd, asked, from, to) || bytes[keyEnd] !== SPACE) return Got.absent", to: 'if (bytes[keyEnd] !== SPACE) return Got.absent' },
  { name: 'gets of several keys are joined too', file: 'text-dialect', from: 'frame.row === GET && frame.keys === 1 && !this', to: 'frame.row === GET && this.#mayJoin' },
  { name: 'an error takes the place of the run behind it', file: 'outbox', from: '    made.next = behind.next\n    behind.next = made', to: '    made.next = run.next\n    run.next = made' },
  // Silence.
  { name: 'a fence is forgotten', file: 'text-dialect', from: '    this.#hasOpenRun = this.#needsFence = false\n    this.#put(MN_REQUEST, 0, MN_REQUEST.length)\n', to: '    this.#hasOpenRun = this.#needsFence = false\n' },
  { name: 'our fence is answered to the client', file: 'text-replies', from: '    if ((fate & Fate.ourFence) !== 0) window.from = window.at\n    else if', to: '    if' },
  { name: 'a binary fence is forgotten', file: 'binary-dialect', from: '    this.#isQuietBehind = false\n    this.#own(NOOP_OPCODE)', to: '    this.#isQuietBehind = false' },
  { name: 'the answer to a noreply is not swallowed', file: 'text-dialect', from: 'frame.silent ? Fate.swallow : Fate.forward', to: 'Fate.forward' },
  { name: 'noreply is not cut off', file: 'text-dialect', from: '      this.#put(frame.chunk, frame.start, frame.cutStart)\n      this.#put(frame.chunk, frame.cutEnd, end)', to: '      this.#put(frame.chunk, frame.start, end)' },
  // Losses.
  { name: 'what is asked again is asked twice', file: 'text-dialect', from: '    this.#put(bytes, 0, bytes.length)\n', to: '    this.#put(bytes, 0, bytes.length)\n    this.#put(bytes, 0, bytes.length)\n' },
  { name: 'a write is sent again', file: 'binary-dialect', from: 'isAgainRow[row[entry]] === 1 ?', to: 'this.#wire.expected.opcode[entry] !== 0x10 ?' },
  { name: 'an error follows half a reply', file: 'lost-requests', from: "        if (isHalf) outbox.client.destroy('backend-lost-mid-reply')\n", to: '' },
  { name: 'a read is asked again though a part of its answer has come', file: 'lost-requests', from: 'const hasBytes = lost.window.end > lost.window.from || dialect.replies.hasBegun', to: 'const hasBytes = false' },
  { name: 'a lost run owes its client no MN', file: 'text-lost', from: 'hasNoMn ? NO_BYTES : MN_TEXT', to: 'NO_BYTES' },
  { name: 'reads of clients that have gone are asked again', file: 'lost-requests', from: 'heir !== undefined && !outbox.isClosed && ', to: 'heir !== undefined && ' },
  { name: 'a client outlives its own connection in the midst of an upload, or with bytes that pass unread', file: 'private-route', from: "    if (isCutShort) return client.finish(this.#hasLogin ? 'login-lost' : 'backend-closed')\n", to: '' },
  { name: 'a client\'s own connection does not log in', file: 'backend-connection', from: 'if (this.isPrivate && this.login === undefined && this.#owner.mayLogIn !== true)', to: 'if (this.isPrivate)' },
  { name: 'a lane is ready before its login was answered', file: 'text-greeting', from: '    if (wire.login !== undefined) return this.#ask(wire.login.textRequest, SET, LOGIN_SHOWN)\n', to: "    if (wire.login !== undefined) wire.greeted('1.6.45', 1_006_045)\n" },
  // Long replies.
  { name: 'the late answer to what has moved on goes to its client', file: 'move-on', from: '    expected.run[i] = nobody.expect(lane, expected.keys[i], count)\n', to: '' },
  { name: 'what a client has in flight is moved on in part', file: 'move-on', from: '    if (bytes[n] === undefined) staying.add(outbox)\n', to: '    if (bytes[n] === undefined) continue\n' },
  // Gets of one client that are one entry.
  { name: 'a get behind another request is counted to the gets before it', file: 'text-dialect', from: ' && askedTo[entry] === start', to: '' },
  { name: 'gets that were answered are asked again', file: 'text-replies', from: '    expected.leaveEntry(head, answers)\n', to: '' },
  { name: 'a request that waited is answered behind the end', file: 'intake', from: '    this.#isStopped = true\n    this.#waiting = undefined\n', to: '    this.#isStopped = true\n' },
  // Order and limits.
  { name: 'a client changes connections while it is owed replies', file: 'private-route', from: 'return client.outbox.inFlight > 0 ? client.move(found) : this.#open(found)', to: 'return this.#open(found)' },
  { name: 'in_flight lets one more in', file: 'client-session', from: 'if (this.outbox.inFlight >= this.#home.limits.in_flight &&', to: 'if (this.outbox.inFlight > this.#home.limits.in_flight &&' },
  { name: 'a value on its way waits for replies', file: 'client-session', from: ' && !this.intake.isStreaming) this.intake.pause(Pause.inFlight)', to: ') this.intake.pause(Pause.inFlight)' },
  { name: 'everything is allowed', file: '../policy/permit', from: '  verdict(frame: RequestFrame): Verdict {\n', to: '  verdict(frame: RequestFrame): Verdict {\n    if (frame.size > 0) return Verdict.allowed\n' },
  { name: 'a reply passes unread before a fence was answered', file: 'backend-connection', from: 'if (this.#raw === undefined || this.expected.count > 0) {', to: 'if (this.#raw === undefined) {' },
  { name: 'a hit is counted twice', file: 'text-replies', from: 'run.outbox.hit(run, this.#framer.hits)\n    if ((fate', to: 'run.outbox.hit(run, 2 * this.#framer.hits)\n    if ((fate' },
  // What is left.
  { name: 'a lane keeps counting a client that has gone', file: 'shared-route', from: '    this.#lane.longReply.letGo(this.#client.outbox)\n    this.#lane.clients--\n', to: '    this.#lane.longReply.letGo(this.#client.outbox)\n' },
  { name: 'the bytes of a request that was not finished are held for ever', file: 'intake', from: '    if (held !== 0) this.#holds(-held)\n', to: '' },
  { name: 'a try to reach memcached goes on after the end', file: 'target-lanes', from: '    for (const endRetry of this.#retries) endRetry()\n', to: '' },
  { name: 'a private connection outlives its client', file: 'client-session', from: '    this.#private.close()\n', to: '' },
  { name: 'a pause is never over', file: 'client-session', from: '    if (this.intake.has(Pause.inFlight) && inFlight <= this.#home.limits.in_flight / 2) this.intake.resume(Pause.inFlight)\n', to: '' },
]

const project = fileURLToPath(new URL('../../', import.meta.url))

/** @returns the number of histories it took; undefined: it was not found */
function tryOut({ file, from, to }: Mutation, most: number): number | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-mutation-'))
  try {
    for (const part of ['src', 'test', 'package.json']) cpSync(join(project, part), join(folder, part), { recursive: true })
    symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
    const path = join(folder, 'src/proxy', `${file}.ts`)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${file}.ts does not hold once: ${from}`)
    writeFileSync(path, text.replace(from, () => to))
    const told = execFileSync(process.execPath, [join(folder, 'test/simulate/until.ts'), String(most)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return told.trim() === '' ? undefined : Number(told)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The file, and how often the text stands in it. */
export function placesOf({ file, from }: Mutation): { path: string, places: number } {
  const path = join(project, 'src/proxy', `${file}.ts`)
  return { path, places: readFileSync(path, 'utf8').split(from).length - 1 }
}

function tryAll(): void {
  const { values, positionals } = parseArgs({ options: { most: { type: 'string', default: '20000' } }, allowPositionals: true })
  let missed = 0
  for (const mutation of mutations) {
    if (positionals.length > 0 && !positionals.some(word => mutation.name.includes(word))) continue
    let outcome: string
    try {
      const histories = tryOut(mutation, Number(values.most))
      outcome = histories === undefined ? 'NOT FOUND' : String(histories)
    } catch (error) {
      outcome = `cannot be tried: ${(error as Error).message.split('\n')[0]}`
    }
    if (!/^\d+$/.test(outcome)) missed++
    console.log(`${outcome.padStart(9)}  ${mutation.name}`)
  }
  console.log(missed === 0 ? 'each was found' : `${missed} were not found`)
  process.exitCode = missed === 0 ? 0 : 1
}

if (import.meta.main) tryAll()
