// Which Node this is, before anything is read that an older one does not understand. A Node from 12 on can run this file (once
// it is compiled), `main.ts` and all that `main.ts` imports outright: see test/process/node-version.test.ts.

/** As in package.json. */
export const oldestNode = 24

if (Number(process.versions.node.split('.')[0]) < oldestNode) {
  process.stderr.write(`memseal needs Node ${oldestNode} or later, and this is Node ${process.versions.node} (${process.execPath}). ` +
    'Install Node 26, or put it first on PATH; in a checkout, `npm start` brings its own.\n')
  process.exit(1)
}
