/** Where memseal answers otherwise than the memcached behind it, on purpose. The README tells them to operators. */
export interface MeantDifference {
  why: string
  conversations: string[]
  /** Part of the ways' names (see transparent.test.ts) in which it shows; left out: all. */
  when?: string
  /** First release of memcached with which it shows. */
  since?: string
  /** What comes through memseal: what memcached answers to the conversation in the other cut, or a reply. */
  instead: { as: 'whole' | 'bytes' | 'anything' } | { reply: string }
}

export const meantDifferences: MeantDifference[] = [
  {
    why: 'memcached from 1.6.0 on loses the replies it has not sent yet when something behind them makes it close the ' +
      'connection, or holds them back while it waits for the rest of a value. memseal lets a client have the replies to ' +
      'everything before such a request, as if that had been sent by itself.',
    conversations: [
      'binary: wrong magic behind valid packets',
      'binary: a body of 2 GiB', 'FIN without the terminator', 'a value that never comes whole', 'a web request behind a request',
    ],
    when: 'whole',
    instead: { as: 'bytes' },
  },
  {
    why: 'The same, for a client that ends in the middle of a value.',
    conversations: ['binary: FIN in a value'],
    when: 'shared, whole',
    instead: { as: 'bytes' },
  },
  {
    why: 'The same, over TLS.',
    conversations: ['binary: FIN in a value'],
    when: 'tls, whole',
    instead: { as: 'bytes' },
  },
  {
    why: 'On a private connection, memcached holds the replies back and loses them, and memseal says so for each.',
    conversations: ['binary: FIN in a value'],
    when: 'private, whole',
    instead: { reply: '810b0000000000860000002a 00000000 - memseal: the backend closed the connection[closed]' },
  },
  {
    why: 'memcached closes on more than 2048 bytes of a `gat` line that arrive without its end, and runs the same line when ' +
      'it arrives at once. memseal collects lines of the get family, so they mean the same however they arrive.',
    conversations: ['a gat line of 16383 bytes', 'a gat line of 16384 bytes'],
    when: 'bytes',
    instead: { as: 'whole' },
  },
  {
    why: 'memcached from 1.6.35 on gathers the replies to a pipeline, and drops those when it refuses an over-long key in a line of ' +
      'the get family. memseal lets a client have the replies to everything before such a line.',
    conversations: ['get of 251 bytes', 'gets of 251 bytes', 'gat 0 of 251 bytes', 'gats 0 of 251 bytes', '251 bytes as the last of 50 keys'],
    when: 'whole',
    since: '1.6.35',
    instead: { as: 'bytes' },
  },
  {
    why: 'memcached from 1.6.35 on refuses a dump while replies before it are unsent, so what it says depends on how the requests come ' +
      'to arrive. memseal asks for the dump when the replies have been sent.',
    conversations: ['lru_crawler metadump behind a request'],
    since: '1.6.35',
    instead: { as: 'anything' },
  },
  {
    why: 'A PROXY header comes from a load balancer that speaks for others. Where memseal does not expect one, it closes and says so in the ' +
      'log, since limits, rules and addresses would be those of the balancer. In pieces, as no balancer sends it, it is an unknown command.',
    conversations: ['a PROXY line'],
    when: 'whole',
    instead: { reply: '[closed]' },
  },
]
