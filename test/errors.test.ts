import { expect, test } from 'vitest'
import { exitStatuses, StartError, startErrors } from '../src/errors.ts'

test('each system error that keeps the daemon from starting has its code and what to do', () => {
  for (const [code, { errno, message, fix }] of Object.entries(startErrors)) {
    if (errno === '') continue
    const error = new StartError('0.0.0.0:1', Object.assign(new Error('x'), { code: errno }))
    expect(error).toMatchObject({ code, message: `0.0.0.0:1: ${message}`, fix, status: exitStatuses.failed.status })
  }
  expect(new StartError('0.0.0.0:1', new Error('odd'))).toMatchObject({ code: 'start-failed', message: '0.0.0.0:1: the system refused: odd' })
})
