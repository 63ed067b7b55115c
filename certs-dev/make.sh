#!/bin/sh
# Makes the development certificates in this folder: a CA, a server certificate for localhost and a client certificate,
# ECDSA P-256. Leaves them alone while all are there, belong together and stay valid for a day. `make.sh --force`: anew.
# `make.sh --folder DIR`: in DIR instead, for containers (config/compose.yaml).
set -eu
umask 077
usage() { echo "make.sh: $1
usage: make.sh [--force] [--folder DIR]" >&2; exit 2; }
folder= force=
while [ $# -gt 0 ]; do
  case $1 in
    --force) force=1 ;;
    --folder) [ -n "${2-}" ] || usage '--folder needs the name of a folder'; folder=$2; shift ;;
    *) usage "there is no argument $1" ;;
  esac
  shift
done
key_mode=0600
if [ -n "$folder" ]; then
  mkdir -p "$folder"
  cd "$folder"
  # The user in a container is another than the one here, and a file that is mounted there is judged by its own mode:
  # readable by all, in a folder that keeps all others of this host out.
  chmod 0700 .
  key_mode=0644
else
  cd "$(dirname "$0")"
fi

usable() {
  for name in server client; do
    [ -s "$name.key" ] && [ -s "$name.crt" ] || return 1
    openssl x509 -in "$name.crt" -noout -checkend 86400 >/dev/null 2>&1 || return 1
    openssl verify -CAfile ca.crt "$name.crt" >/dev/null 2>&1 || return 1
    public=$(openssl pkey -in "$name.key" -pubout 2>/dev/null) || return 1
    [ "$(openssl x509 -in "$name.crt" -noout -pubkey)" = "$public" ] || return 1
  done
}
[ -n "$force" ] || ! usable || exit 0

work=$(mktemp -d "${TMPDIR:-/tmp}/memseal-certs.XXXXXX")
trap 'rm -rf "$work"' EXIT
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

# All that `openssl req` takes from a configuration: the system's own may be missing, or say something else.
printf '%s\n' '[req]' 'distinguished_name=name' 'x509_extensions=ca' '[name]' '[ca]' 'basicConstraints=critical,CA:TRUE' \
  'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash' >"$work/req.cnf"
export OPENSSL_CONF="$work/req.cnf"

key() { quiet openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -pkeyopt ec_param_enc:named_curve -out "$work/$1.key"; }

leaf() { # leaf NAME COMMON_NAME USE SUBJECT_ALT_NAMES
  key "$1"
  quiet openssl req -new -key "$work/$1.key" -subj "/O=memseal development/CN=$2" -out "$work/$1.csr"
  printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
    "extendedKeyUsage=$3" "subjectAltName=$4" >"$work/$1.ext"
  quiet openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -days 365 -sha256 \
    -set_serial "0x$(openssl rand -hex 15)" -extfile "$work/$1.ext" -out "$work/$1.crt"
}

key ca
quiet openssl req -x509 -new -key "$work/ca.key" -subj '/O=memseal development/CN=memseal development CA' -days 365 \
  -out "$work/ca.crt"
leaf server localhost serverAuth 'DNS:localhost,DNS:memseal,IP:127.0.0.1,IP:::1'
leaf client developer clientAuth 'DNS:developer.localhost'

# The CA's key ends with the work folder: whoever finds this checkout later can sign nothing with it.
for file in ca.crt server.crt server.key client.crt client.key; do mv -f "$work/$file" "$file"; done
chmod 0644 ca.crt server.crt client.crt
chmod "$key_mode" server.key client.key
