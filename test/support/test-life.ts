// The helpers here also serve test/soak and bench, which run outside vitest; there, these two do nothing.

/** Runs `clean` when the running test ends. Outside a test (beforeAll, a script) the caller cleans up himself. */
export async function atEndOfTest(clean: () => Promise<unknown>): Promise<void> {
  await hook('onTestFinished', async () => { await clean() })
}

/** Runs `tell` when the running test has failed, before what it started is taken down. */
export async function whenTestFails(tell: () => void): Promise<void> {
  await hook('onTestFailed', tell)
}

async function hook(name: 'onTestFinished' | 'onTestFailed', handler: () => void | Promise<void>): Promise<void> {
  if (!process.env.VITEST) return
  const vitest = await import('vitest')
  try {
    vitest[name](handler)
  } catch {
    // Called from beforeAll: no test is running that could end or fail.
  }
}
