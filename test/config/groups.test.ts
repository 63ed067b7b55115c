import { expect, test } from 'vitest'
import { expanded, resolveGroups } from '../../src/config/groups.ts'
import { issueText } from '../../src/config/issue.ts'
import { loadText } from '../../src/config/load.ts'

const tls = 'tls: { cert: c, key: k, client_ca: a }'

function load(groups: string, ...service: string[]) {
  return loadText(`groups: ${groups}\nservices:\n  s:\n${[ 'listen: 0.0.0.0:1', tls, ...service].map(line => `    ${line}\n`).join('')}`, 'm.yaml', { environment: {}, directory: '/' })
}

const told = (...lines: Parameters<typeof load>) => load(...lines).issues.map(issueText)

test('a name stands for its ranges, wherever addresses say who comes', () => {
  const { config, issues } = load('{ web: [10.1.0.0/16, "fd00:1::/32"], batch: 10.2.0.0/16, lb: 10.0.0.10, ops: 10.9.0.1 }',
    'allow: [web, 10.3.0.0/16, batch, ops]', 'deny: batch', 'proxy_protocol: { from: [lb] }', 'access: { name: w, match: { source: [web, ops] } }')
  expect(issues).toEqual([])
  const { services: { s }, admin } = resolveGroups({ ...config!, admin: { listen: [], allow: ['ops'] } })
  expect(s.allow).toEqual(['10.1.0.0/16', 'fd00:1::/32', '10.3.0.0/16', '10.2.0.0/16', '10.9.0.1/32'])
  expect([s.deny, s.proxy_protocol!.from, admin.allow]).toEqual([['10.2.0.0/16'], ['10.0.0.10/32'], ['10.9.0.1/32']])
  expect((s.access![0].match as { source: string[] }).source).toEqual(['10.1.0.0/16', 'fd00:1::/32', '10.9.0.1/32'])
  // What is shown and compared is what was written.
  expect(config!.services['s'].allow).toEqual(['web', '10.3.0.0/16', 'batch', 'ops'])
  expect(expanded(['unix', 'web'], config!.groups)).toEqual(['unix', '10.1.0.0/16', 'fd00:1::/32'])
})

test('a name that is not among the groups is told where it stands, with the one that was meant', () => {
  const groups = '{ web: [10.1.0.0/16], batch: [10.2.0.0/16] }'
  expect(told(groups, 'allow: [web, bacth]')[0]).toContain('m.yaml:6:18  services.s.allow[1]: there is no group "bacth".\n')
  expect(told(groups, 'allow: [web, bacth]')[0]).toContain('Did you mean batch?')
  const [unknown] = told(groups, 'allow: [web, batch]', 'limits: { groups: { nope: { connections: 1 } } }')
  expect(unknown).toContain('services.s.limits.groups.nope: there is no group "nope".\n')
  expect(unknown).toContain('Write one of web, batch; or name it below groups.')
  expect(told(groups, 'allow: [web, batch]', 'deny: localhost')[0]).toContain('services.s.deny: there is no group "localhost".')
  expect(told(groups, 'allow: [web, batch]', 'deny: localhost')[0]).toContain('Write one of web, batch; or an address range')
  expect(told(groups, 'allow: [web, batch]', 'proxy_protocol: { from: [10.0.0.1, lb] }')[0]).toContain('services.s.proxy_protocol.from[1]: there is no group "lb".')
  expect(told(groups, 'allow: [web, batch]', 'limits: { groups: { wbe: { connections: 1 } } }')[0]).toContain('services.s.limits.groups.wbe: there is no group "wbe".')
  for (const access of ['access: { name: a, match: { source: [10.1.0.0/16, wen] } }', 'access: [{ name: a, match: { source: [10.1.0.0/16, wen] } }]']) {
    expect(told(groups, 'allow: [web, batch]', access)[0]).toMatch(/match\.source\[1\]: there is no group "wen"\.\n.*Did you mean web\?/)
  }
  const none = loadText('services: { s: { listen: "127.0.0.1:1", allow: web } }', 'm.yaml', { environment: {} }).issues.map(issueText)
  expect(none[0]).toContain('or groups: { web: [10.1.0.0/16] } at the top.')
  expect(none).toHaveLength(1)
})

test('a group that is named nowhere is told, and one of the same range twice is refused', () => {
  expect(told('{ web: [10.1.0.0/16], batch: [10.2.0.0/16] }', 'allow: web')[0]).toContain('warning: groups.batch: is named nowhere, so it changes nothing.')
  expect(told('{ web: [10.1.0.0/16], batch: [10.2.0.0/16, 10.1.0.0/16] }', 'allow: [web, batch]')[0]).toContain('groups.batch[1]: 10.1.0.0/16 stands in the group web as well, and an address belongs to one group.')
  expect(told('{ web: [10.1.0.0/16, 10.1.0.0/16] }', 'allow: web')[0]).toContain('groups.web[1]: 10.1.0.0/16 stands here twice.')
})

test('a group within another is told where both have limits, since the narrower one holds', () => {
  const groups = '{ all: [10.0.0.0/8], batch: [10.2.0.0/16] }'
  expect(told(groups, 'allow: [all, batch]', 'limits: { groups: { all: { connections: 5 } } }')).toEqual([])
  const [warning, ...more] = told(groups, 'allow: [all, batch]', 'limits: { groups: { all: { connections: 5 }, batch: { connections: 2 } } }')
  expect(warning).toContain('warning: services.s.limits.groups.batch: 10.2.0.0/16 lies within the group all. Its addresses count as batch, the narrower one, and not as all.')
  expect(more).toEqual([])
})

test('a limit of a group that is never reached is told', () => {
  const [warning] = told('{ web: [10.1.0.0/16] }', 'allow: web', 'limits: { connections: 10, groups: { web: { connections: 11, handshakes: 16 } } }')
  expect(warning).toContain('warning: services.s.limits.groups.web.connections: 11 is more than `limits.connections` (10), which is reached before it.')
  expect(told('{ web: [10.1.0.0/16] }', 'allow: web', 'limits: { groups: { web: { handshakes: 17 } } }')[0]).toContain('17 is more than `limits.handshakes` (16)')
  expect(told('{ web: [10.1.0.0/16] }', 'allow: web', 'limits: { connections: 10, groups: { web: { connections: 10, handshakes: 16 } } }')).toEqual([])
})

test.each([
  ['{ Web: [10.1.0.0/16] }', '"Web" is not a name for a group.'], ['{ unix: [10.1.0.0/16] }', '"unix" is not a name for a group.'], ['{ "10.0.0.1": [10.1.0.0/16] }', 'is not a name for a group.'],
  ['{}', 'holds no group.'], ['{ web: [] }', 'groups.web: is an empty list.'], ['{ web: [batch] }', '"batch" is not an address range, and a group holds ranges only, no names of hosts or of other groups.\n'], ['[web]', 'is a list, and takes names: one for each group.'],
])('groups: %s is refused', (groups, words) => {
  expect(told(groups, 'allow: 10.0.0.0/8').join('\n')).toContain(words)
})

test('a list that groups make broad is told as one that is written', () => {
  expect(told('{ world: [0.0.0.0/1, 128.0.0.0/1] }', 'allow: world')[0]).toContain('let in large parts of the public internet')
  expect(told('{ world: 0.0.0.0/0 }', 'allow: 10.0.0.0/8', 'proxy_protocol: { from: world }')[0]).toContain('whoever is believed here may claim to come from any address')
})
