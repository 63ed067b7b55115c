#!/usr/bin/env bash
# The compose files: memcached on an inner network with memseal in front, then an application with a sidecar that reaches
# it. All in a network namespace of its own, so that no bridge, address or firewall rule appears on this machine.
. "$(dirname "$0")/common.sh"
. "$P/test/deploy/containers.sh"
need docker-compose docker-compose; need iptables iptables
build_image >"$W/build.log" 2>&1 || { fail 'the image cannot be built'; tail -n 20 "$W/build.log"; exit; }
mkdir "$W/config"
cp "$P"/config/compose* "$W/config/"
sh "$P/certs-dev/make.sh" --folder "$W/config/certs"
ok 'one command makes the trial certificates'

# here: where containers run. elsewhere: another machine, with a route to all that is in there.
here=memseal-here-$$ elsewhere=memseal-else-$$
ip netns add "$here" 2>/dev/null || skip 'network namespaces are not permitted here'
at_end "ip netns del $here"
ip netns add "$elsewhere"; at_end "ip netns del $elsewhere"
ip link add vh$$ netns "$here" type veth peer name ve$$ netns "$elsewhere" || skip 'there are no veth interfaces here'
ip -n "$here" link set lo up; ip -n "$elsewhere" link set lo up
ip -n "$here" addr add 10.99.0.1/24 dev vh$$; ip -n "$here" link set vh$$ up
ip -n "$elsewhere" addr add 10.99.0.2/24 dev ve$$; ip -n "$elsewhere" link set ve$$ up
ip -n "$elsewhere" route add default via 10.99.0.1

# Not `ip netns exec`: that remounts /sys and hides the cgroups from podman.
in_here() { nsenter --net="/run/netns/$here" "$@"; }
# docker-compose talks to podman as to Docker.
nsenter --net="/run/netns/$here" podman system service --time=0 "unix://$W/podman.sock" >"$W/service.log" 2>&1 & at_end "kill $!"
export DOCKER_HOST=unix://$W/podman.sock COMPOSE_HTTP_TIMEOUT=60
until_true 10 [ -S "$W/podman.sock" ] || { fail 'podman answers'; cat "$W/service.log"; exit; }
compose() { docker-compose -p "$1" -f "$W/config/$2" "${@:3}"; }
client() { nsenter --net="/run/netns/$1" "$NODE" "$P/test/deploy/client.ts" "$2" "$3" "$W/config/certs"; }
logs() { podman logs "$1" 2>&1 | cut -c 1-300 | tail -n 8; }

at_end "CACHE=x:1 docker-compose -p cache -f '$W/config/compose.yaml' down -t 1 -v"
check 'compose.yaml comes up' compose cache compose.yaml up -d --no-build || exit
memseal=$(podman ps --format '{{.Names}}' | grep cache.memseal) memcached=$(podman ps --format '{{.Names}}' | grep cache.memcached)
[ -n "$memseal" ] && [ -n "$memcached" ] || { fail 'its containers run'; sed 's/^/        | /' "$W/said"; exit; }
check 'memseal is healthy' until_true 20 podman healthcheck run "$memseal" || logs "$memseal"
check 'and ready' until_true 20 podman exec "$memseal" memseal status || logs "$memseal"
check 'a get over mutual TLS from this machine' client "$here" get 127.0.0.1:11212 || logs "$memseal"
check 'a get over mutual TLS from another one' client "$elsewhere" get 10.99.0.1:11212 || logs "$memseal"

# memcached: not from this machine's ports, not from another machine, not from a container that is not on the inner network.
address=$(podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$memcached")
unreachable() { local said; said=$(client "$@" 2>&1) && return 1; grep -qE 'ECONNREFUSED|no answer|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT' <<<"$said"; }
check "memcached ($address) has no port on this machine" unreachable "$here" reach 127.0.0.1:11211
check 'nor on its other addresses' unreachable "$elsewhere" reach 10.99.0.1:11211
check 'another machine that knows its address cannot reach it' unreachable "$elsewhere" reach "$address:11211"
outer=$(podman network ls --format '{{.Name}}' | grep outer)
stranger() { in_here podman run --rm --pull never --network "$outer" -v "$P:/opt/project:ro" docker.io/library/node:26.10.0-slim \
  node /opt/project/test/deploy/client.ts reach "$1"; }
check 'a container on the outer network reaches memseal' stranger memseal:11212
strangers_cannot() { ! stranger "$address:11211" && ! stranger memcached:11211; }
check 'and not memcached, by address or name' strangers_cannot
check 'memcached has no UDP' sh -c "! nsenter --net=/proc/$(podman inspect --format '{{.State.Pid}}' "$memcached")/ns/net grep -q ':2BCB ' /proc/net/udp"

in_here podman stop -t 1 "$memcached" >/dev/null 2>&1
not_ready() { ! podman exec "$1" memseal status; }
check 'memcached stopped: not ready' until_true 15 not_ready "$memseal"
check 'and healthy: a restart would mend nothing' podman healthcheck run "$memseal"
in_here podman start "$memcached" >/dev/null
# podman 4.3 changes the hardware addresses of its bridge and of the container with it; the kernel, in memseal's container as in
# any, would go on with those that it knows for a minute.
nsenter --net="/proc/$(podman inspect --format '{{.State.Pid}}' "$memseal")/ns/net" ip neigh flush all
check 'memcached back: ready' until_true 30 podman exec "$memseal" memseal status || logs "$memseal"

# --- The sidecar, and a cache host on the other machine.
mkdir "$W/host"
nsenter --net="/run/netns/$elsewhere" memcached -u nobody -l 127.0.0.1 -U 0 & at_end "kill $!"
nsenter --net="/run/netns/$elsewhere" "$NODE" "$P/src/main.ts" run --listen 10.99.0.2:11212 --allow 10.99.0.0/24 \
  --cert "$W/config/certs/server.crt" --key "$W/config/certs/server.key" --client-ca "$W/config/certs/ca.crt" \
  >"$W/host/log" 2>&1 & at_end "kill $!"
until_true 10 grep -q '"event":"listening"' "$W/host/log" || { fail 'the cache host listens'; cat "$W/host/log"; }
export CACHE=10.99.0.2:11212 CACHE_NAME=localhost
at_end "CACHE=x:1 docker-compose -p side -f '$W/config/compose.sidecar.yaml' down -t 1 -v"
check 'compose.sidecar.yaml comes up' compose side compose.sidecar.yaml up -d --no-build || exit
sidecar=$(podman ps -a --format '{{.Names}}' | grep side.memseal) app=$(podman ps -a --format '{{.Names}}' | grep side.app)
[ -n "$sidecar" ] && [ -n "$app" ] || { fail 'its containers run'; sed 's/^/        | /' "$W/said"; exit; }
check 'the sidecar is healthy' until_true 20 podman healthcheck run "$sidecar" || logs "$sidecar"
check 'and ready' until_true 20 podman exec "$sidecar" memseal status || logs "$sidecar"
greeted() { podman logs "$app" 2>&1 | grep 'VALUE greeting 0 5 hello END' >/dev/null; }
check 'the application gets its value through two memseals' until_true 10 greeted || { logs "$app"; logs "$sidecar"; tail "$W/host/log"; }
check 'and nobody else reaches the sidecar' unreachable "$here" reach 127.0.0.1:11211
compose side compose.sidecar.yaml down >/dev/null 2>&1
unset CACHE CACHE_NAME

check 'a get over mutual TLS' client "$here" get 127.0.0.1:11212
stop() { in_here podman stop -t 10 "$memseal" && [ "$(podman inspect "$memseal" --format '{{.State.ExitCode}}')" = 0 ]; }
check 'memseal ends well' stop
