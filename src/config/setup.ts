import { isMap, Pair, Scalar, YAMLMap, YAMLSeq, type Document, type Node } from 'yaml'
import type { Origin } from './issue.ts'

/** A value from outside the file: where it goes and who gave it. */
export interface Given {
  path: readonly string[]
  value: string | readonly string[]
  origin: Origin
}

/** One flag of `run` and the environment variable that does the same. */
export interface SetupOption {
  flag: string
  variable: string
  path: readonly string[]
  value: string            // what the flag takes, in the words of --help
  isList: boolean          // the flag may be repeated; the variable's entries are parted by commas
  besideFile: boolean      // may be given with a file, and then wins over it
  asksToo: boolean         // commands that ask the running daemon read the variable as well, whatever the file says
  doc: string
}

const service = ['services', 'memcached']

/** Small set-ups need no file: these make one service named `memcached`. */
export const setupOptions: readonly SetupOption[] = [
  option('listen', [...service, 'listen'], 'ADDRESS:PORT', 'where clients connect', { isList: true }),
  option('connect', [...service, 'backend', 'connect'], 'HOST:PORT', 'where memcached listens', { isList: true }),
  option('cert', [...service, 'tls', 'cert'], 'FILE', 'certificate of the service (PEM)'),
  option('key', [...service, 'tls', 'key'], 'FILE', 'its private key (PEM)'),
  option('client-ca', [...service, 'tls', 'client_ca'], 'FILE', 'authorities of the clients\' certificates (PEM): mutual TLS'),
  option('backend-ca', [...service, 'backend', 'tls', 'ca'], 'FILE', 'authorities of the cache hosts (PEM): TLS to them'),
  option('backend-cert', [...service, 'backend', 'tls', 'cert'], 'FILE', 'certificate that this host shows them (PEM)'),
  option('backend-key', [...service, 'backend', 'tls', 'key'], 'FILE', 'its private key (PEM)'),
  option('server-name', [...service, 'backend', 'tls', 'server_name'], 'NAME', 'name in their certificate; default: the host in --connect'),
  option('allow', [...service, 'allow'], 'CIDR', 'addresses that may connect', { isList: true }),
  option('admin', ['admin', 'listen'], 'unix:/PATH', 'where `memseal status` and the other commands ask it', { isList: true, asksToo: true }),
  option('log-level', ['log', 'level'], 'LEVEL', 'least severe event that is logged', { besideFile: true }),
  option('log-format', ['log', 'format'], 'FORMAT', 'json or pretty', { besideFile: true }),
]

function option(
  flag: string, path: string[], value: string, doc: string, more: { isList?: true, besideFile?: true, asksToo?: true } = {},
): SetupOption {
  const variable = `MEMSEAL_${flag.toUpperCase().replaceAll('-', '_')}`
  return { flag, variable, path, value, doc, isList: false, besideFile: false, asksToo: false, ...more }
}

/** What the flags say; `flags` as util.parseArgs returns them. */
export function givenByFlags(flags: Readonly<Record<string, unknown>>): Given[] {
  return setupOptions.filter(({ flag }) => flags[flag] !== undefined).map(({ flag, path }) => (
    { path, value: flags[flag] as string | string[], origin: { kind: 'flag', name: `--${flag}` } }))
}

/** What the environment says. A variable that is set but empty counts as not set: that is how compose files clear one. */
export function givenByEnvironment(environment: NodeJS.ProcessEnv): Given[] {
  return setupOptions.filter(({ variable }) => (environment[variable] ?? '') !== '').map(({ variable, path, isList }) => {
    const text = environment[variable]!
    const value = isList ? text.split(',').map(entry => entry.trim()) : text
    return { path, value, origin: { kind: 'environment', name: variable } }
  })
}

/** Puts the values into the document, over what stands there; the last one wins.
 *  @returns the nodes that were made, with who gave them */
export function graft(document: Document, given: readonly Given[]): Map<Node, Origin> {
  const origins = new Map<Node, Origin>()
  const made = <N extends Node>(node: N, origin: Origin): N => {
    origins.set(node, origin)
    return node
  }
  const keyAt = (map: YAMLMap, key: string, origin: Origin) => {
    const found = map.items.find(pair => String(pair.key) === key)
    if (found !== undefined) return found
    const pair = new Pair<Node, Node | null>(made(new Scalar(key), origin), null)
    map.items.push(pair)
    return pair
  }
  for (const { path, value, origin } of given) {
    if (!isMap(document.contents)) document.contents = made(new YAMLMap(), origin)
    let map = document.contents as unknown as YAMLMap
    for (const key of path.slice(0, -1)) {
      const pair = keyAt(map, key, origin)
      if (!isMap(pair.value)) pair.value = made(new YAMLMap(), origin)
      map = pair.value as YAMLMap
    }
    const pair = keyAt(map, path.at(-1)!, origin)
    if (typeof value === 'string') {
      pair.value = made(new Scalar(value), origin)
    } else {
      const seq = made(new YAMLSeq(), origin)
      seq.items = value.map(entry => made(new Scalar(entry), origin))
      pair.value = seq
    }
  }
  return origins
}
