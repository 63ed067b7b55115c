#!/usr/bin/env bash
# `npm run test:deploy`: every way to run memseal, for real. Its last line is the count; FAILED fails it.
cd "$(dirname "$0")" || exit 1
# On a fresh clone: the npm packages, then openssl and memcached.
node --input-type=module -e "
  import { installDependencies } from '$PWD/../setup/dependencies.mjs'
  import { providePrograms, runPrograms } from '$PWD/../setup/programs.mjs'
  await installDependencies()
  await providePrograms(runPrograms)
" || exit 1
passed=0 failed=0 skipped=0
output=$(mktemp /tmp/memseal-deploy-output.XXXXXX)
export DEPLOY_IMAGES=$(mktemp -d /tmp/memseal-deploy-images.XXXXXX)
trap 'rm -rf "$output" "$DEPLOY_IMAGES"' EXIT
for script in ${*:-npm-package systemd container compose monitoring}; do
  echo "--- $script"
  start=$(date +%s)
  bash "$script.sh" 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  passed=$((passed + $(grep -c '^ok ' "$output")))
  failures=$(grep -c '^FAILED ' "$output")
  # A script that ended before its time has no line of its own that says so.
  [ "$status" -eq 0 ] || [ "$failures" -gt 0 ] || { failures=1; echo "FAILED  $script.sh ended with status $status"; }
  failed=$((failed + failures))
  skipped=$((skipped + $(grep -c '^skipped: ' "$output")))
  echo "--- $script: $(($(date +%s) - start)) s"
done
[ -z "${DEPLOY_COUNT-}" ] || echo "$passed $failed $skipped" >"$DEPLOY_COUNT"
echo "deployment: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
