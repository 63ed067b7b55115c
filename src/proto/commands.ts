/** Every memcached command, once. Framers, policy, lanes, counters, the configuration's `commands` and the reference
 *  are all made from these rows, so a new command is one row.
 *
 *  Sources: memcached's doc/protocol.txt (section named in each row) and doc/protocol-binary.txt. */

/** What an operator allows or forbids together. `basic` (noop, version, quit) harms nobody and is always allowed. `auth` are logins:
 *  SASL, and the first `set` of a memcached with `-Y`. */
export const groups = ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats', 'auth', 'admin', 'basic'] as const
export type Group = (typeof groups)[number]

/** The groups that the configuration may name, and `all`. */
export const groupNames: readonly string[] = [...groups.filter((group) => group !== 'basic'), 'all']

/** How a text line of the command is built, so how far it reaches and what the strict grammar asks of it. */
export type Syntax =
  | 'keys' //          <verb> <key>+
  | 'exptime-keys' //  <verb> <exptime> <key>+
  | 'store' //         <verb> <key> <flags> <exptime> <bytes> [noreply] + data block
  | 'cas' //           <verb> <key> <flags> <exptime> <bytes> <unique> [noreply] + data block
  | 'arithmetic' //    <verb> <key> <delta> [noreply]
  | 'delete' //        <verb> <key> [noreply]
  | 'touch' //         <verb> <key> <exptime> [noreply]
  | 'flush' //         <verb> [exptime] [noreply]
  | 'meta' //          <verb> <key> <flag>*
  | 'meta-store' //    <verb> <key> <bytes> <flag>* + data block
  | 'bare' //          <verb> and nothing else
  | 'words' //         an administrator's line: verb and sub-command decide, the rest is passed on

/** What a reply may look like: the grammar that the reply framer holds it to. */
export const replyShapes = [
  'values', //      VALUE key flags bytes …, END
  'valuesCas', //   the same with a cas number
  'stored', //      STORED | NOT_STORED | EXISTS | NOT_FOUND
  'number', //      digits | NOT_FOUND
  'deleted', //     DELETED | NOT_FOUND
  'touched', //     TOUCHED | NOT_FOUND
  'ok', //          OK
  'version', //     VERSION …
  'mn', //          MN
  'me', //          ME … | EN
  'meta', //        HD | VA + block | EN | NF | NS | EX
  'line', //        any one line
  'lines', //       lines up to END, or one line of another kind
  'dump', //        lines up to END or EN, perhaps after an OK, or one line that says no
  'endless', //     never ends
  'none', //        no reply: the connection closes
] as const
export type ReplyShape = (typeof replyShapes)[number]

/** How a client is told that it may not, where that is not by an error line (binary: status 0x83). */
export type RefusalForm =
  | 'unknown' //    as memcached tells that it does not know the command
  | 'statistic' //  a list of one statistic that says so: what asks for lists reads until END, and shows statistics to people
  | 'key' //        a list of one key that says so, likewise

export type Command = {
  /** What policy and configuration call it; rows of both protocols may share one name. */
  name: string
  group: Group
  /** First word of the text line. */
  verb?: string
  /** Second word, where the command is one of a family (`stats settings`). */
  sub?: string
  syntax?: Syntax
  reply?: ReplyShape
  /** Asks for values by their keys: each key is a hit or a miss. */
  reads?: boolean
  /** Binary requests of this row whose exptime is not ffffffff may create the item, and need this command as well. */
  creates?: string
  /** Its bytes may be sent a second time, when no part of the answer to the first has come. */
  again?: boolean
  /** May travel on a connection shared by many clients when its line passes the strict grammar. */
  shareable: boolean
  /** First release of memcached that has it, where that matters for sharing. */
  since?: string
  /** Binary opcode, and its quiet twin. Quiet reads stay silent on a miss, quiet changes on success. */
  opcode?: number
  quiet?: number
  /** Binary body: bytes of extras, whether a key and a value belong to it, and what of a reply may carry. */
  extras?: number | readonly number[]
  key?: boolean
  value?: boolean
  /** Binary: its reply carries the key that was asked for. */
  echoesKey?: boolean
  refusal?: RefusalForm
  /** What it answers shows keys, whoever they belong to. */
  showsKeys?: boolean
  source: string
}

const storage = { syntax: 'store', reply: 'stored', shareable: true, key: true, value: true } as const

export const commands: readonly Command[] = [
  { name: 'get', group: 'read', verb: 'get', syntax: 'keys', reply: 'values', shareable: true, reads: true, again: true, opcode: 0x00, quiet: 0x09, extras: 0, key: true, source: 'Retrieval command; Get' },
  { name: 'get', group: 'read', shareable: true, reads: true, again: true, opcode: 0x0c, quiet: 0x0d, extras: 0, key: true, echoesKey: true, source: 'Get with Key' },
  { name: 'gets', group: 'read', verb: 'gets', syntax: 'keys', reply: 'valuesCas', shareable: true, reads: true, again: true, source: 'Retrieval command' },
  { name: 'bget', group: 'read', verb: 'bget', syntax: 'keys', reply: 'values', shareable: false, reads: true, source: 'memcached.c up to 1.6.39' },
  { name: 'gat', group: 'write', verb: 'gat', syntax: 'exptime-keys', reply: 'values', shareable: true, reads: true, since: '1.5.3', opcode: 0x1d, quiet: 0x1e, extras: 4, key: true, source: 'Get And Touch' },
  { name: 'gat', group: 'write', shareable: true, reads: true, opcode: 0x23, quiet: 0x24, extras: 4, key: true, echoesKey: true, source: 'Get And Touch with Key' },
  { name: 'gats', group: 'write', verb: 'gats', syntax: 'exptime-keys', reply: 'valuesCas', shareable: true, reads: true, since: '1.5.3', source: 'Get And Touch' },

  { name: 'set', group: 'write', verb: 'set', ...storage, opcode: 0x01, quiet: 0x11, extras: 8, source: 'Storage commands; Set, Add, Replace' },
  { name: 'add', group: 'write', verb: 'add', ...storage, opcode: 0x02, quiet: 0x12, extras: 8, source: 'Storage commands; Set, Add, Replace' },
  { name: 'replace', group: 'write', verb: 'replace', ...storage, opcode: 0x03, quiet: 0x13, extras: 8, source: 'Storage commands; Set, Add, Replace' },
  { name: 'append', group: 'write', verb: 'append', ...storage, opcode: 0x0e, quiet: 0x19, extras: 0, source: 'Storage commands; Append, Prepend' },
  { name: 'prepend', group: 'write', verb: 'prepend', ...storage, opcode: 0x0f, quiet: 0x1a, extras: 0, source: 'Storage commands; Append, Prepend' },
  { name: 'cas', group: 'write', verb: 'cas', syntax: 'cas', reply: 'stored', shareable: true, source: 'Storage commands' },
  { name: 'touch', group: 'write', verb: 'touch', syntax: 'touch', reply: 'touched', shareable: true, since: '1.4.8', opcode: 0x1c, extras: 4, key: true, source: 'Touch' },

  { name: 'delete', group: 'delete', verb: 'delete', syntax: 'delete', reply: 'deleted', shareable: true, opcode: 0x04, quiet: 0x14, extras: 0, key: true, source: 'Deletion' },
  { name: 'incr', group: 'arithmetic', verb: 'incr', syntax: 'arithmetic', reply: 'number', shareable: true, opcode: 0x05, quiet: 0x15, extras: 20, key: true, creates: 'add', source: 'Increment/Decrement' },
  { name: 'decr', group: 'arithmetic', verb: 'decr', syntax: 'arithmetic', reply: 'number', shareable: true, opcode: 0x06, quiet: 0x16, extras: 20, key: true, creates: 'add', source: 'Increment/Decrement' },

  { name: 'mg', group: 'read', verb: 'mg', syntax: 'meta', reply: 'meta', shareable: true, reads: true, again: true, since: '1.6.18', source: 'Meta Get' },
  { name: 'ms', group: 'write', verb: 'ms', syntax: 'meta-store', reply: 'meta', shareable: true, since: '1.6.18', source: 'Meta Set' },
  { name: 'md', group: 'delete', verb: 'md', syntax: 'meta', reply: 'meta', shareable: true, since: '1.6.18', source: 'Meta Delete' },
  { name: 'ma', group: 'arithmetic', verb: 'ma', syntax: 'meta', reply: 'meta', shareable: true, since: '1.6.18', source: 'Meta Arithmetic' },
  { name: 'me', group: 'read', verb: 'me', syntax: 'meta', reply: 'me', shareable: true, since: '1.6.18', source: 'Meta Debug' },
  { name: 'mn', group: 'basic', verb: 'mn', syntax: 'bare', reply: 'mn', shareable: true, since: '1.6.18', opcode: 0x0a, extras: 0, source: 'Meta No-Op; noop' },

  { name: 'version', group: 'basic', verb: 'version', syntax: 'bare', reply: 'version', shareable: true, opcode: 0x0b, extras: 0, source: 'Other commands; Version' },
  { name: 'quit', group: 'basic', verb: 'quit', syntax: 'bare', reply: 'none', shareable: false, opcode: 0x07, quiet: 0x17, extras: 0, source: 'Other commands; Quit' },
  { name: 'flush_all', group: 'flush', verb: 'flush_all', syntax: 'flush', reply: 'ok', shareable: true, opcode: 0x08, quiet: 0x18, extras: [0, 4], source: 'Other commands; Flush' },

  // Only exact words stand here: from 1.6.40 on memcached matches sub-commands by prefix (`stats r` resets), so a
  // word that is not in this table is the administrator's, whatever it begins with.
  { name: 'stats', group: 'stats', verb: 'stats', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', opcode: 0x10, extras: 0, source: 'Statistics; Stat' },
  { name: 'stats settings', group: 'stats', verb: 'stats', sub: 'settings', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'Settings statistics' },
  { name: 'stats items', group: 'stats', verb: 'stats', sub: 'items', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'Item statistics' },
  { name: 'stats slabs', group: 'stats', verb: 'stats', sub: 'slabs', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'Slab statistics' },
  { name: 'stats sizes', group: 'stats', verb: 'stats', sub: 'sizes', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'Item size statistics' },
  { name: 'stats conns', group: 'stats', verb: 'stats', sub: 'conns', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'Connection statistics' },
  { name: 'stats extstore', group: 'stats', verb: 'stats', sub: 'extstore', syntax: 'words', reply: 'lines', shareable: false, refusal: 'statistic', source: 'proto_text.c' },
  { name: 'stats reset', group: 'admin', verb: 'stats', sub: 'reset', syntax: 'words', reply: 'line', shareable: false, source: 'Statistics' },
  { name: 'stats detail', group: 'admin', verb: 'stats', sub: 'detail', syntax: 'words', reply: 'lines', shareable: false, showsKeys: true, source: 'memcached.c, process_stats_detail' },
  { name: 'stats cachedump', group: 'admin', verb: 'stats', sub: 'cachedump', syntax: 'words', reply: 'lines', shareable: false, showsKeys: true, source: 'items.c, item_cachedump' },

  { name: 'verbosity', group: 'admin', verb: 'verbosity', syntax: 'words', reply: 'line', shareable: false, opcode: 0x1b, extras: 4, source: 'Other commands; Verbosity' },
  { name: 'cache_memlimit', group: 'admin', verb: 'cache_memlimit', syntax: 'words', reply: 'line', shareable: false, source: 'Other commands' },
  { name: 'shutdown', group: 'admin', verb: 'shutdown', syntax: 'words', reply: 'line', shareable: false, source: 'Other commands' },
  { name: 'slabs', group: 'admin', verb: 'slabs', syntax: 'words', reply: 'line', shareable: false, source: 'Slabs Reassign, Slabs Automove' },
  { name: 'lru', group: 'admin', verb: 'lru', syntax: 'words', reply: 'line', shareable: false, source: 'LRU Tuning' },
  { name: 'lru_crawler', group: 'admin', verb: 'lru_crawler', syntax: 'words', reply: 'line', shareable: false, source: 'LRU Crawler' },
  { name: 'lru_crawler metadump', group: 'admin', verb: 'lru_crawler', sub: 'metadump', syntax: 'words', reply: 'dump', shareable: false, refusal: 'key', showsKeys: true, source: 'LRU Crawler' },
  { name: 'lru_crawler mgdump', group: 'admin', verb: 'lru_crawler', sub: 'mgdump', syntax: 'words', reply: 'dump', shareable: false, showsKeys: true, source: 'LRU Crawler' },
  { name: 'watch', group: 'admin', verb: 'watch', syntax: 'words', reply: 'endless', shareable: false, showsKeys: true, source: 'Watchers' },
  { name: 'refresh_certs', group: 'admin', verb: 'refresh_certs', syntax: 'words', reply: 'line', shareable: false, source: 'proto_text.c' },
  { name: 'extstore', group: 'admin', verb: 'extstore', syntax: 'words', reply: 'line', shareable: false, source: 'proto_text.c' },
  { name: 'misbehave', group: 'admin', verb: 'misbehave', syntax: 'words', reply: 'line', shareable: false, source: 'proto_text.c, debug builds' },
  { name: 'debugtime', group: 'admin', verb: 'debugtime', syntax: 'words', reply: 'line', shareable: false, source: 'proto_text.c, debug builds' },
  { name: 'debugitem', group: 'admin', verb: 'debugitem', syntax: 'words', reply: 'line', shareable: false, source: 'proto_text.c, debug builds' },

  { name: 'sasl', group: 'auth', shareable: false, refusal: 'unknown', opcode: 0x20, extras: 0, source: 'SASL list mechs' },
  { name: 'sasl', group: 'auth', shareable: false, refusal: 'unknown', opcode: 0x21, extras: 0, key: true, value: true, source: 'SASL Auth' },
  { name: 'sasl', group: 'auth', shareable: false, refusal: 'unknown', opcode: 0x22, extras: 0, key: true, value: true, source: 'SASL Step' },

  // What no row names: the administrator's, since nobody can tell what it does.
  { name: 'unknown', group: 'admin', shareable: false, refusal: 'unknown', source: 'whatever this table does not know' },
]

/** The names that the configuration's `commands` may list beside the groups. */
export const commandNames: readonly string[] = [...new Set(commands.map((row) => row.name))].filter((name) => name !== 'unknown')

export const UNKNOWN = commands.length - 1

/** Columns of the table for the hot path. */
export const isShareableRow = Uint8Array.from(commands, (row) => (row.shareable ? 1 : 0))
export const isReadRow = Uint8Array.from(commands, (row) => (row.reads === true ? 1 : 0))
export const isAgainRow = Uint8Array.from(commands, (row) => (row.again === true ? 1 : 0))
/** 1: it changes items or the server, or may. */
export const isChangingRow = Uint8Array.from(commands, ({ group }) => (group === 'read' || group === 'stats' || group === 'basic' ? 0 : 1))
/** 1: each use is recorded in the audit, allowed or not: it ends or shows what is everybody's. */
export const isAuditedRow = Uint8Array.from(commands, ({ group }) => (group === 'flush' || group === 'admin' ? 1 : 0))
/** 1: a data block follows its text line. */
export const hasBlockOfRow = Uint8Array.from(commands, ({ syntax }) => (syntax === 'store' || syntax === 'cas' || syntax === 'meta-store' ? 1 : 0))
export const echoesKeyOfRow = Uint8Array.from(commands, (row) => (row.echoesKey === true ? 1 : 0))
/** 1: what it does, it does to items by their keys. */
export const isKeyedRow = Uint8Array.from(commands, ({ group }) => (group === 'read' || group === 'write' || group === 'delete' || group === 'arithmetic' ? 1 : 0))
export const showsKeysOfRow = Uint8Array.from(commands, (row) => (row.showsKeys === true ? 1 : 0))
/** 1: by it a client logs in. */
export const isLoginRow = Uint8Array.from(commands, ({ group }) => (group === 'auth' ? 1 : 0))
export const groupOfRow = Uint8Array.from(commands, (row) => groups.indexOf(row.group))

const rowOf = (name: string): number => commands.findIndex((row) => row.name === name && row.verb !== undefined)
export const GET = rowOf('get')
export const GETS = rowOf('gets')
export const MG = rowOf('mg')
export const ME = rowOf('me')
export const MN = rowOf('mn')
export const QUIT = rowOf('quit')
export const SET = rowOf('set')
export const STATS = rowOf('stats')
export const VERSION = rowOf('version')
export const SASL = commands.findIndex(({ name }) => name === 'sasl')
