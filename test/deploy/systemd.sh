#!/usr/bin/env bash
# The units under a real systemd: booted on an overlay of this machine's own root, with its own network.
. "$(dirname "$0")/common.sh"
need_root
need systemd-container systemd-nspawn; need openssl openssl; need memcached memcached; need util-linux nsenter; need procps pgrep
pack || { fail 'the package cannot be packed'; exit; }
certificates
# A second authority, for a renewed certificate; the clients trust both.
sh "$P/certs-dev/make.sh" --folder "$W/next"
cp "$W/certs/ca.crt" "$W/clients.pem"
cat "$W/next/ca.crt" >>"$W/certs/ca.crt"

# --- A machine of its own.
ov=$W/ov root=$W/ov/root
mkdir "$ov"
mount -t tmpfs -o size=1500m memseal-deploy "$ov" 2>/dev/null || skip 'mounting is not permitted here'
at_end "umount '$ov'"
mkdir "$ov"/{up,wk,root}
mount -t overlay memseal-deploy -o "lowerdir=/,upperdir=$ov/up,workdir=$ov/wk" "$root" 2>/dev/null ||
  skip 'an overlay of the root file system cannot be mounted here'
at_end "umount '$root'"
rm -f "$root/usr/sbin/policy-rc.d"
PREFIX=$root/usr/local
npm install --silent -g --prefix "$PREFIX" "$W/memseal.tgz" || { fail 'the package cannot be installed'; exit; }
touch "$PREFIX/bin/node"

units=$PREFIX/lib/node_modules/memseal/config/systemd
# What README says to paste; the package is installed already.
sed -n '/^### With systemd/,/^Then/p' "$P/README.md" | sed '1,/^```sh/d; /^```/,$d; /^npm install/d' >"$root/root/paste.sh"
grep -q systemd-sysusers "$root/root/paste.sh" || fail 'README has lost its lines to paste'

start=$(date +%s%N)
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn --quiet -b -D "$root" --register=no --keep-unit --private-network \
  --console=read-only --bind-ro="$P:/opt/project" --bind-ro="$W/certs:/opt/certs" --bind-ro="$W/next:/opt/next" --bind-ro="$NODE:/usr/local/bin/node" \
  systemd.unit=basic.target </dev/null >"$W/nspawn.log" 2>&1 & nspawn=$!
power_off() { [ -z "$init" ] || kill -s RTMIN+4 "$init"; for _ in $(seq 50); do kill -0 $nspawn || return 0; sleep 0.1; done; kill -KILL "$init" $nspawn; wait $nspawn; }
init=; at_end power_off
booted() { init=$(pgrep -P $nspawn | head -n 1) && nsenter -t "$init" -a systemctl is-system-running 2>/dev/null | grep -E "running|degraded" >/dev/null; }
until_true 20 booted || { cat "$W/nspawn.log"; kill -0 $nspawn 2>/dev/null || skip 'systemd cannot be booted here'; fail 'systemd boots'; exit; }
ok "$(systemctl --version | head -n 1) booted in $((($(date +%s%N) - start) / 1000000)) ms"

inside() { nsenter -t "$init" -a env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# client WHAT MS ADDRESS
client() { inside node /opt/project/test/deploy/client.ts "$1" "${3:-127.0.0.1:11212}" /opt/certs "${2:-}"; }
property() { inside systemctl show memseal -P "$1"; }
is() { [ "$(property "$1")" = "$2" ]; }
journal() { inside journalctl -u memseal -o cat --no-pager; }
memcached_up() { inside systemctl reset-failed cache 2>/dev/null; inside systemd-run --quiet --unit=cache memcached -u nobody -l 127.0.0.1 -U 0; }

# --- Set up as README says.
check 'what README says to paste works' inside sh -eu /root/paste.sh
cp "$W/certs/server.crt" "$W/certs/server.key" "$root/etc/memseal/"
cp "$W/clients.pem" "$root/etc/memseal/clients.pem"
sed 's|memseal/admin.sock|memseal-second/admin.sock|; s|0.0.0.0:11212|127.0.0.1:11213|' "$root/etc/memseal/memseal.yaml" >"$root/etc/memseal/second.yaml"
check 'the key gets its mode' inside systemd-tmpfiles --create memseal.conf
check 'memseal check finds no fault' inside memseal check
check 'the user is there, and the key is 0640 root:memseal' [ "$(inside stat -c '%a %U:%G' /etc/memseal/server.key)" = '640 root:memseal' ]
# Before systemd 254 it does not know two keys of the unit, and says so; nothing else.
verified() {
  inside systemd-analyze verify --man=no "$@" 2>&1 | { [ "$(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')" -ge 254 ] && cat ||
    grep -vE "Unknown key (name )?'Restart(Steps|MaxDelaySec)' in section"; } >"$W/verify"
  cat "$W/verify"; [ ! -s "$W/verify" ]
}
check 'systemd-analyze verify is silent' verified memseal.service memseal.socket memseal@second.service

# --- Start: ready is listening, and what is missing is told.
check 'without memcached it starts' inside systemctl start memseal
check 'and listens' client reach
missing() { property StatusText | grep -E "$1" >/dev/null; }
check 'systemctl status says what is missing' missing '^listening, but service memcached has no connection to its backend'
memcached_up
check 'and that it serves, once memcached answers' until_true 20 is StatusText serving || journal
check 'a get over mutual TLS' client get
score() { inside systemd-analyze security --no-pager memseal | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p'; }
exposure=$(score)
check "systemd-analyze security: $exposure, at most 1.3" inside systemd-analyze security --no-pager --threshold=13 memseal
check 'memseal status' inside memseal status

# --- Reload, under load: sessions stay, and nothing of a broken configuration takes hold.
client stay 8000 >"$W/stay" & staying=$!
# set_allow LIST: edits the configuration and reloads.
set_allow() { inside sed -i "s|^    allow: .*|    allow: [$1]|" /etc/memseal/memseal.yaml && inside systemctl reload memseal; }
refuses() { ! set_allow 127.0.0.0/99; }
journal_says() { journal | grep "$1" >/dev/null; }
check 'systemctl reload takes a changed configuration' set_allow '127.0.0.0/8, 10.0.0.0/8'
check 'systemctl reload fails when the configuration is broken' refuses
check 'the journal says where: file:line:column' journal_says '/etc/memseal/memseal.yaml:[0-9]*:[0-9]* '
check 'the service goes on' client get
check 'and reloads once the fault is mended' set_allow 127.0.0.0/8
serial=$(client serial)
inside install -o root -g memseal -m 640 /opt/next/server.key /etc/memseal/server.key.new
inside install -m 644 /opt/next/server.crt /etc/memseal/server.crt.new
inside mv /etc/memseal/server.key.new /etc/memseal/server.key
inside mv /etc/memseal/server.crt.new /etc/memseal/server.crt
renewed() { local now; now=$(client serial) && [ "$now" != "$serial" ]; }
check 'a renewed certificate is in force by itself' until_true 10 renewed
wait $staying
check "eight sessions lived through all of it: $(cat "$W/stay")" [ "$(number broken "$(cat "$W/stay")")" = 0 ]

# --- Restart under load.
# restart_under_load: new connections for four seconds, a restart in their midst.
restart_under_load() {
  client connect 4000 >"$W/connect" & local load=$!
  sleep 1
  inside systemctl restart memseal
  wait $load
  tally=$(cat "$W/connect")
}
restart_under_load
check "a restart without socket activation is over soon: $tally" client get
[ "$(number done "$tally")" -gt 0 ] || fail 'no connection came through'

# --- A process that hangs.
inside mkdir -p /run/systemd/system/memseal.service.d
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n' | inside tee /run/systemd/system/memseal.service.d/test.conf >/dev/null
inside systemctl daemon-reload; inside systemctl restart memseal
check 'the watchdog leaves a process alone that lives' sh -c 'sleep 5'
is NRestarts 0 || fail 'it was restarted without need'
hung=$(property MainPID)
inside kill -STOP "$hung"
restarted() { is NRestarts 1 && is ActiveState active; }
check 'the watchdog restarts one that hangs' until_true 15 restarted || journal
check 'a get after that' client get
check 'the journal says why' inside sh -c 'journalctl -u memseal -o cat | grep -i watchdog >/dev/null'
inside rm /run/systemd/system/memseal.service.d/test.conf; inside systemctl daemon-reload

# --- What passes by itself is tried until it has passed. The pause is short here, so that five starts are soon over.
inside mkdir -p /run/systemd/system/memseal.service.d
printf '[Service]\nRestartSec=50ms\n' | inside tee /run/systemd/system/memseal.service.d/test.conf >/dev/null
inside systemctl daemon-reload; inside systemctl stop memseal
tried() { [ "$(property NRestarts)" -gt 6 ]; }
# comes_late WORDS AWAY BACK: starts without something that AWAY has taken away; BACK brings it back.
comes_late() {
  eval "$2"
  inside systemctl start memseal >/dev/null 2>&1
  check "$1 that is late: it is tried more often than five times" until_true 30 tried || journal | tail -n 5
  eval "$3"
  serves() { client get && is ActiveState active; }
  check 'and comes up when it is there' until_true 30 serves || journal | tail -n 5
  inside systemctl stop memseal
}
comes_late 'a key' "inside mv /etc/memseal/server.key /etc/memseal/late" "inside mv /etc/memseal/late /etc/memseal/server.key"
comes_late 'a configuration' "inside mv /etc/memseal/memseal.yaml /etc/memseal/late" "inside mv /etc/memseal/late /etc/memseal/memseal.yaml"
comes_late 'a port' "inside systemd-run --quiet --unit=holder memcached -u nobody -l 127.0.0.1 -p 11212 -U 0; until_true 10 client reach" \
  "inside systemctl stop holder"
inside sed -i 's/^services:/servcies:/' /etc/memseal/memseal.yaml
inside systemctl start memseal >/dev/null 2>&1
final() { is ActiveState failed && is ExecMainStatus 78 && is NRestarts 0; }
check 'a configuration with a fault is final: 78, and no other try' final
inside sed -i 's/^servcies:/services:/' /etc/memseal/memseal.yaml
inside rm /run/systemd/system/memseal.service.d/test.conf; inside systemctl daemon-reload
check 'it starts when that is mended' inside systemctl start memseal

# --- A second instance.
check 'memseal@second runs beside it' inside systemctl start memseal@second
check 'a get from that one' client get '' 127.0.0.1:11213
check 'it is asked by its own configuration' inside memseal status --config /etc/memseal/second.yaml
inside systemctl stop memseal@second

# --- A socket for the group www-data, and nobody else; the admin socket is closed to it.
cat >>"$root/etc/memseal/memseal.yaml" <<'YAML'
  local:
    listen: "unix:/run/memseal/cache-1.sock"
    socket: { mode: "0660", group: www-data }
    backend: { connect: 127.0.0.1:11211 }
YAML
inside systemctl restart memseal >/dev/null 2>&1
check 'without the drop-in the journal names it' until_true 10 journal_says 'cannot be given to the group www-data .*www-data.conf does it'
inside sh -eu -c 'mkdir -p /etc/systemd/system/memseal.service.d
  cp $(npm root -g)/memseal/config/systemd/memseal.service.d/www-data.conf /etc/systemd/system/memseal.service.d/
  systemctl daemon-reload'
check 'with it memseal starts' inside systemctl restart memseal
as_user() { inside setpriv --reuid "$1" --regid "$(id -g "$1")" --init-groups node /opt/project/test/deploy/client.ts "$2" "unix:/run/memseal/$3"; }
denied() { local said; said=$(as_user "$@" 2>&1); grep -E 'EACCES|EPERM' <<<"$said"; }
check 'www-data sets and gets over its socket' as_user www-data plain cache-1.sock
check 'another user may not' denied nobody reach cache-1.sock
check 'the admin socket is closed to www-data' denied www-data reach admin.sock
check 'and open to the group memseal' inside setpriv --reuid memseal --regid memseal --clear-groups memseal status
exposure=$(score)
check "systemd-analyze security: $exposure, at most 1.6" inside systemd-analyze security --no-pager --threshold=16 memseal
inside rm /etc/systemd/system/memseal.service.d/www-data.conf
inside sed -i '/^  local:/,$d' /etc/memseal/memseal.yaml
inside systemctl daemon-reload

# --- What the unit hides is named: a socket of memcached in /tmp, a key in /home.
inside mkdir -p /home/cache; inside cp /etc/memseal/server.key /home/cache/server.key; inside chmod 644 /home/cache/server.key
inside cp /etc/memseal/memseal.yaml /etc/memseal/visible.yaml
inside sed -i 's|connect: 127.0.0.1:11211|connect: "unix:/tmp/memcached.sock"|' /etc/memseal/memseal.yaml
warned() { inside memseal check 2>&1 | grep -E "warning.*$1" >/dev/null; }
check 'memseal check warns of a socket in /tmp' warned PrivateTmp=yes
inside systemctl restart memseal
check 'systemctl status says why it is not reached' until_true 20 missing 'PrivateTmp=yes'
inside sed -i 's|/etc/memseal/server.key|/home/cache/server.key|' /etc/memseal/memseal.yaml
check 'memseal check warns of a key in /home' warned ProtectHome=yes
inside systemctl restart memseal >/dev/null 2>&1
check 'the journal says why it is not read' journal_says 'server.key cannot be read .*ProtectHome=yes'
inside systemctl stop memseal; inside mv /etc/memseal/visible.yaml /etc/memseal/memseal.yaml

# --- A log of its own.
inside sed -i '1i log: { file: /var/log/memseal/memseal.log }' /etc/memseal/memseal.yaml
check 'with log.file in /var/log/memseal it starts' inside systemctl restart memseal
logged() { inside grep -q "$@" /var/log/memseal/memseal.log; }
check 'and writes its log there' until_true 10 logged '"event":"ready"'
inside mv /var/log/memseal/memseal.log /var/log/memseal/memseal.log.1
check 'systemctl reload' inside systemctl reload memseal
check 'opens it anew' logged '"event":"log-reopened"'
inside systemctl kill --signal=USR1 memseal
debugged() { client reach '' 127.0.0.1:9229 || logged -i debugger; }
check 'SIGUSR1 opens no debugger' sh -c "exit $(debugged 2>/dev/null && echo 1 || echo 0)"
check 'a get' client get
inside sed -i 1d /etc/memseal/memseal.yaml; inside systemctl restart memseal

# --- Stop.
check 'systemctl stop' inside systemctl stop memseal
check 'it ended well' is Result success
check 'the journal says that it drained' until_true 5 journal_says '"event":"ended"' || journal | tail -n 5

# --- Socket activation: memcached on a unix socket, no network of its own.
inside systemctl stop cache
inside mkdir -p /run/memcached; inside chgrp memseal /run/memcached; inside chmod 2771 /run/memcached; inside chown nobody /run/memcached
inside systemd-run --quiet --unit=cache-unix memcached -u nobody -s /run/memcached/memcached.sock -a 0666
inside mkdir -p /etc/systemd/system/memseal.service.d
cp "$units/memseal.service.d/socket-activation.conf" "$root/etc/systemd/system/memseal.service.d/"
inside sed -i 's|listen: "0.0.0.0:11212"|listen: "systemd:memseal"|; s|connect: 127.0.0.1:11211|connect: "unix:/run/memcached/memcached.sock"|' /etc/memseal/memseal.yaml
inside systemctl daemon-reload
check 'systemctl start memseal.socket' inside systemctl start memseal.socket
is ActiveState inactive || fail 'memseal runs before anyone asked'
check 'the first connection starts memseal, and is served: a get over mutual TLS' client get
is PrivateNetwork yes && ok 'it has no network of its own' || fail 'PrivateNetwork is off'
exposure=$(score)
check "systemd-analyze security: $exposure, at most 0.5" inside systemd-analyze security --no-pager --threshold=5 memseal
check 'systemd-analyze verify is silent' verified memseal.service memseal.socket

# A configuration that is refused is not tried as fast as connections come.
inside sed -i 's/^services:/servcies:/' /etc/memseal/memseal.yaml
inside systemctl stop memseal
client reach >/dev/null 2>&1
socket_closed() { [ "$(inside systemctl show memseal.socket -P Result)" = trigger-limit-hit ]; }
check 'with a configuration that is refused the socket is closed, after ten tries' until_true 30 socket_closed
inside sed -i 's/^servcies:/services:/' /etc/memseal/memseal.yaml
inside systemctl reset-failed memseal memseal.socket; 
check 'and opened again when it is mended' inside systemctl start memseal.socket
check 'a get' until_true 20 client get
restart_under_load
check "a restart with socket activation refuses nobody: $tally" [ "$(number refused "$tally")" = 0 ]
check 'systemctl reload' inside systemctl reload memseal
inside systemctl stop memseal
check 'stopped, the next connection starts it' client get
inside systemctl stop memseal.socket memseal
check 'stopped with its socket, it stays away' [ "$(client reach 2>&1 | cut -d' ' -f1)" = ECONNREFUSED ]
