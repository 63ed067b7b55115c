/** What the simulator finds and what is not mended yet, each with its seed and what it says of it. Ordinary histories meet none of
 *  it. A test says of each that it still fails as it is written here: whoever mends one takes its row out. */
import { runPlan } from './history.ts'
import { answerTo, type Oddity } from './model.ts'
import { REAL_SIZES, UNLIMITED, type Plan, type Settings } from './plan.ts'
import type { Request } from './requests.ts'

export interface ExpectedFailure {
  /** What should hold, and does not. */
  name: string
  seed: number
  /** @returns what goes wrong; undefined: nothing */
  run: (seed: number) => string | undefined
  /** How it goes wrong. */
  words: RegExp
}

export const expectedFailures: readonly ExpectedFailure[] = [
  // Replies that are not what was asked for.
  plain('a value that nobody asked for makes no misses of joined gets', [line('get c0n0_h9')],
    /got what is not its own: after 0 of \d replies, for c\dn0 get c\dn0_h9: got "END/, {}, { oddity: 'value of nobody', other: [line('get c1n0_h9')] }),
]

interface Special { oddity?: Oddity, batches?: number[], seed?: number, /** What a second client asks. */ other?: Request[] }

/** One client asks for one thing after the other, where nothing is amiss. */
function plain(name: string, requests: Request[], words: RegExp, settings: Partial<Settings> = {}, { oddity, batches, other, seed = 1 }: Special = {}): ExpectedFailure {
  const dialect = requests[0].binary === undefined ? 'text' as const : 'binary' as const
  const all = dialect === 'text' ? [...requests, line(`get c0n${requests.length}_h9`)] : requests
  const plan: Plan = {
    seed, faults: [], events: [], oddity, isUnexcused: true,
    settings: {
      version: '1.6.45', sharing: 'shared', connections: 1, joinsGets: true, isCoalescing: true, requestBytes: 2 * 1024 * 1024,
      commands: ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats'], deniesKeys: false, limits: { ...UNLIMITED, privateConnections: 0 }, sizes: REAL_SIZES, laneAgeMs: 0, latencyMs: 0, ...settings,
    },
    clients: (other === undefined ? [all] : [all, other]).map(each => (
      { dialect, requests: each, batches: batches ?? each.map(() => 1), waits: 'for ever', pauseMs: 0, readDelayMs: 0, leaves: undefined }
    )),
  }
  if (settings.sharing === 'private') plan.settings.limits = UNLIMITED
  return { name, seed, words, run: seed => runPlan(plan, false, seed).violation }
}

function line(words: string, reply = answerTo(words).reply): Request {
  const hits = /^(get|mg) /.test(words) ? answerTo(words).items.filter(({ isHit }) => isHit).length : 0
  return { command: words.split(' ')[0], bytes: `${words}\r\n`, replies: [reply], canFail: true, hits, binary: undefined }
}
