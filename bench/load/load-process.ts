import type { Answer, Order } from './messages.ts'
import { makeLoad, type Load } from './loads/load.ts'

// The program of a load process: takes orders from the bench for the whole run, so that its own code is warm long before
// the numbers that count.
const loads = new Map<string, Load>()

process.on('message', async (order: Order) => {
  try {
    answer(await obey(order))
  } catch (error) {
    answer({ load: order.load, answer: 'failed', reason: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit(0))

async function obey(order: Order): Promise<Answer> {
  const { load: name } = order
  const load = loads.get(name)
  switch (order.order) {
    case 'prepare': {
      load?.finish()   // one that failed half way still holds connections
      const made = makeLoad(order.task, reason => answer({ load: name, answer: 'failed', reason }))
      loads.set(name, made)
      await made.prepare()
      return { load: name, answer: 'ready' }
    }
    case 'run':
      load!.run()
      return { load: name, answer: 'running' }
    case 'pause':
      return { load: name, answer: 'paused', window: await load!.pause() }
    case 'finish':
      load?.finish()
      loads.delete(name)
      return { load: name, answer: 'finished' }
    default:
      return order satisfies never
  }
}

function answer(message: Answer): void {
  process.send?.(message)
}
