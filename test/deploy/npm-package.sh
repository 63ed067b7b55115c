#!/usr/bin/env bash
# The npm package: packed, installed into an empty prefix, and run from there.
. "$(dirname "$0")/common.sh"
need openssl openssl; need memcached memcached
certificates

# --- A fresh checkout, in which nothing is installed or built, and an empty prefix for what -g installs.
mkdir "$W/fresh"
(cd "$P" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -r --parents -t "$W/fresh") || { fail 'the checkout can be copied'; exit; }
version=$("$NODE" -p "require('$P/package.json').version")
# npm's notices are for everybody; a warning is about this package.
quiet() { ! grep -i 'warn' "$1"; }
linked() { (cd "$W/fresh" && npm install -g --prefix "$W/linked" .) >"$W/link" 2>&1; local status=$?; cat "$W/link"; return $status; }
check '`npm install -g .` in a fresh checkout links it' linked
check 'without a warning' quiet "$W/link"
says_what_to_do() { ! "$W/linked/bin/memseal" --version 2>"$W/words" && grep -q "npm ci" "$W/words"; }
check 'the command then says that the packages are to be installed' says_what_to_do
runs_linked() { (cd "$W/fresh" && npm ci --silent) && [ "$("$W/linked/bin/memseal" --version)" = "memseal $version" ]; }
check 'and runs the sources once they are' runs_linked
rm -rf "$W/fresh/node_modules"

# What README says to paste; npm's setting of the prefix stands for a root that may write to /usr.
sed -n '/^### The package/,/^### With/p' "$P/README.md" | sed '1,/^```sh/d; /^```/,$d' >"$W/paste.sh"
grep -q 'npm pack' "$W/paste.sh" || fail 'README has lost its lines to paste'
rm -rf "$W/fresh/dist"
pasted() { (cd "$W/fresh" && npm_config_prefix=$W/prefix PATH=$W/prefix/bin:$PATH sh -eu "$W/paste.sh") >"$W/pasted" 2>&1; local status=$?; cat "$W/pasted"; return $status; }
check 'what README says to paste makes the package and installs it' pasted || exit
check 'and ends with its version' grep -qx "memseal $version" "$W/pasted"
check 'without a warning' quiet "$W/pasted"
mv "$W/fresh/memseal-$version.tgz" "$W/memseal.tgz" || exit
tar -tzf "$W/memseal.tgz" | sed 's|^package/||' | sort >"$W/list"
for file in bin/memseal dist/main.js config/memseal.yaml config/systemd/memseal.service config/REFERENCE.md README.md CHANGELOG.md LICENSE package.json; do
  grep -qx "$file" "$W/list" || fail "the package lacks $file"
done
# Each source has its file in dist, and there is nothing else.
(cd "$P/src" && find . -name '*.ts' | sed 's|^\./|dist/|; s|\.ts$|.js|' | sort) >"$W/wanted"
grep '^dist/' "$W/list" | diff "$W/wanted" - >"$W/difference"
check 'dist holds what the sources become, and nothing else' [ ! -s "$W/difference" ] || cat "$W/difference"
grep -vE '^(bin/memseal|dist/.*\.js|config/[A-Za-z./@-]+\.(md|json|yaml|yml|service|socket|conf|tmpfiles|sysusers)|README.md|CHANGELOG.md|LICENSE|package.json)$' "$W/list" >"$W/unwanted"
grep -E 'config/certs' "$W/list" >>"$W/unwanted"
check 'it holds the command, dist, config and README; no tests, no sources, no keys' [ ! -s "$W/unwanted" ] || cat "$W/unwanted"
ok "its size: $(($(stat -c %s "$W/memseal.tgz") / 1024)) KiB packed, $(wc -l <"$W/list") files"
ok "installed: $(du -sk "$W/prefix" | cut -f1) KiB, $(find "$W/prefix/lib/node_modules/memseal/node_modules" -maxdepth 1 -mindepth 1 -not -name '.*' | wc -l) packages"
# From elsewhere, so that nothing of the checkout is found by accident.
cd "$W"

# A user who is not root, with a prefix of his own, and without the settings of an npm that runs this (its cache is root's).
as_nobody() {
  install -d -o nobody "$W/home"; chmod 755 "$W"; chmod 644 "$W/memseal.tgz"
  install -D -m 755 "$NODE" "$W/bin/node"
  (cd "$W/home" && setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups env $(env | sed -n 's/^\(npm_[A-Za-z_]*\)=.*/-u \1/p') HOME="$W/home" PATH="$W/bin:/usr/bin:/bin" sh -eu -c "
    npm install --loglevel error -g --prefix ~/.local '$W/memseal.tgz'
    [ \"\$(~/.local/bin/memseal --version)\" = 'memseal $version' ]")
}
if [ "$(id -u)" = 0 ]; then check 'a user who is not root installs it with --prefix' as_nobody; fi

# --- On the oldest Node that it is for, which npm brings to a Debian that has none.
arch=$("$NODE" -p process.arch)
check "npm install -g node-linux-$arch@24 brings Node 24" npm install --silent -g --prefix "$W/node24" "node-linux-$arch@24" || exit
oldest=$W/node24/bin/node
PATH=$W/node24/bin:$PATH
check "\`memseal --version\` on $("$oldest" --version)" [ "$("$W/prefix/bin/memseal" --version)" = "memseal $version" ]

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
