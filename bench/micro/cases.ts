import { dialects, type Exchange } from '../load/dialects/dialect.ts'
import { valueOf } from '../load/values.ts'
import { BinaryReplyFramer } from '../../src/proto/binary-reply.ts'
import { BinaryRequestFramer } from '../../src/proto/binary-request.ts'
import { Found, MAX_GET_LINE } from '../../src/proto/frame.ts'
import { Got, Shape } from '../../src/proto/reply.ts'
import { TextReplyFramer } from '../../src/proto/text-reply.ts'
import { TextRequestFramer } from '../../src/proto/text-request.ts'
import type { MicroCase } from './stopwatch.ts'

const { text, meta, binary } = dialects
const key = 'bench:100:000042'
const value = valueOf(key, 100)
const hundredKeys = Array.from({ length: 100 }, (_, number) => `key:${String(number).padStart(6, '0')}`)
const hundredValues = hundredKeys.map(each => valueOf(each, 100))

export const cases: MicroCase[] = [
  requests('text get x1', text.get(key, value), 1),
  requests('text get x16', text.get(key, value), 16),
  requests('text set 100 B x16', text.set(key, value), 16),
  requests('text get of 100 keys', text.getMany(hundredKeys, hundredValues), 1),
  requests('meta mg x1', meta.get(key, value), 1),
  requests('meta mg x16', meta.get(key, value), 16),
  requests('meta ms 100 B x16', meta.set(key, value), 16),
  binaryRequests('binary get x16', binary.get(key, value), 16),
  binaryRequests('binary set 100 B x16', binary.set(key, value), 16),
  replies('text hit x1', text.get(key, value), 1, Shape.values),
  replies('text hit x16', text.get(key, value), 16, Shape.values),
  replies('text miss x16', text.miss(key), 16, Shape.values),
  replies('text STORED x16', text.set(key, value), 16, Shape.stored),
  replies('text hits of 100 keys', text.getMany(hundredKeys, hundredValues), 1, Shape.values),
  replies('meta VA x16', meta.get(key, value), 16, Shape.metaBatch),
  binaryReplies('binary hit x16', binary.get(key, value), 16),
  binaryReplies('binary miss x16', binary.miss(key), 16),
  binaryReplies('binary stored x16', binary.set(key, value), 16),
]

/** One chunk that holds `count` requests, as a pipelining client sends them. */
function requests(name: string, exchange: Exchange, count: number): MicroCase {
  return framing(`request: ${name}`, new TextRequestFramer(MAX_GET_LINE), exchange, count)
}

function binaryRequests(name: string, exchange: Exchange, count: number): MicroCase {
  return framing(`request: ${name}`, new BinaryRequestFramer(), exchange, count)
}

function framing(
  name: string, framer: TextRequestFramer | BinaryRequestFramer, exchange: Exchange, count: number,
): MicroCase {
  const chunk = Buffer.concat(Array<Buffer>(count).fill(exchange.request))
  return {
    name, requests: count,
    run: () => {
      framer.push(chunk)
      for (let i = 0; i < count; i++) {
        if (framer.next() !== Found.request) throw new Error(`${name}: request ${i} was not framed`)
      }
    },
  }
}

/** One chunk that holds `count` replies, as a shared connection brings them. */
function replies(name: string, exchange: Exchange, count: number, shape: number): MicroCase {
  const framer = new TextReplyFramer(false)
  const chunk = Buffer.concat(Array<Buffer>(count).fill(exchange.reply))
  const expected = {
    shape: Uint8Array.of(shape), asked: [exchange.request], keyFrom: Int32Array.of(exchange.request.indexOf(' ') + 1),
    keyTo: Int32Array.of(exchange.request.indexOf('\r')), mayAnswer: Int32Array.of(1), mustAnswer: Int32Array.of(1), hasBlock: Uint8Array.of(0), count: 1,
    start: Int32Array.of(0), askedTo: Int32Array.of(-1), isEchoed: Uint8Array.of(0),
  }
  return {
    name: `reply: ${name}`, requests: count,
    run: () => {
      let at = 0
      for (let i = 0; i < count; i++) {
        if (framer.next(chunk, at, chunk.length, expected, 0) !== Got.whole) {
          throw new Error(`${name}: reply ${i} was not framed`)
        }
        at = framer.at
      }
    },
  }
}

function binaryReplies(name: string, exchange: Exchange, count: number): MicroCase {
  const framer = new BinaryReplyFramer()
  const chunk = Buffer.concat(Array<Buffer>(count).fill(exchange.reply))
  return {
    name: `reply: ${name}`, requests: count,
    run: () => {
      let at = 0
      for (let i = 0; i < count; i++) {
        if (!framer.header(chunk, at, chunk.length) || framer.body(framer.at, chunk.length) !== Got.whole) {
          throw new Error(`${name}: reply ${i} was not framed`)
        }
        at = framer.at
      }
    },
  }
}
