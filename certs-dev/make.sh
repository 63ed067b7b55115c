#!/bin/sh
# Makes the development certificates in this folder: a CA, a server certificate for localhost and a client certificate,
# ECDSA P-256. Leaves them alone while all are there, belong together and stay valid for a day. `make.sh --force`: anew.
# `make.sh --folder DIR`: in DIR instead, for containers (config/compose.yaml).
set -eu
umask 077
key_mode=0600
if [ "${1-}" = --folder ]; then
  mkdir -p "$2"
  cd "$2"
  # The user in a container is another than the one here, and a file that is mounted there is judged by its own mode:
  # readable by all, in a folder that keeps all others of this host out.
  chmod 0700 .
  key_mode=0644
  shift 2
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
[ "${1-}" = --force ] || ! usable || exit 0

work=$(mktemp -d "${TMPDIR:-/tmp}/memseal-certs.XXXXXX")
trap 'rm -rf "$work"' EXIT
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

key() { quiet openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$work/$1.key"; }

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
  -addext keyUsage=critical,keyCertSign,cRLSign -out "$work/ca.crt"
leaf server localhost serverAuth 'DNS:localhost,DNS:memseal,IP:127.0.0.1,IP:::1'
leaf client developer clientAuth 'DNS:developer.localhost'

# The CA's key ends with the work folder: whoever finds this checkout later can sign nothing with it.
for file in ca.crt server.crt server.key client.crt client.key; do mv -f "$work/$file" "$file"; done
chmod 0644 ca.crt server.crt client.crt
chmod "$key_mode" server.key client.key
