#!/usr/bin/env bash
# The image: built, run hardened on a read-only root, asked for its health, drained by SIGTERM.
. "$(dirname "$0")/common.sh"
. "$P/test/deploy/containers.sh"
certificates
# As secrets are: the key for the group of the image's user alone.
mkdir -m 0755 "$W/secrets"
install -m 0644 "$W/certs/server.crt" "$W/certs/ca.crt" "$W/secrets"
install -m 0640 -g 65532 "$W/certs/server.key" "$W/secrets"
start=$(date +%s)
check 'the Dockerfile builds' build_image || exit
size() { podman image inspect --format '{{.Size}}' "$1"; }
ok "in $(($(date +%s) - start)) s; the image adds $((($(size memseal) - $(size docker.io/library/node:26.10.0-slim)) / 1024)) KiB to its base"
check 'it runs as 65532:65532' [ "$(podman image inspect --format '{{.Config.User}}' memseal)" = 65532:65532 ]

podman pod create --name t --network none >/dev/null || { fail 'a pod can be made'; exit; }
podman run -d --pod t --pull never --name memcached docker.io/library/memcached:1.6 memcached -u node -l 127.0.0.1 -U 0 >/dev/null
# By variables: secrets are files, the root is read-only, no capability, no shell.
start_memseal() {
  podman run -d --pod t --pull never --name memseal --read-only --read-only-tmpfs=false --cap-drop all \
    --security-opt no-new-privileges --memory 256m --pids-limit 64 -v "$W/secrets:/run/secrets:ro" \
    -e MEMSEAL_LISTEN=127.0.0.1:11212 -e MEMSEAL_CERT=/run/secrets/server.crt -e MEMSEAL_KEY=/run/secrets/server.key \
    -e MEMSEAL_CLIENT_CA=/run/secrets/ca.crt "$@" memseal
}
check 'it starts, hardened and read-only' start_memseal || exit
at_end 'podman rm -f memseal'
health() { podman healthcheck run memseal; }
ready() { podman exec memseal memseal status; }
not_ready() { ! ready; }
check 'its health check says healthy' until_true 15 health || podman logs memseal
check 'and it is ready' until_true 15 ready
client() { podman run --rm --pod t --pull never -v "$P:/opt/project:ro" -v "$W/certs:/certs:ro" docker.io/library/node:26.10.0-slim \
  node /opt/project/test/deploy/client.ts "$1" 127.0.0.1:11212 /certs; }
check 'a get over mutual TLS' client get || podman logs memseal
cat "/proc/$(podman inspect --format '{{.State.Pid}}' memseal)/status" >"$W/status"
check 'no capability, no new privileges, system calls filtered' sh -c \
  "grep -q 'CapEff:.*0000000000000000' '$W/status' && grep -q 'NoNewPrivs:.*1' '$W/status' && grep -q 'Seccomp:.*2' '$W/status'"
check 'it is process 1' [ "$(podman exec memseal node -p "require('fs').readFileSync('/proc/1/cmdline', 'utf8').includes('main.js')")" = true ]
check 'its root cannot be written to' sh -c '! "$@"' sh podman exec memseal node -e "require('fs').writeFileSync('/opt/memseal/x', '')"
check '`memseal status` by name' podman exec memseal memseal status
podman stop -t 1 memcached >/dev/null 2>&1
check 'memcached stopped: not ready' until_true 15 not_ready
check 'and healthy all the same: a restart would mend nothing' health
podman start memcached >/dev/null
check 'memcached back: ready' until_true 15 ready
check 'and a get' client get
podman kill -s HUP memseal >/dev/null
reloaded() { podman logs memseal 2>&1 | grep '"event":"reloaded"' >/dev/null; }
check 'SIGHUP reloads' until_true 5 reloaded
start=$(date +%s%N)
podman stop -t 10 memseal >/dev/null 2>&1
took=$((($(date +%s%N) - start) / 1000000))
check "SIGTERM drains and ends it with status 0, after $took ms" [ "$(podman inspect memseal --format '{{.State.ExitCode}}')" = 0 ]

# By a file.
podman rm -f memseal >/dev/null 2>&1
sed 's|/etc/memseal/\(server\.[a-z]*\)|/run/secrets/\1|; s|/etc/memseal/clients.pem|/run/secrets/ca.crt|' "$P/config/memseal.yaml" >"$W/memseal.yaml"
chmod 0644 "$W/memseal.yaml"
by_file() {
  podman run -d --pod t --pull never --name memseal --read-only --read-only-tmpfs=false --cap-drop all \
    -v "$W/secrets:/run/secrets:ro" -v "$W/memseal.yaml:/etc/memseal/memseal.yaml:ro" memseal
}
check 'it starts with the packaged configuration' by_file
check 'healthy' until_true 15 health || podman logs memseal
podman logs memseal >"$W/log" 2>&1
check 'it has nothing to warn of' sh -c "! grep -qi warn '$W/log'" || cat "$W/log"
check 'a get over mutual TLS' client get
podman rm -f memseal >/dev/null 2>&1

# As another user: with group 0, as OpenShift runs images; then with none that may write to the admin socket's folder.
install -m 0640 -g 0 "$W/certs/server.key" "$W/secrets"
check 'as 1000650000:0 it starts' start_memseal --user 1000650000:0
check 'healthy, so that its admin socket is there' until_true 15 health || podman logs memseal
check 'and ready' until_true 15 ready || podman logs memseal
check 'a get over mutual TLS' client get
check 'the socket is open to group 0 and to nobody else' [ "$(podman exec memseal node -p "(require('fs').statSync('/run/memseal/admin.sock').mode & 0o777).toString(8)")" = 660 ]
podman rm -f memseal >/dev/null 2>&1
chmod 0644 "$W/secrets/server.key"
check 'as a user that may not write there it starts as well' start_memseal --user 1000650000:1000650000
check 'and serves' until_true 15 client get || podman logs memseal
logged() { podman logs memseal 2>&1 | grep "$1" >/dev/null; }
check 'the log says that there is no admin socket, and why' logged '"event":"admin-unavailable".*Let the user of memseal write to /run/memseal'
podman rm -f memseal >/dev/null 2>&1
check 'without a configuration it says what to write, and ends' sh -c 'podman run --rm --network none --pull never memseal; [ $? = 78 ]'
