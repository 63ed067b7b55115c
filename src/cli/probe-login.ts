import type { Socket } from 'node:net'
import { HEADER, Status } from '../proto/binary-request.ts'
import type { Login } from '../proto/login.ts'
import type { ProbeFailureCode } from './probe-failures.ts'
import { firstReply, nextPackets, quoted, type Packets } from './probe-reply.ts'

// A memcached that wants a login, asked as memseal asks it: in text the login is shown only where it was wanted, since elsewhere it
// would be stored; in binary memcached tells its version to everybody, and a `noop` says whether it serves.

/** What a step has come to. */
export type Outcome = { step: 'login' | 'version', words: string } | { step: 'login' | 'version', code: ProbeFailureCode, detail: string }

const VERSION = packet(0x0b)
const NOOP = packet(0x0a)

/** `version` was answered with the demand for a login. */
export async function loginInText(socket: Socket, login: Login | undefined, timeoutMs: number): Promise<Outcome[]> {
  if (login === undefined) return [{ step: 'login', code: 'login-wanted', detail: '' }]
  const answered = firstReply(socket, timeoutMs)
  socket.write(login.textRequest)
  const answer = await answered
  if (answer.kind !== 'line') return [{ step: 'login', code: 'login-unanswered', detail: '' }]
  if (answer.text.startsWith('CLIENT_ERROR memseal')) return [{ step: 'login', code: 'login-not-permitted', detail: quoted(answer.text) }]
  if (answer.text !== 'STORED') return [{ step: 'login', code: 'login-refused', detail: quoted(answer.text) }]
  const told = firstReply(socket, timeoutMs)
  socket.write('version\r\n')
  const version = await told
  if (version.kind !== 'line') return [loggedIn(login), { step: 'version', code: 'no-answer', detail: '' }]
  if (!version.text.startsWith('VERSION ')) return [{ step: 'login', code: 'login-refused', detail: quoted(version.text) }]
  return [loggedIn(login), { step: 'version', words: `memcached ${version.text.slice('VERSION '.length)}` }]
}

/** On a connection on which nothing was said yet. */
export async function askInBinary(socket: Socket, login: Login | undefined, timeoutMs: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  if (login !== undefined) {
    const outcome = outcomeOfLogin(login, await ask(socket, [login.binaryRequest], timeoutMs))
    outcomes.push(outcome)
    if ('code' in outcome) return outcomes
  }
  const answer = await ask(socket, [VERSION, NOOP], timeoutMs)
  if (answer.kind !== 'packets') return [...outcomes, { step: 'version', code: answer.kind === 'other' ? 'not-memcached' : 'no-answer', detail: answer.kind === 'other' ? quoted(answer.text) : '' }]
  const [version, noop] = answer.packets
  const refused = [version, noop].find(({ status }) => status !== Status.ok)
  if (refused?.status === Status.unavailable) return [...outcomes, { step: 'version', code: unavailable(refused.value), detail: quoted(refused.value) }]
  if (refused !== undefined) return [{ step: 'login', code: login === undefined ? 'login-wanted' : 'login-not-permitted', detail: quoted(refused.value) }]
  return [...outcomes, { step: 'version', words: `memcached ${version.value}, in binary alone` }]
}

/** Of memseal, which is there and cannot answer.   @param words its own */
export function unavailable(words: string): ProbeFailureCode {
  return words.includes('refuses the login of memseal') ? 'backend-login-refused' : 'backend-unavailable'
}

function outcomeOfLogin(login: Login, answer: Packets): Outcome {
  if (answer.kind === 'other') return { step: 'login', code: 'not-memcached', detail: quoted(answer.text) }
  if (answer.kind !== 'packets') return { step: 'login', code: 'login-unanswered', detail: '' }
  const [{ status, value }] = answer.packets
  switch (status) {
    case Status.ok: return loggedIn(login)
    // memcached without SASL says so; and memseal, where it lets nobody log in.
    case Status.unknown: return { step: 'login', words: 'logins are not known there' }
    case Status.unavailable: return { step: 'login', code: unavailable(value), detail: quoted(value) }
    default: return { step: 'login', code: 'login-refused', detail: quoted(value) }
  }
}

function loggedIn({ username }: Login): Outcome {
  return { step: 'login', words: `logged in as ${username}` }
}

async function ask(socket: Socket, requests: Buffer[], timeoutMs: number): Promise<Packets> {
  const answer = nextPackets(socket, requests.length, timeoutMs)
  socket.write(Buffer.concat(requests))
  return await answer
}

function packet(opcode: number): Buffer {
  const header = Buffer.alloc(HEADER)
  header[0] = 0x80
  header[1] = opcode
  return header
}
