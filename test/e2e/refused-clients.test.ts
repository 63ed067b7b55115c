// Programs and libraries that other people wrote, refused: each goes on, and tells its user in its own words.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { find, php } from '../setup/programs.mjs'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'

const run = promisify(execFile)
const memcachedTool = ['/usr/share/memcached/scripts/memcached-tool', '/usr/bin/memcached-tool'].find(existsSync)
const memcdump = find('memcdump')
const memcstat = find('memcstat')
const phpProgram = php()

async function place(): Promise<string> {
  const memcached = await startMemcached()
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: memcached.address }, commands: ['read'] } } })
  return `127.0.0.1:${daemon.port()}`
}

async function output(program: string, args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await run(program, args, { timeout: 150_000 })
    return stdout + stderr
  } catch (error) {
    // Its exit status is its own affair; that it was ended for its silence, or aborted, is not.
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
    expect(code).toBeTypeOf('number')
    return stdout + stderr
  }
}

describe.skipIf(!memcachedTool)('memcached-tool (skipped when it is not installed)', () => {
  test.each([['stats', /memseal command_not_allowed/], ['settings', /memseal command_not_allowed/], ['sizes', /memseal command_not_allowed/],
    ['keys', /key=memseal:command_not_allowed/], ['dump', /Dumping memcache contents/], ['display', /Item_Size/]])('%s', async (mode, shown) => {
    expect(await output(memcachedTool!, [await place(), mode])).toMatch(shown)
  })
})

test.skipIf(!memcdump || !memcstat)('memcdump and memcstat (skipped when they are not installed)', async () => {
  const server = `--servers=${await place()}`
  expect(await output(memcdump!, [server])).toMatch(/memseal: command not allowed/)
  expect(await output(memcstat!, [server])).toMatch(/memseal: command_not_allowed/)
})

describe.skipIf(!phpProgram)('php-memcached (skipped when it is not installed)', () => {
  test.each(['text', 'binary'])('%s', async protocol => {
    const script = `
      $m = new Memcached();
      $m->setOption(Memcached::OPT_BINARY_PROTOCOL, ${protocol === 'binary'});
      $m->addServer(...explode(':', $argv[1]));
      foreach (['set', 'add', 'increment', 'delete', 'touch'] as $does) {
        echo json_encode($m->$does('a', 1)), ' ', $m->getResultCode() !== Memcached::RES_AUTH_FAILURE, ' ';
        $m->get('a');
        echo $m->getResultCode() === Memcached::RES_NOTFOUND ? 'goes on' : $m->getResultMessage(), PHP_EOL;
      }`
    expect(await output(phpProgram!, ['-r', script, '--', await place()])).toBe('false 1 goes on\n'.repeat(5))
  })
})
