import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup/run-folder.ts'],
    // Worker threads share the process's signals and working folder, which some tests need to themselves.
    pool: 'forks',
    // For CI's two cores: much of what a test does is waiting for another process. No test minds a neighbour.
    maxWorkers: 3,
    // What ends a wait is an event. These only end a test that is broken, and a busy machine may need its time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
