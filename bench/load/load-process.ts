import type { Answer, LoadWindow, Order } from './messages.ts'
import { emptyWindow, makeLoad, type Load } from './loads/load.ts'

// The program of a load process: takes orders from the bench, one task after the other, for the whole run, so that its
// own code is warm long before the numbers that count.
let load: Load | undefined

process.on('message', async (order: Order) => {
  try {
    answer(await obey(order))
  } catch (error) {
    answer({ answer: 'failed', reason: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit(0))

async function obey(order: Order): Promise<Answer> {
  switch (order.order) {
    case 'prepare':
      await load?.finish().catch(() => {})   // one that failed half way still holds connections
      load = makeLoad(order.task, reason => answer({ answer: 'failed', reason }))
      await load.prepare()
      return { answer: 'ready' }
    case 'mark':
      await load?.mark()
      return { answer: 'marked' }
    case 'finish': {
      const ending = load
      load = undefined
      return { answer: 'finished', window: await finishOf(ending) }
    }
    default:
      return order satisfies never
  }
}

// Always an answer: the bench waits for it even where the load has failed, since it closes the connections.
async function finishOf(ending: Load | undefined): Promise<LoadWindow> {
  try {
    return await ending?.finish() ?? emptyWindow(0)
  } catch (error) {
    answer({ answer: 'failed', reason: (error as Error).message })
    return emptyWindow(0)
  }
}

function answer(message: Answer): void {
  process.send?.(message)
}
