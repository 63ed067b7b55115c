#!/usr/bin/env bash
# The npm package: packed, installed into an empty prefix, and run from there.
. "$(dirname "$0")/common.sh"
need openssl openssl; need memcached memcached
certificates

check 'the package is packed' pack || exit
tar -tzf "$W/memseal.tgz" | sed 's|^package/||' | sort >"$W/list"
for file in dist/main.js config/memseal.yaml config/systemd/memseal.service config/REFERENCE.md README.md CHANGELOG.md LICENSE package.json; do
  grep -qx "$file" "$W/list" || fail "the package lacks $file"
done
grep -E '^(test|src|bench|certs-dev|node_modules)/|\.(key|crt|tgz)$|config/certs' "$W/list" >"$W/unwanted"
check 'it holds dist, config and README; no tests, no sources, no keys' [ ! -s "$W/unwanted" ]
ok "its size: $(($(stat -c %s "$W/memseal.tgz") / 1024)) KiB packed, $(wc -l <"$W/list") files"

mkdir "$W/prefix"
check 'it installs into an empty prefix' npm install --silent -g --prefix "$W/prefix" "$W/memseal.tgz" || exit
ok "installed: $(du -sk "$W/prefix" | cut -f1) KiB, $(find "$W/prefix/lib/node_modules/memseal/node_modules" -maxdepth 1 -mindepth 1 -not -name '.*' | wc -l) packages"
version=$("$NODE" -p "require('$P/package.json').version")
# From elsewhere, so that nothing of the checkout is found by accident.
cd "$W"
check '`memseal --version` says which' [ "$("$W/prefix/bin/memseal" --version)" = "memseal $version" ]

memcached -u "$(id -un)" -s "$W/memcached.sock" -U 0 & at_end "kill $!"
"$W/prefix/bin/memseal" run --listen 127.0.0.1:0 --connect "unix:$W/memcached.sock" --cert "$W/certs/server.crt" \
  --key "$W/certs/server.key" --client-ca "$W/certs/ca.crt" --admin "unix:$W/admin.sock" >"$W/log" 2>&1 & memseal=$!
at_end "kill $memseal"
until_true 20 grep -q '"event":"listening"' "$W/log"
port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$W/log" | head -n 1)
check '`memseal status` says that it is ready' until_true 10 "$W/prefix/bin/memseal" status --admin "unix:$W/admin.sock"
check 'a get over mutual TLS' "$NODE" "$P/test/deploy/client.ts" get "127.0.0.1:$port" "$W/certs"
kill "$memseal"
check 'SIGTERM ends it with status 0' wait "$memseal"
