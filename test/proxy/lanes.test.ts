import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// Requests of many clients on one connection to memcached, and whose the replies are.

/** As the log shows bytes. */
const shown = (bytes: string) => bytes.replaceAll('\r', '\\r').replaceAll('\n', '\\n')

test('replies go to whom they belong, in each client\'s order', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nincr n 1\r\n')
  await t.backend.sees('get a\r\nincr n 1\r\n')
  t.client(2).sends('get b\r\ndelete c\r\n')
  await t.backend.sees('get b\r\ndelete c\r\n')
  t.backend.says('VALUE a 0 5\r\nEND\r\n\r\nEND\r\n5\r\n', 'VALUE b 0 1\r\nB\r\nEND\r\nDELETED\r\n')
  await t.client(1).gets('VALUE a 0 5\r\nEND\r\n\r\nEND\r\n5\r\n')
  await t.client(2).gets('VALUE b 0 1\r\nB\r\nEND\r\nDELETED\r\n')
})

test('replies are told apart however they arrive', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nset b 0 0 1\r\nx\r\n')
  await t.backend.sees('get a\r\nset b 0 0 1\r\nx\r\n')
  t.client(2).sends('get c\r\n')
  await t.backend.sees('get c\r\n')
  await t.backend.saysByteByByte('VALUE a 0 2\r\n\r\n\r\nEND\r\nSTORED\r\nVALUE c 0 1\r\nC\r\nEND\r\n')
  await t.client(1).gets('VALUE a 0 2\r\n\r\n\r\nEND\r\nSTORED\r\n')
  await t.client(2).gets('VALUE c 0 1\r\nC\r\nEND\r\n')
})

test('a client that leaves mid-flight does not shift the next reply', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nmg q v q\r\n')
  await t.backend.sees('get a\r\nmg q v q\r\nmn\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.client(1).leaves()
  expect(await t.reason(1)).toBe('client-reset')
  t.backend.says('VALUE a 0 1\r\nA\r\nEND\r\nVA 1\r\nQ\r\nMN\r\n', 'VALUE b 0 1\r\nB\r\nEND\r\n')
  await t.client(2).gets('VALUE b 0 1\r\nB\r\nEND\r\n')
})

test('a client that leaves in the middle of its value does not shift the next reply', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says(`VALUE a 0 100000\r\n${'x'.repeat(60_000)}`)
  await t.client(1).readExactly(40_000)
  t.client(1).leaves()
  await t.reason(1)
  t.backend.says(`${'x'.repeat(40_000)}\r\nEND\r\n`, 'VALUE b 0 1\r\nB\r\nEND\r\n')
  await t.client(2).gets('VALUE b 0 1\r\nB\r\nEND\r\n')
})

test('a client that leaves with half a request sent has sent nothing to memcached', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('set a 0 0 10\r\n12345')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.client(1).leaves()
  await t.reason(1)
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
  expect(t.service.heldBytes).toBe(0)
})

test('an upload that stalls holds nobody up, and enters whole', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get x\r\nset a 0 0 10\r\n12345')
  await t.backend.sees('get x\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\nEND\r\n')
  await t.client(2).gets('END\r\n')
  t.client(1).sends('67890\r\nget y\r\n')
  await t.backend.sees('set a 0 0 10\r\n1234567890\r\nget y\r\n')
})

test('refusals wait for their turn among the replies', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\nverbosity 1\r\nget b\r\nfoo\r\nincr a x\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  await t.client(1).getsNothing()
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\nCLIENT_ERROR memseal: command not allowed\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\nERROR\r\nCLIENT_ERROR invalid numeric delta argument\r\n')
  t.client(1).sends('verbosity 1\r\n')
  await t.client(1).gets('CLIENT_ERROR memseal: command not allowed\r\n')
})

test('the data block of a refused command is read over', async () => {
  const t = await transcript({ commands: '[read]' })
  t.client(1).sends('set a 0 0 7\r\nget x\r\n\r\nms a 2\r\nhi\r\nget b\r\n')
  await t.backend.sees('get b\r\n')
  await t.client(1).gets('CLIENT_ERROR memseal: command not allowed\r\nCLIENT_ERROR memseal: command not allowed\r\n')
})

test('a request that nobody can tell the end of is answered and ends the connection', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\nset b 0 0 -1\r\nget c\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).endsWith('END\r\nCLIENT_ERROR bad command line format\r\n')
  t.client(1).end()
  expect(await t.reason(1)).toBe('protocol')
})

test('noreply is cut off and its reply swallowed, whatever it says', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('set a 0 0 1 noreply\r\nx\r\nincr n 1 noreply\r\ndelete d noreply\r\ntouch t 1 noreply\r\nflush_all noreply\r\ncas c 0 0 1 7 noreply\r\nx\r\nget a\r\n')
  await t.backend.sees('set a 0 0 1\r\nx\r\nincr n 1\r\ndelete d\r\ntouch t 1\r\nflush_all\r\ncas c 0 0 1 7\r\nx\r\nget a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('SERVER_ERROR out of memory storing object\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nNOT_FOUND\r\nTOUCHED\r\nOK\r\nEXISTS\r\nEND\r\n', 'END\r\n')
  await t.client(1).gets('END\r\n')
  await t.client(2).gets('END\r\n')
})

test('a refused noreply is silent', async () => {
  const t = await transcript({ commands: '[read]' })
  t.client(1).sends('set a 0 0 1 noreply\r\nx\r\nget b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('a quiet run is closed by the client\'s own mn', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('mg a v q k\r\nmg b v q k\r\nmg c v\r\nmn\r\n')
  await t.backend.sees('mg a v q k\r\nmg b v q k\r\nmg c v\r\nmn\r\n')
  t.client(2).sends('mg d v\r\n')
  await t.backend.sees('mg d v\r\nmn\r\n')
  t.backend.says('VA 4 kb\r\nMN\r\n\r\nEN\r\nMN\r\n', 'EN\r\nMN\r\n')
  await t.client(1).gets('VA 4 kb\r\nMN\r\n\r\nEN\r\nMN\r\n')
  await t.client(2).gets('EN\r\n')
})

test('a quiet run without mn is closed by ours, which the client does not see', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('mg a v q\r\nms b 1 q\r\nx\r\n')
  await t.backend.sees('mg a v q\r\nms b 1 q\r\nx\r\nmn\r\n')
  t.client(2).sends('get d\r\n')
  await t.backend.sees('get d\r\n')
  t.backend.says('MN\r\n', 'END\r\n')
  await t.client(2).gets('END\r\n')
  t.client(1).sends('mg c v\r\n')
  await t.backend.sees('mg c v\r\nmn\r\n')
  t.backend.says('EN\r\nMN\r\n')
  await t.client(1).gets('EN\r\n')
})

test('another command behind a quiet run closes it', async () => {
  const t = await transcript()
  t.client(1).sends('mg a v q\r\nget b\r\nmd c q\r\nme x\r\nma n q\r\nfoo\r\nmn\r\n')
  await t.backend.sees('mg a v q\r\nmn\r\nget b\r\nmd c q\r\nmn\r\nme x\r\nma n q\r\nmn\r\nmn\r\n')
  t.backend.says('VA 1\r\nA\r\nMN\r\nEND\r\nNF\r\nMN\r\nEN\r\nMN\r\nMN\r\n')
  await t.client(1).gets('VA 1\r\nA\r\nEND\r\nNF\r\nEN\r\nERROR\r\nMN\r\n')
})

test('a run of 256 quiet requests gets a fence, and goes on in the next', async () => {
  const t = await transcript()
  const request = 'mg a v q\r\n'
  t.client(1).sends('mg a v\r\n')
  await t.backend.sees('mg a v\r\nmn\r\n')
  t.backend.says('VA 1\r\nx\r\nMN\r\n')
  await t.client(1).gets('VA 1\r\nx\r\n')
  t.client(1).sends(request.repeat(257))
  await t.backend.sees(request.repeat(256), 'mn\r\n', request, 'mn\r\n')
  t.backend.says('MN\r\nVA 1\r\nx\r\nMN\r\n')
  await t.client(1).gets('VA 1\r\nx\r\n')
})

test.each([
  ['an answer too many in a run with our fence', 'mg a q\r\n', 'mg a q\r\nmn\r\n', 'HD\r\nHD\r\n'],
  ['an answer too many in a run with its own fence', 'mg a q\r\nmn\r\n', 'mg a q\r\nmn\r\n', 'HD\r\nHD\r\n'],
  ['an answer too few', 'mg a q\r\nmg b\r\n', 'mg a q\r\nmg b\r\nmn\r\n', 'MN\r\n'],
  ['a value for another key', 'get a\r\n', 'get a\r\n', 'VALUE b 0 1\r\nx\r\n'],
  ['a line of another kind', 'set a 0 0 1\r\nx\r\n', 'set a 0 0 1\r\nx\r\n', 'DELETED\r\n'],
  ['ERROR to a request with a data block', 'set a 0 0 1\r\nx\r\n', 'set a 0 0 1\r\nx\r\n', 'ERROR\r\n'],
  ['CLIENT_ERROR to a meta request with a data block', 'ms a 1\r\nx\r\n', 'ms a 1\r\nx\r\nmn\r\n', 'CLIENT_ERROR no such pool\r\n'],
  ['CLIENT_ERROR in a run with a data block', 'mg a q\r\nms a 1 q\r\nx\r\n', 'mg a q\r\nms a 1 q\r\nx\r\nmn\r\n', 'CLIENT_ERROR no such pool\r\n'],
  ['an error line behind a value', 'get a c\r\n', 'get a c\r\n', 'VALUE a 0 1\r\nx\r\nSERVER_ERROR backend failure\r\n'],
  ['a value without its line end', 'get a\r\n', 'get a\r\n', 'VALUE a 0 1\r\nxEND\r\n'],
  ['a line without end', 'get a\r\n', 'get a\r\n', 'x'.repeat(3000)],
])('%s closes the lane and whoever has a request on it, nobody else', async (_, request, seen, says) => {
  const t = await transcript({ clients: 3 })
  t.client(3).sends('get idle\r\n')
  await t.backend.sees('get idle\r\n')
  t.backend.says('END\r\n')
  await t.client(3).gets('END\r\n')
  t.client(1).sends(request)
  await t.backend.sees(seen)
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.passes(2000)
  t.backend.says(says)
  // A lane that has held for long is told of as one that has not.
  const told = await t.logged('backend-lost')
  expect(told).toMatchObject({
    level: 'warn', reason: 'out-of-step', dialect: 'text', clients: 2, advice: expect.any(String), asked: shown(request.slice(0, request.indexOf('\n') + 1)),
  })
  expect(told.answered).not.toBe('')
  expect(shown(says)).toContain(String(told.answered).replace('…', ''))
  expect(told.msg).toContain(`it answered "${String(told.answered)}"; clients closed for it: 2`)
  expect(await t.reason(1)).toBe('backend-out-of-step')
  expect(await t.reason(2)).toBe('backend-out-of-step')
  await t.client(2).readToEnd()
  const lane = await t.lanes(2)
  t.client(3).sends('get c\r\n')
  await lane.sees('get c\r\n')
  lane.says('END\r\n')
  await t.client(3).gets('END\r\n')
})

test.each([
  ['a get', 'get a\r\n', 'get a\r\n', 'ERROR\r\n', 'ERROR\r\n'],
  ['a gets', 'gets a\r\n', 'gets a\r\n', 'CLIENT_ERROR no such pool\r\n', 'CLIENT_ERROR no such pool\r\n'],
  ['a delete', 'delete a\r\n', 'delete a\r\n', 'CLIENT_ERROR no such pool\r\n', 'CLIENT_ERROR no such pool\r\n'],
  ['an incr', 'incr a 1\r\n', 'incr a 1\r\n', 'ERROR unknown\r\n', 'ERROR unknown\r\n'],
  ['meta requests in a row', 'mg a v\r\nmg b v\r\n', 'mg a v\r\nmg b v\r\nmn\r\n', 'CLIENT_ERROR no such pool\r\nVA 1\r\nx\r\nMN\r\n', 'CLIENT_ERROR no such pool\r\nVA 1\r\nx\r\n'],
  ['a quiet run', 'mg a v q\r\nmg b v q\r\n', 'mg a v q\r\nmg b v q\r\nmn\r\n', 'SERVER_ERROR backend failure\r\nMN\r\n', 'SERVER_ERROR backend failure\r\n'],
])('an error line to %s is its answer, and the lane goes on', async (_, request, seen, says, gets) => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends(request)
  await t.backend.sees(seen)
  t.client(2).sends('get z\r\n')
  await t.backend.sees('get z\r\n')
  t.backend.says(says, 'VALUE z 0 1\r\nZ\r\nEND\r\n')
  await t.client(1).gets(gets)
  await t.client(2).gets('VALUE z 0 1\r\nZ\r\nEND\r\n')
  t.client(1).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('error lines among the values of one get, as memcached\'s own proxy says them: the get alone in flight gets all to its END', async () => {
  const t = await transcript({ clients: 2, backend: { join_gets: 'off' } })
  const reply = 'SERVER_ERROR backend failure\r\nVALUE b 0 1\r\nB\r\nSERVER_ERROR backend failure\r\nEND\r\n'
  t.client(1).sends('get a b c\r\n')
  await t.backend.sees('get a b c\r\n')
  t.backend.says(reply)
  await t.client(1).gets(reply)
  t.client(2).sends('get d\r\n')
  await t.backend.sees('get d\r\n')
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
})

test('meta requests whose answers show neither key nor opaque have one fence a turn, and an answer that is left out is found by it', async () => {
  const t = await transcript({ clients: 3 })
  await t.inOneTurn(() => {
    t.client(1).sends('mg a v\r\nmg b v\r\n')
    t.client(2).sends('mg c v\r\n')
  })
  await t.backend.sees('mg a v\r\nmg b v\r\nmg c v\r\nmn\r\n')
  t.client(3).sends('get d\r\n')
  await t.backend.sees('get d\r\n')
  t.backend.says('VA 1\r\nA\r\nVA 1\r\nC\r\nMN\r\n')
  for (const n of [1, 2, 3]) expect(await t.reason(n)).toBe('backend-out-of-step')
})

test.each([
  ['of a batch, told by its opaque', 'mg a v O1\r\nmg b v O2\r\n', '', 'VA 1 O2\r\nB\r\n'],
  ['of a batch, told by its key', 'mg a v k\r\nmg b v k\r\n', '', 'VA 1 kb\r\nB\r\n'],
  ['of a batch, behind one that is right', 'mg a k\r\nmg b k\r\nmg c k\r\n', 'HD ka\r\n', 'HD kc\r\n'],
  ['whose key is left out', 'mg a v k\r\n', '', 'VA 1\r\nA\r\n'],
  ['that shows a key nobody asked to see', 'mg a v\r\n', '', 'VA 1 ka\r\nA\r\n', 'mg b k\r\n'],
  ['of a store, behind its data block', 'ms a 3 O1\r\n O9\r\nms b 1 O2\r\nx\r\n', 'HD O1\r\n', 'HD O1\r\n'],
  ['of a run, of a request before the last answer', 'mg a k q\r\nmg b k q\r\nmn\r\n', 'HD kb\r\n', 'HD ka\r\n'],
  ['of a run, in the place of one that must answer', 'mg a k q\r\nmg b k\r\nmg c k q\r\nmn\r\n', '', 'HD kc\r\n'],
])('a meta reply %s: the lane is closed before a byte of it is out, and nobody gets what is another\'s', async (_, request, right, wrong, behind = '') => {
  const t = await transcript({ clients: 2 })
  t.client(2).sends('get idle\r\n')
  await t.backend.sees('get idle\r\n')
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
  t.client(1).sends(request, behind)
  await t.backend.sees(request, behind, behind === '' ? '' : 'mn\r\n')
  t.backend.says(right, wrong)
  await t.client(1).endsWith('')
  expect(await t.reason(1)).toBe('backend-out-of-step')
  await t.lanes(2)
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
})

test.each([
  ['misses that show nothing', 'mg a v k O1\r\nmd b k\r\n', 'EN\r\nNF\r\n'],
  ['an error among them', 'mg a v k\r\nmg b v k\r\n', 'SERVER_ERROR out of memory\r\nVA 1 kb\r\nB\r\n'],
  ['silence of some in a run', 'mg a k q\r\nmg b v q\r\nmg c k q O7\r\nmn\r\n', 'VA 1\r\nB\r\nHD kc O7\r\nMN\r\n'],
  ['an error in a run, behind which nobody can tell', 'mg a k q\r\nmg b k\r\nmg c k q\r\nmn\r\n', 'SERVER_ERROR out of memory\r\nHD kc\r\nMN\r\n'],
  ['a base64 key that memcached shows as it is, since it was stored so', 'mg Zm9v v b k q\r\nmg Zm9vw6k= v b k O4\r\nmn\r\n', 'VA 1 kfoo\r\nA\r\nVA 1 kfoo\xc3\xa9 O4\r\nB\r\nMN\r\n'],
  ['a key in base64 that was asked for as it is', 'mg foo k O1\r\nmg bar k O2\r\n', 'HD kZm9v b O1\r\nHD kbar O2\r\n'],
  ['a base64 key that comes back as it was', 'md Zm9v b k\r\nms Zm9v 1 b k O3\r\nx\r\n', 'HD kZm9v b\r\nHD kZm9v O3 b\r\n'],
])('meta replies with %s go on to their client', async (_, request, reply) => {
  const t = await transcript()
  t.client(1).sends(request)
  await t.backend.sees(request)
  t.backend.says(reply)
  await t.client(1).gets(reply)
})

const NO_MEMORY = 'SERVER_ERROR out of memory writing get response'

test.each([
  ['', `${NO_MEMORY}\r\n`], [' with what lay behind it in memory', `${NO_MEMORY}\x01\n\x7f VALUE b 0 1\r\n`], [' that was too long', 'SERVER_ERROR output line too long\r\n'],
])('word that replies were dropped%s: the get of most keys gets it, reads are asked again, the rest gets errors, and nobody is closed', async (_, says) => {
  const t = await transcript({ clients: 2, backend: { connections: 2 } })
  await t.lanes(2)
  const asked = 'get a\r\nset b 0 0 1\r\nx\r\nmg c v\r\nget d e f g h i\r\ngets j k\r\nget l m n\r\n'
  t.client(1).sends(asked)
  const lane = await t.seer(asked)
  lane.says('VALUE a 0 1\r\nA\r\nEND\r\n', says)
  const again = 'mg c v\r\ngets j k\r\n'
  const heir = await t.seer(again)
  heir.says('VA 1\r\nC\r\nVALUE k 0 1 7\r\nK\r\nEND\r\n')
  const dropped = 'SERVER_ERROR memseal: the backend had no memory for replies and dropped some\r\n'
  await t.client(1).gets(`VALUE a 0 1\r\nA\r\nEND\r\n${dropped}VA 1\r\nC\r\n${NO_MEMORY}\r\nVALUE k 0 1 7\r\nK\r\nEND\r\n${NO_MEMORY}\r\n`)
  expect(await t.logged('backend-lost')).toMatchObject({ level: 'warn', reason: 'replies-lost', advice: expect.stringContaining('read_buf_mem_limit') })
  expect(t.service.traffic.backendClosed['replies-lost']).toBe(1)
})

test('a get of one key is asked again for as long as others take its lane along', async () => {
  const t = await transcript({ clients: 1, backend: { connections: 2 } })
  t.client(1).sends('get a\r\n')
  for (let n = 0; n < 3; n++) {
    const lane = await t.seer('get a\r\n')
    await t.lanes(n + 2)
    lane.says(`${NO_MEMORY}\r\n`)
  }
  const last = await t.seer('get a\r\n')
  last.says('VALUE a 0 1\r\nA\r\nEND\r\n')
  await t.client(1).gets('VALUE a 0 1\r\nA\r\nEND\r\n')
})

test('bytes that nobody asked for close the lane and no client, and are told', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.passes(2000)
  t.backend.says('\x1b[2J\xff"STORED\r\n')
  const lane = await t.lanes(2)
  expect(await t.logged('backend-lost')).toMatchObject({
    level: 'warn', reason: 'out-of-step', asked: '', answered: '\\x1b[2J\\xff"STORED\\r\\n', clients: 0,
  })
  t.client(1).sends('get b\r\n')
  await lane.sees('get b\r\n')
  lane.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('bytes too many right behind a reply', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\nEND\r\n')
  await t.client(1).gets('END\r\n')
  await t.lanes(2)
  await t.client(1).getsNothing()
})

const lostWords = 'SERVER_ERROR memseal: the backend closed the connection\r\n'

test('memcached closes before any reply: an error for each request, and for none that wants none', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nset b 0 0 1 noreply\r\nx\r\nincr n 1\r\nmg c q\r\nmg d q\r\nmn\r\n')
  await t.backend.sees('get a\r\nset b 0 0 1\r\nx\r\nincr n 1\r\nmg c q\r\nmg d q\r\nmn\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.end()
  await t.client(1).gets(lostWords, lostWords, lostWords, lostWords, 'MN\r\n')
  await t.client(2).gets(lostWords)
  const lane = await t.lanes(2)
  t.client(1).sends('get again\r\n')
  await lane.sees('get again\r\n')
})

test('a backend that the configuration no longer names is told of when it is lost with requests in flight, and only then', async () => {
  const t = await transcript({ clients: 1 })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  const old = t.backend
  t.service.prepare({ ...t.config, backend: { ...t.config.backend, reply_timeout: 4000 } }, undefined)()
  await t.lanes(2)
  await t.settle()
  old.destroy()
  await t.client(1).gets(lostWords)
  expect(t.lines.filter(line => line.event === 'backend-lost')).toMatchObject([{ level: 'warn', reason: 'closed-by-backend' }])
  expect(t.service.traffic.backendClosed['closed-by-backend']).toBe(1)

  t.service.prepare({ ...t.config, backend: { ...t.config.backend, reply_timeout: 3000 } }, undefined)()
  await t.lanes(3)
  await t.settle()
  t.passes(1000)
  await t.settle()
  expect(t.lines.filter(line => line.event === 'backend-lost')).toHaveLength(1)
})

test('memcached closes between two replies', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\nverbosity 1\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\nCLIENT_ERROR memseal: command not allowed\r\n')
  t.backend.destroy()
  await t.client(1).gets(lostWords)
})

test('memcached closes within a short reply of which nothing has gone out', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('VALUE a 0 10\r\n123')
  await t.client(1).getsNothing()
  t.backend.end()
  await t.client(1).gets(lostWords)
  await t.client(2).gets(lostWords)
})

test('memcached closes within a reply of which a part has gone out', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says(`VALUE a 0 200000\r\n${'x'.repeat(100_000)}`)
  await t.client(1).readExactly(50_000)
  t.backend.end()
  expect(await t.reason(1)).toBe('backend-lost-mid-reply')
  await t.client(2).gets(lostWords)
})

test('memcached closes within a run of which a part has gone out', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('mg a v q\r\nmg b v q\r\nmn\r\n')
  await t.backend.sees('mg a v q\r\nmg b v q\r\nmn\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('VA 1\r\nx\r\n')
  await t.client(1).gets('VA 1\r\nx\r\n')
  t.backend.end()
  expect(await t.reason(1)).toBe('backend-lost-mid-reply')
  await t.client(2).gets(lostWords)
})

test('no reply within reply_timeout closes the lane; each request gets an error', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.passes(5000)
  await t.client(1).getsNothing()
  t.passes(1)
  const words = 'SERVER_ERROR memseal: no reply within 5000 ms\r\n'
  await t.client(1).gets(words, words)
  await t.backend.readToEnd()
  await (await t.lanes(2)).seesNothing()
})

test('a backend without room says so, in the log and to the clients', async () => {
  const t = await transcript({ greeting: 'ERROR Too many open connections\r\n' })
  expect(await t.logged('backend-lost')).toMatchObject({ reason: 'not-memcached', words: 'it answered "ERROR Too many open connections\\r\\n"' })
  t.client(1).sends('get a\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: backend unavailable\r\n')
})

test.each(['SERVER_ERROR out of memory\r\n', 'CLIENT_ERROR malformed\r\n', 'HTTP/1.1 400 Bad Request\r\n', 'VERSION 1\n'])('%j is no version', async greeting => {
  const t = await transcript({ greeting })
  expect(await t.logged('backend-lost')).toMatchObject({ reason: 'not-memcached', words: `it answered "${shown(greeting)}"` })
})

test('what an old release does not know goes to a connection of the client\'s own', async () => {
  const t = await transcript({ greeting: 'VERSION 1.4.39\r\n', clients: 2 })
  t.client(1).sends('get a\r\nmn\r\n')
  await (await t.lanes(1)).sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
  const own = await t.private(1)
  await own.sees('mn\r\n')
  own.says('ERROR\r\n')
  await t.client(1).gets('ERROR\r\n')
})

test('in_flight: at the limit a client is not read on until half of its replies are there', async () => {
  const t = await transcript({ limits: { in_flight: 4 } })
  t.client(1).sends('incr a 1\r\n'.repeat(10))
  await t.backend.sees('incr a 1\r\n'.repeat(4))
  t.backend.says('1\r\n')
  await t.client(1).gets('1\r\n')
  await t.backend.seesNothing()
  t.backend.says('2\r\n')
  await t.client(1).gets('2\r\n')
  await t.backend.sees('incr a 1\r\n'.repeat(2))
  t.backend.says('3\r\n4\r\n')
  await t.backend.sees('incr a 1\r\n'.repeat(2))
  t.backend.says('5\r\n6\r\n7\r\n8\r\n')
  await t.backend.sees('incr a 1\r\n'.repeat(2))
  t.backend.says('9\r\n10\r\n')
  await t.client(1).gets('3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n10\r\n')
})

test('a client that ends its side gets what it is owed, and then the end', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\nmg b q\r\nget c\r\nset d 0 0 5\r\nab')
  t.client(1).end()
  await t.backend.sees('get a\r\nmg b q\r\nmn\r\nget c\r\n')
  t.backend.says('END\r\nMN\r\nEND\r\n')
  await t.client(1).endsWith('END\r\nEND\r\n')
  expect(await t.reason(1)).toBe('client-closed')
})

test('quit: what was asked before is answered, what comes behind is not read', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\nquit\r\nget b\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).endsWith('END\r\n')
  t.client(1).end()
  expect(await t.reason(1)).toBe('quit')
  await t.backend.seesNothing()
})

test('a web browser is closed without a word', async () => {
  const t = await transcript()
  t.client(1).sends('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await t.client(1).endsWith()
  t.client(1).end()
  expect(await t.reason(1)).toBe('http')
})

test('without coalescing every reply is its own', async () => {
  const t = await transcript({ coalescing: 'off', clients: 2 })
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.backend.says('END\r\nVALUE b 0 1\r\nB\r\nEND\r\n')
  await t.client(1).gets('END\r\nVALUE b 0 1\r\nB\r\nEND\r\n')
})

test('errors keep their places when the lane is lost and a client that was paused goes on', async () => {
  const t = await transcript({ limits: { in_flight: 2 } })
  t.client(1).sends('incr a 1\r\nincr b 1\r\nverbosity 1\r\nincr c 1\r\n')
  await t.backend.sees('incr a 1\r\nincr b 1\r\n')
  t.backend.end()
  await t.client(1).gets(lostWords, lostWords, 'CLIENT_ERROR memseal: command not allowed\r\n')
  const lane = await t.lanes(2)
  await lane.sees('incr c 1\r\n')
})

test('with join_gets off the keys of one get may be answered in any order, and neighbours go on', async () => {
  const t = await transcript({ clients: 2, backend: { join_gets: 'off' } })
  t.client(1).sends('get a b c\r\n')
  await t.backend.sees('get a b c\r\n')
  t.client(2).sends('get d\r\ngets e f\r\n')
  await t.backend.sees('get d\r\ngets e f\r\n')
  t.backend.says('VALUE c 0 1\r\nC\r\nVALUE a 0 1\r\nA\r\nEND\r\n', 'END\r\nVALUE f 0 1 2\r\nF\r\nVALUE e 0 1 1\r\nE\r\nEND\r\n')
  await t.client(1).gets('VALUE c 0 1\r\nC\r\nVALUE a 0 1\r\nA\r\nEND\r\n')
  await t.client(2).gets('END\r\nVALUE f 0 1 2\r\nF\r\nVALUE e 0 1 1\r\nE\r\nEND\r\n')
  t.client(1).sends('get a b\r\n')
  await t.backend.sees('get a b\r\n')
  // More often than it was asked for.
  t.backend.says('VALUE b 0 1\r\nB\r\nVALUE b 0 1\r\nB\r\n')
  expect(await t.reason(1)).toBe('backend-out-of-step')
})

test('with join_gets on the order of keys is held to', async () => {
  const t = await transcript()
  t.client(1).sends('get a b\r\n')
  await t.backend.sees('get a b\r\n')
  t.backend.says('VALUE b 0 1\r\nB\r\nVALUE a 0 1\r\nA\r\nEND\r\n')
  expect(await t.reason(1)).toBe('backend-out-of-step')
})

test('when_down: close: a reload resets those that are here while no backend can be reached, and keeps the lanes', async () => {
  const t = await transcript({ greeting: 'ERROR Too many open connections\r\n' })
  await t.logged('backend-lost')
  t.client(1).sends('get a\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: backend unavailable\r\n')
  const tries = t.lines.filter(line => line.event === 'backend-lost').length
  t.service.prepare({ ...t.config, backend: { ...t.config.backend, when_down: 'close' } }, undefined)()
  expect(await t.reason(1)).toBe('backend-down')
  expect(await t.client(1).closed).toMatchObject({ code: 'ECONNRESET' })
  expect(t.service.traffic.closed['backend-down']).toBe(1)
  expect(t.service.readiness()).toEqual([expect.stringContaining('and clients are reset meanwhile')])
  expect(t.lines.filter(line => line.event === 'backend-lost')).toHaveLength(tries)
})
