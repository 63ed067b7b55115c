# podman and buildah with a store of their own, and base images made of this machine's files: what Docker Hub holds need
# not be fetched, so this runs anywhere. Sourced by container.sh and compose.sh after common.sh.
need_root
need podman podman; need buildah buildah; need runc runc; need catatonit catatonit; need openssl openssl; need memcached memcached
need iproute2 ip; need util-linux nsenter
# These two are not on PATH.
helpers() { for helper in netavark aardvark-dns; do [ -x "/usr/lib/podman/$helper" ] || [ -x "/usr/libexec/podman/$helper" ] || return 1; done; }
helpers || { install_package netavark && install_package aardvark-dns && helpers; } || skip 'there is no netavark or no aardvark-dns'

cat >"$W/containers.conf" <<'CONF'
[containers]
# The defaults ask for more than a virtual machine may be allowed to set.
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
# crun refuses hybrid cgroups.
runtime = "runc"
cgroup_manager = "cgroupfs"
CONF
printf 'tmp_dir = "%s/tmp"\n[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "%s/networks"\n' "$W" "$W" >>"$W/containers.conf"
# netavark keeps its addresses here, whatever the configuration says.
[ -e /run/containers ] || at_end 'rm -rf --one-file-system /run/containers'
printf '[storage]\ndriver="overlay"\ngraphroot="%s/store"\nrunroot="%s/run"\n' "$W" "$W" >"$W/storage.conf"
export CONTAINERS_CONF=$W/containers.conf CONTAINERS_STORAGE_CONF=$W/storage.conf
at_end 'podman system reset -f'
unshare --mount --net true 2>/dev/null || skip 'new namespaces are not permitted here'
podman info >"$W/podman.log" 2>&1 || skip "podman does not work here: $(tail -n 1 "$W/podman.log")"

# standin IMAGE BINARY...: these binaries and the libraries that they load, npm, and the machine's authorities.
standin() {
  local image=$1 folder file library; shift
  folder=$(mktemp -d "$W/image.XXXX")
  mkdir -p "$folder"/{proc,sys,dev,root,etc/ssl/certs,usr/bin,usr/local/bin,usr/local/lib/node_modules,lib/x86_64-linux-gnu}
  mkdir -m 1777 "$folder/tmp"
  ln -s usr/bin "$folder/bin"
  for file in /bin/sh /usr/bin/env /bin/mkdir /bin/rm /bin/ln /bin/chmod "$@"; do
    install -D "$file" "$folder/usr/bin/$(basename "$file")"
    ldd "$file" 2>/dev/null | grep -oE '/[^ ]+\.so[^ ]*'
  done | sort -u | while read -r library; do install -D "$(readlink -f "$library")" "$folder$library"; done
  for library in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
    file=$(ldconfig -p | sed -n "s/.*$library .*=> //p" | head -n 1)
    [ -z "$file" ] || install -D "$(readlink -f "$file")" "$folder/lib/x86_64-linux-gnu/$library"
  done
  cp -a "$(dirname "$(dirname "$(readlink -f "$(PATH=/usr/local/bin:/usr/bin:/bin command -v npm)")")")" "$folder/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$folder/usr/local/bin/npm"
  cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  echo 'hosts: files dns' >"$folder/etc/nsswitch.conf"
  printf 'root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/tmp:/bin/sh\n' >"$folder/etc/passwd"
  printf 'root:x:0:\nnode:x:1000:\n' >"$folder/etc/group"
  tar -C "$folder" -c . | podman import -q --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
    --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - "$image" >/dev/null
  local status=$?
  rm -rf "$folder"
  return $status
}

# What the script before has made (run.sh says where), so that it is made once.
images=${DEPLOY_IMAGES:+$DEPLOY_IMAGES/images.tar}
if [ -f "$images" ]; then podman load -q -i "$images" >/dev/null || { fail 'the images of the script before can be loaded'; exit; }
else
  standin docker.io/library/memcached:1.6 /usr/bin/memcached && standin docker.io/library/node:26.10.0-slim "$NODE" ||
    { fail 'base images can be made of the files of this machine'; exit; }
fi
podman run --rm --network none --pull never docker.io/library/memcached:1.6 sh -c : >"$W/podman.log" 2>&1 ||
  skip "containers do not run here: $(tail -n 1 "$W/podman.log")"

build_image() {
  [ -f "$images" ] && return
  buildah build --isolation chroot --format docker --pull-never --network host -t memseal "$P" || return
  [ -z "$images" ] || podman save -q -m -o "$images" memseal docker.io/library/node:26.10.0-slim docker.io/library/memcached:1.6
}
