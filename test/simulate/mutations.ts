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

interface Mutation { name: string, file: string, from: string, to: string }

const mutations: readonly Mutation[] = [
  // Memory.
  { name: 'a slab is written again while views of it are out', file: 'slab', from: 'return this.#views === 1 && !this.#isSpoilt', to: 'return true' },
  { name: 'a slab is given back when its view is written, not when that is confirmed', file: 'reply-queue', from: '    this.#unconfirmed++\n', to: '    this.#unconfirmed++\n    segment.slab?.release()\n    segment.slab = undefined\n' },
  { name: 'a joined buffer is used again before its write is confirmed', file: 'backend-connection', from: '    this.#staged.push(staging)\n', to: '    freeStaging.push(staging)\n    this.#staged.push(undefined as never)\n' },
  { name: 'what is left of a slab is not carried to the next', file: 'backend-connection', from: 'this.slab.bytes.copy(next.bytes, 0, this.from, this.end)', to: 'this.slab.bytes.copy(next.bytes, 0, this.from, this.at)' },
  { name: 'a long reply that is split loses a byte', file: 'reply-queue', from: 'segment.to = behind.from\n', to: 'segment.to = behind.from - 1\n' },
  // Whose reply it is.
  { name: 'an entry is taken off twice', file: 'text-lane', from: '    pending.shift()\n    session.settled(count)\n', to: '    pending.shift()\n    if (pending.count > 1 && row === GET) pending.shift()\n    session.settled(count)\n' },
  { name: 'the queue forgets whose an entry is when it grows', file: 'pending', from: 'put(i, old[(this.head + i) & this.#mask])', to: 'put(i, old[i & this.#mask])' },
  { name: 'a client that left is not kept in its place', file: 'backend-connection', from: 'if (isSwallowed === 0 && session !== undefined && !session.isClosed)', to: 'if (session !== undefined && !session.isClosed)' },
  { name: 'a refusal does not wait its turn', file: 'client-session', from: "if (this.inFlight === 0 || connection === undefined || connection.state !== 'ready')", to: "if (connection === undefined || this.inFlight < 1e9)" },
  { name: 'the opaque of a binary client is not put back', file: 'binary-lane', from: 'writeUint32(this.slab.bytes, start + OPAQUE, pending.opaque[head])', to: '' },
  { name: 'a joined get keeps no END', file: 'text-lane', from: 'this.#assemble(session, this.at, END_LINE)', to: 'this.#assemble(session, this.at, NO_BYTES)' },
  { name: 'a joined get takes the value of another key', file: '../proto/text-reply', from: "if (!sameRange(bytes, key, keyEnd, asked, from, to) || bytes[keyEnd] !== SPACE) return Got.absent", to: 'if (bytes[keyEnd] !== SPACE) return Got.absent' },
  { name: 'gets of several keys are joined too', file: 'text-lane', from: 'frame.row === GET && frame.keys === 1 && this.#mayJoin', to: 'frame.row === GET && this.#mayJoin' },
  // Silence.
  { name: 'a fence is forgotten', file: 'text-lane', from: "    this.send(MN_REQUEST, 0, MN_REQUEST.length)\n  }\n\n  protected parse", to: '  }\n\n  protected parse' },
  { name: 'our fence is answered to the client', file: 'text-lane', from: '    if ((fate & Fate.ourFence) !== 0) this.from = this.at\n    else if', to: '    if' },
  { name: 'a binary fence is forgotten', file: 'binary-lane', from: '    this.#quietBehind = false\n    this.#own(NOOP)', to: '    this.#quietBehind = false' },
  { name: 'the answer to a noreply is not swallowed', file: 'text-lane', from: 'const fate = frame.silent ? Fate.swallow : Fate.forward', to: 'const fate = Fate.forward' },
  { name: 'noreply is not cut off', file: 'text-lane', from: '      this.send(frame.chunk, frame.start, frame.cutStart)\n      this.send(frame.chunk, frame.cutEnd, frame.end)', to: '      this.send(frame.chunk, frame.start, frame.end)' },
  // Losses.
  { name: 'what is asked again is asked twice', file: 'text-lane', from: '    this.send(line, 0, line.length)\n  }\n}', to: '    this.send(line, 0, line.length)\n    this.send(line, 0, line.length)\n  }\n}' },
  { name: 'a write is sent again', file: 'binary-lane', from: 'isAgainRow[pending.row[head]] === 1', to: 'pending.opcode[head] !== 0x10' },
  { name: 'an error follows half a reply', file: 'text-lane', from: "if ((fate & Fate.started) !== 0) session.destroy('backend-lost-mid-reply')\n      else if (shape === Shape.local)", to: 'if (shape === Shape.local)' },
  { name: 'a read is asked again though a part of its answer has come', file: 'text-lane', from: 'let hasBytes = this.end > this.from || answered > 0', to: 'let hasBytes = false' },
  { name: 'a lost run owes its client no MN', file: 'text-lane', from: 'return isOurFence ? queued : queued + failed(session, MN_TEXT, heir)', to: 'return queued' },
  { name: 'reads of clients that have gone are asked again', file: 'text-lane', from: ' || session.isClosed || hasBytes', to: ' || hasBytes' },
  { name: 'a request is written to a private connection that was lost', file: 'client-session', from: "if (this.#private.state !== 'ready') return", to: "if (this.#private.state === 'connecting') return" },
  // Order and limits.
  { name: 'a client changes connections while it is owed replies', file: 'client-session', from: '    if (this.inFlight > 0) return this.#waitWith(found, Pause.handover)\n    this.#leaveLane()', to: '    this.#leaveLane()' },
  { name: 'in_flight lets one more in', file: 'client-session', from: 'if (this.inFlight >= this.#service.limits.in_flight && !this.#isStreaming)', to: 'if (this.inFlight > this.#service.limits.in_flight && !this.#isStreaming)' },
  { name: 'a value on its way waits for replies', file: 'client-session', from: ' && !this.#isStreaming) this.#pause(Pause.inFlight)', to: ') this.#pause(Pause.inFlight)' },
  { name: 'everything is allowed', file: '../policy/command-policy', from: 'allows(', to: 'allows(..._: number[]): boolean { void _; return true }\n\n  allowsBefore(' },
  { name: 'a reply passes unread before a fence was answered', file: 'backend-connection', from: 'if (this.rawSession === undefined || this.pending.count > 0) {', to: 'if (this.rawSession === undefined) {' },
  { name: 'a hit is counted twice', file: 'text-lane', from: 'session.record.hits += this.#framer.hits\n    if ((fate', to: 'session.record.hits += 2 * this.#framer.hits\n    if ((fate' },
  // What is left.
  { name: 'a lane keeps counting a client that has gone', file: 'client-session', from: '    this.#lane.endTurn()\n    this.#lane.sessions--\n', to: '    this.#lane.endTurn()\n' },
  { name: 'the bytes of a request that was not finished are held for ever', file: 'client-session', from: '    this.replies.close()\n    this.#service.heldBytes -= this.#held\n', to: '    this.replies.close()\n' },
  { name: 'a try to reach memcached goes on after the end', file: 'target-lanes', from: '    for (const endRetry of this.#retries) endRetry()\n    this.#retries.clear()\n    for (const lane of [...this.#lanes]) lane.fail(', to: '    for (const lane of [...this.#lanes]) lane.fail(' },
  { name: 'a private connection outlives its client', file: 'client-session', from: "    this.#private?.fail('client-gone', 'its client has left')\n", to: '' },
  { name: 'a pause is never over', file: 'client-session', from: '    if (this.#pauses & Pause.inFlight && this.inFlight <= this.#service.limits.in_flight / 2) this.#resume(Pause.inFlight)\n', to: '' },
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
