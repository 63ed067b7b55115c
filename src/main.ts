#!/bin/sh
//bin/sh -c :; case "$(node --version)" in v?.*|v1?.*|v2[0-3].*) exec node "$0" "$@";; esac; exec node --disable-sigusr1 "$0" "$@"
// For a shell this is a script that starts Node, for Node a comment. SIGUSR1 would open a debugger to every user of this host,
// in the process that holds the keys. (`env -S` would be shorter, and Alpine has none; a Node before 24 need not know the flag,
// and is to say that it is too old.)

// Start reading here. From here on:
//   cli/commands.ts      which command, with which flags
//   cli/run.ts           the configuration (config/load.ts), then the daemon (process/daemon.ts)
//   process/             opens listeners, and wires admission, TLS, sessions and backends together
//   proxy/               one client's session, and the backend connections that sessions share

import './process/early-signals.ts'
import './process/node-version.ts'

// Not a plain import: Node would read all of them before it runs the first, leave the signals as they are for so long, and
// stumble over the first line that it is too old for.
void Promise.all([import('./cli/commands.ts'), import('./cli/output.ts')]).then(async ([{ runCommandLine }, { Output }]) => {
  const [out, err] = [new Output('standard output', process.stdout), new Output('standard error', process.stderr)]
  const status = await runCommandLine(process.argv.slice(2), {
    environment: process.env, out: text => out.write(text), err: text => err.write(text),
  })
  // Set already where what was to be said could not be.
  process.exitCode = process.exitCode === undefined ? status : status || process.exitCode
})
