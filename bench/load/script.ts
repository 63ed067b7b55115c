import { dialects, type DialectName, type Exchange } from './dialects/dialect.ts'
import { repeatableRandom, valueOf } from './values.ts'

/** What is asked, told in numbers. */
export interface Traffic {
  dialect: DialectName
  /** keys stored before the clock starts */
  keys: number
  valueBytes: number
  /** share of sets among the requests, 0 to 1 */
  sets: number
  /** share of hits among the gets, 0 to 1 */
  hits: number
  keysPerGet: number
}

/** Requests in a fixed order with the replies they must get, each as one run of bytes. Clients walk it in a circle from
 *  different places. Sending n requests is one slice of `requests`, checking a chunk is one comparison with `replies`. */
export interface Script {
  length: number
  requests: Buffer
  replies: Buffer
  /** request i ends before `requestEnd[i]`, its reply before `replyEnd[i]` */
  requestEnd: Uint32Array
  replyEnd: Uint32Array
  /** mean bytes of values per request, both ways */
  valueBytesEach: number
  /** where each reply holds bytes that cannot be known; they are zero in `replies` */
  unknown?: { offset: number, length: number }
}

const MAX_SCRIPT_BYTES = 24 * 2 ** 20
const MAX_SCRIPT_REQUESTS = 8192

const written = new Map<string, Script>()

/** The script of this traffic, written once: contestants take turns under the same one.   Holds the last two */
export function scriptOf(traffic: Traffic): Script {
  const name = JSON.stringify(traffic)
  const script = written.get(name) ?? writeScript(traffic)
  written.delete(name)
  written.set(name, script)
  if (written.size > 2) written.delete(written.keys().next().value!)
  return script
}

export function writeScript(traffic: Traffic): Script {
  const dialect = dialects[traffic.dialect]
  const random = repeatableRandom(0x5ea1)
  const exchanges: Exchange[] = []
  let bytes = 0
  let valueBytes = 0
  while (exchanges.length < MAX_SCRIPT_REQUESTS && bytes < MAX_SCRIPT_BYTES) {
    const exchange = next()
    exchanges.push(exchange)
    bytes += exchange.request.length + exchange.reply.length
  }
  return assemble(exchanges, valueBytes, dialect.unknown)

  function next(): Exchange {
    const key = pick()
    if (random() < traffic.sets) {
      valueBytes += traffic.valueBytes
      return dialect.set(key, valueOf(key, traffic.valueBytes))
    }
    if (random() >= traffic.hits) return dialect.miss(`none-${key}`)
    valueBytes += traffic.valueBytes * traffic.keysPerGet
    if (traffic.keysPerGet === 1) return dialect.get(key, valueOf(key, traffic.valueBytes))
    const keys = Array.from({ length: traffic.keysPerGet }, pick)
    return dialect.getMany(keys, keys.map(each => valueOf(each, traffic.valueBytes)))
  }

  function pick(): string {
    return keyName(Math.floor(random() * traffic.keys), traffic)
  }
}

/** Sets that store all keys of a workload, in the text protocol. */
export function writeFill(traffic: Traffic): Script {
  const exchanges = Array.from({ length: traffic.keys }, (_, number) => {
    const key = keyName(number, traffic)
    return dialects.text.set(key, valueOf(key, traffic.valueBytes))
  })
  return assemble(exchanges, traffic.keys * traffic.valueBytes)
}

// The size is part of the name, so that workloads do not overwrite each other's values.
function keyName(number: number, traffic: Traffic): string {
  return `bench:${traffic.valueBytes}:${String(number).padStart(6, '0')}`
}

function assemble(exchanges: Exchange[], valueBytes: number, unknown?: Script['unknown']): Script {
  return {
    length: exchanges.length,
    requests: Buffer.concat(exchanges.map(each => each.request)),
    replies: Buffer.concat(exchanges.map(each => each.reply)),
    requestEnd: ends(exchanges.map(each => each.request.length)),
    replyEnd: ends(exchanges.map(each => each.reply.length)),
    valueBytesEach: valueBytes / exchanges.length,
    unknown,
  }
}

function ends(lengths: number[]): Uint32Array {
  let at = 0
  return Uint32Array.from(lengths, length => at += length)
}
