// A client that ends its sending side still gets all that it is owed, whole and in order, and then the end.
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { ReplyChecker, type Part } from '../soak/expected.ts'
import { startScene, type Scene } from '../soak/scene.ts'
import { Rounds } from '../support/rounds.ts'

/** Sends all of it with the end of our side behind it. @returns all that comes back, up to the end of theirs
 *  @param answerBytes to what was sent before the cut; the rest is sent when they are here */
async function endAfter(scene: Scene, way: string, request: Buffer, cutAt = request.length, answerBytes = 0): Promise<Buffer> {
  const socket = await (way === 'TLS' ? scene.open() : scene.openPlain())
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk as Buffer))
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('end', resolve)
    socket.on('error', reject)
  })
  if (cutAt === request.length) socket.end(request)
  else {
    await new Promise(resolve => { socket.write(request.subarray(0, cutAt), resolve) })
    const rounds = await Rounds.of({ port: scene.plainPort })
    do await rounds.pass(1)
    while (socket.bytesRead < answerBytes)
    rounds.end()
    socket.end(request.subarray(cutAt))
  }
  await ended
  socket.destroy()
  return Buffer.concat(chunks)
}

const ways = [['plain', 'shared'], ['TLS', 'shared'], ['plain', 'private'], ['TLS', 'private']] as const

test.each(ways)('%s, %s: 1 to 32 requests, then the end', async (way, sharing) => {
  const scene = await startScene({ sharing })
  const value = Buffer.alloc(20_000, 'END\r\n')
  await scene.askMemcached(`set k 7 0 ${value.length}\r\n${value.toString()}`)
  const hit = Buffer.concat([Buffer.from(`VALUE k 7 ${value.length}\r\n`), value, Buffer.from('\r\nEND\r\n')])
  for (const count of [1, 2, 5, 16, 32]) {
    const requests: string[] = []
    const checker = new ReplyChecker()
    const ask = (request: string, ...parts: Part[]): void => {
      requests.push(request)
      if (parts.length > 0) checker.expect(request, parts)
    }
    for (let n = 0; n < count; n++) {
      if (n % 4 === 0) ask('get k\r\n', hit)
      else if (n % 4 === 1) ask(`set own 0 0 2 noreply\r\nh${n % 10}\r\n`)
      else if (n % 4 === 2) ask('mg none v\r\n', Buffer.from('EN\r\n'))
      else ask('mg none v q\r\nmg k q\r\n', Buffer.from('HD\r\n'))
    }
    const request = Buffer.from(requests.join(''))
    const whole = await endAfter(scene, way, request)
    checker.push(whole)
    expect(checker.awaited).toBe(0)
    for (const cutAt of [request.length >> 1, request.length - 1]) {
      expect(digest(await endAfter(scene, way, request, cutAt))).toBe(digest(whole))
    }
  }
})

const digest = (bytes: Buffer): string => `${bytes.length} bytes, ${createHash('sha256').update(bytes).digest('hex')}`

test.each(ways)('%s, %s: noreply alone takes effect before the end', async (way, sharing) => {
  const scene = await startScene({ sharing })
  const request = Buffer.from(Array.from({ length: 100 }, (_, n) => `set n${n} 0 0 1 noreply\r\nx\r\n`).join(''))
  expect((await endAfter(scene, way, request)).length).toBe(0)
  expect(await scene.askMemcached('get n99')).toBe('VALUE n99 0 1')
})

test.each(ways)('%s, %s: an end in the middle of a request answers those before it', async (way, sharing) => {
  const scene = await startScene({ sharing })
  // Apart, since memcached itself withholds earlier replies while it waits for a data block.
  const before = Buffer.from('get a\r\nmn\r\n')
  const received = await endAfter(scene, way, Buffer.concat([before, Buffer.from('set a 0 0 1000\r\nvvv')]), before.length, 'END\r\nMN\r\n'.length)
  expect(received.toString()).toBe('END\r\nMN\r\n')
  expect(await scene.askMemcached('get a')).toBe('END')
})

test('binary: a quiet run without a noop, then the end', async () => {
  const scene = await startScene()
  const packet = (opcode: number, key: string, extras: Buffer, value: string): Buffer => {
    const head = Buffer.alloc(24)
    head[0] = 0x80
    head[1] = opcode
    head.writeUInt16BE(key.length, 2)
    head[4] = extras.length
    head.writeUInt32BE(extras.length + key.length + value.length, 8)
    return Buffer.concat([head, extras, Buffer.from(key), Buffer.from(value)])
  }
  const none = Buffer.alloc(0)
  const request = Buffer.concat([
    packet(0x11, 'b', Buffer.alloc(8), 'hi'), packet(0x09, 'missing', none, ''), packet(0x0d, 'b', none, ''), packet(0x09, 'missing', none, ''),
  ])
  for (const way of ['plain', 'TLS']) {
    const received = await endAfter(scene, way, request)
    expect(received.length).toBe(24 + 4 + 1 + 2)
    expect(received.toString('latin1', 28)).toBe('bhi')
  }
})
