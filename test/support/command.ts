import { runCommandLine } from '../../src/cli/commands.ts'
import type { CommandResult } from './daemon.ts'

/** `memseal ARGS` within this process, for tests of what a command says: a process of its own costs many times what most do. */
export async function commandHere(args: string[], { env = {} }: { env?: Record<string, string> } = {}): Promise<CommandResult> {
  let [stdout, stderr] = ['', '']
  const code = await runCommandLine(args, { environment: env, out: text => { stdout += text }, err: text => { stderr += text } })
  return { code, stdout, stderr }
}
