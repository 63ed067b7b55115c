#!/usr/bin/env node
// Start reading here. From here on:
//   cli/commands.ts      which command, with which flags
//   cli/run.ts           the configuration (config/load.ts), then the daemon (process/daemon.ts)
//   process/             opens listeners, and wires admission, TLS, sessions and backends together
//   proxy/               one client's session, and the backend connections that sessions share

import { runCommandLine } from './cli/commands.ts'

// `memseal config reference | head` is no fault: head has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

process.exitCode = await runCommandLine(process.argv.slice(2), {
  environment: process.env,
  out: text => void process.stdout.write(text),
  err: text => void process.stderr.write(text),
})
