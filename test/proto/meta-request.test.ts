import { expect, test } from 'vitest'
import { commands } from '../../src/proto/commands.ts'
import { release } from '../../src/proto/bytes.ts'
import { flagsThatNeedMore } from '../../src/proto/meta-request.ts'
import { apart, faulty, lost, shared } from './frames.ts'

const line = (verb: string, flags: string) => verb === 'ms' ? `ms a 2 ${flags}\r\nhi\r\n` : `${verb} a ${flags}\r\n`
const format = 'CLIENT_ERROR bad command line format'
const invalid = 'CLIENT_ERROR invalid flag'
const refused = (verb: string, flags: string) => verb === 'ms' ? lost(line(verb, flags), invalid) : faulty(line(verb, flags), invalid)

const flags: Record<string, string[]> = {
  mg: ['k', 'q', 'v', 'c', 's', 't', 'f', 'h', 'l', 'u', 'O1', 'N30', 'R30', 'T30', 'T-1', 'Ppath', 'L', 'v k q s t c f O9'],
  ms: ['k', 'q', 'c', 'O1', 'C1', 'F4294967295', 'I', 'T0', 'MS', 'ME', 'MA', 'MP', 'MR', 'P', 'L'],
  md: ['k', 'q', 'O1', 'C18446744073709551615', 'I', 'T30', 'P', 'L'],
  ma: ['k', 'q', 'O1', 'N0', 'J0', 'D18446744073709551615', 'T0', 'MI', 'MD', 'M+', 'M-', 'C1', 'v', 'c', 't', 'P', 'L'],
}

for (const [verb, each] of Object.entries(flags)) {
  test(`${verb}: the flags that it takes`, () => {
    for (const flag of each) shared(line(verb, flag), { command: verb, quiet: flag.split(' ').includes('q'), needs: release('1.6.18') })
  })
  test(`${verb}: tokens of which releases think differently`, () => {
    for (const flag of ['!', 'w', '{', '\xff', 'y', 'v v', 'k k', 'vk', 'kx', 'qxyz', 'O', 'v1', 'T', 'Tx', 'T2147483648', 'C', 'Cx', 'C18446744073709551616', 'Mx', 'Ms', 'Mi', 'MII', 'b1']) refused(verb, flag)
  })
}

test('flags that newer releases brought say so', () => {
  shared(line('ms', 's'), { needs: release('1.6.20') })
  shared(line('ms', 'N30'), { needs: release('1.6.20') })
  shared(line('mg', 'E1'), { needs: release('1.6.27') })
  shared(line('md', 'x'), { needs: release('1.6.27') })
  shared(line('mg', 'C1'), { needs: release('1.6.40') })
})

test('opaques of 31 bytes, not of 32', () => {
  for (const verb of Object.keys(flags)) {
    shared(line(verb, `O${'x'.repeat(31)}`))
    refused(verb, `O${'x'.repeat(32)}`)
  }
  shared(line('mg', `P${'x'.repeat(250)}`))
  refused('mg', `P${'x'.repeat(251)}`)
})

test('19 words, not 20', () => {
  // With flags that all differ, mg has just enough of them.
  const many = 'k q v c s t f h l u O1 N1 R1 T1 P1 L1 E1'.split(' ')
  shared(`mg a ${many.join(' ')}\r\n`, { needs: release('1.6.27') })
  faulty(`mg a ${many.join(' ')} C1\r\n`, format)
  faulty(`mg a ${many.join(' ')} C1 b\r\n`, format)
  faulty(`mg a${' v'.repeat(30)}\r\n`, 'ERROR')
  lost(`ms a 2${' v'.repeat(17)}\r\nhi\r\n`, format)
  lost(`ms a 2${' v'.repeat(30)}\r\nhi\r\n`, format)
})

test('base64 keys are whole groups of known letters', () => {
  for (const verb of ['ms', 'md', 'ma', 'mg']) {
    for (const key of ['Zm9v', 'Zm8=', 'Zg==', 'ab+/']) shared(line(verb, 'b').replace(' a ', ` ${key} `))
    for (const key of ['a', 'Zm9', 'Zm9v=', 'Zg==Zg==', 'Zm-_', '=']) {
      const text = line(verb, 'b').replace(' a ', ` ${key} `)
      if (verb === 'ms') lost(text, invalid)
      else faulty(text, invalid)
    }
  }
})

test('lines whose answer could hold a raw key are for one client alone', () => {
  shared('mg Zm9v b v\r\n')
  shared('mg Zm9v k v\r\n')
  // With blanks or control bytes in the key the header line of the answer is not to be told apart.
  for (const key of ['foo', 'foo\u00e9', '\u0080\u00ff', '!~']) shared(`mg ${Buffer.from(key, 'latin1').toString('base64')} b k v\r\n`)
  for (const key of ['foo bar', 'a\r\nHD\r\n', '\0', '\x1f', '\x7f', ' ', 'a\n']) {
    apart(`mg ${Buffer.from(key, 'latin1').toString('base64')} b k v\r\n`)
    apart(`mg ${Buffer.from(key, 'latin1').toString('base64')} k v b\r\n`)
    shared(`mg ${Buffer.from(key, 'latin1').toString('base64')} b v\r\n`)
  }
  apart('me Zm9v b\r\n')
  shared('me Zm9v\r\n')
  for (const verb of ['ms', 'md', 'ma']) shared(line(verb, 'b k').replace(' a ', ' Zm9v '))
})

const rowOf = (verb: string) => commands.findIndex(row => row.verb === verb)
/** Flags with which a line changes more than its command says, and the command that must be allowed as well. */
const also: Record<string, Record<string, string>> = {
  mg: { N30: 'ms', R30: 'ms', E1: 'ms', T30: 'touch', 'T30 N30': 'ms', 'v q N30': 'ms', 'k T-1 v': 'touch' },
  md: { T30: 'touch', 'I T30': 'touch', E1: 'ms', x: 'ms', 'T0 x': 'ms' },
  ma: { N0: 'ms', 'N30 J5': 'ms', E1: 'ms', T0: 'touch', 'N0 T0 q': 'ms' },
}

for (const [verb, each] of Object.entries(flags)) {
  test(`${verb}: flags that need leave for a second command, and no others`, () => {
    for (const [flag, needed] of Object.entries(also[verb] ?? {})) shared(line(verb, flag), { command: verb, alsoRow: rowOf(needed) })
    const changing = new Set(Object.keys(also[verb] ?? {}).flatMap(flag => flag.split(' ')).map(flag => flag[0]))
    for (const flag of each) {
      if (verb === 'ms' || !/[NRTEx]/.test(flag)) shared(line(verb, flag), { alsoRow: -1 })
      else expect(changing).toContain(flag[0])
    }
    shared(line(verb, 'q'), { alsoRow: -1 })
  })
}

test('the table for the reference says the same', () => {
  const told = flagsThatNeedMore.flatMap(({ verb, also, letters }) => letters.map(letter => `${verb} ${letter} ${also}`)).sort()
  const single = Object.entries(also).flatMap(([verb, each]) => Object.entries(each).filter(([flag]) => !flag.includes(' ')).map(([flag, needed]) => `${verb} ${flag[0]} ${needed}`))
  expect(told).toEqual(single.sort())
})

test('forms of older experiments', () => {
  lost('ms k S2\r\nhi\r\n', format)
  lost('ms k\r\n', format)
  lost('ms k -1\r\n', format)
  lost('ms\r\n', format)
  faulty('md\r\n', 'ERROR')
})
