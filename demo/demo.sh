#!/usr/bin/env bash
# The story of a lattice, told with the commands that a person would type: each line after `$` is a command that is
# really run, and what follows it is all that it printed. Whatever the story claims is checked; the first claim that
# does not hold ends it with exit 1.
set -euo pipefail

target=${CARGO_TARGET_DIR:?the Makefile sets it} guests=${MESH_GUESTS_TARGET_DIR:?the Makefile sets it}
export PATH="$target/debug:$PATH"
unset MESH_SERVER MESH_CREDS MESH_KEY MESH_LATTICE MESH_CONTEXT

folder=$(mktemp -d "${TMPDIR:-/tmp}/mesh-demo.XXXXXX")
cp "$guests/wasm32-wasip2/release/counter.wasm" "$folder"
cd "$folder"
mkdir .said

main() {
    trap stop EXIT
    trap 'exit 130' INT TERM
    sign_an_actor
    refuse_a_changed_one
}

# ---- the story ----------------------------------------------------------------------------------------------------

sign_an_actor() {
    tell "An actor is a WebAssembly component. It is signed with the key of an account; keys are files."
    run meshctl keys gen account issuer.nk
    run meshctl claims sign counter.wasm --issuer issuer.nk --name counter --expires 90d
    run sha256sum counter.wasm
    digest=$(cut -d ' ' -f 1 .said/out)
    meshctl claims show counter.wasm -o json >.said/claims
    equal "the digest in the claims" "$digest" "$(json .said/claims 'it["digest"].removeprefix("sha256:")')"
    tell "The digest is what sha256sum says of the file. What the actor needs, and what it serves:"
    run meshctl inspect counter.wasm
    shows "wasi:keyvalue/atomics"
    shows "wasi:http/incoming-handler"
}

refuse_a_changed_one() {
    tell "One changed byte, and the signature no longer stands for it."
    run cp counter.wasm changed.wasm
    run "printf '!' | dd of=changed.wasm bs=1 seek=20000 conv=notrunc status=none"
    refused 4 meshctl claims show changed.wasm
}

# ---- telling and checking -----------------------------------------------------------------------------------------

tell() { printf '\n# %s\n' "$*"; }

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

# Shows a command, runs it, shows what it prints and keeps it for the checks. It has to succeed.
run() {
    printf '$ %s\n' "$*"
    local result=0
    { eval "$*" | tee .said/out; } 2>&1 || result=$?
    [ $result = 0 ] || fail "the command failed with exit $result"
}

# The same for a command that has to be refused with exit code $1.
refused() {
    local wanted=$1 result=0
    shift
    printf '$ %s\n' "$*"
    eval "$*" 2>&1 || result=$?
    [ $result = "$wanted" ] || fail "the command ended with exit $result, it should have been refused with exit $wanted"
    echo "(exit $result)"
}

# What the last command printed has to contain $1.
shows() { grep -qF -- "$1" .said/out || fail "the output above should show: $1"; }

# equal WHAT WANTED IS
equal() { [ "$2" = "$3" ] || fail "$1 should be $2, it is $3"; }

# The value of a Python expression over the JSON document `it` in file $1.
json() { python3 -c 'import json, sys; it = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }

# ---- the end ------------------------------------------------------------------------------------------------------

# Removes the folder.
stop() {
    local result=$?
    trap - EXIT
    trap '' INT TERM
    cd /
    rm -rf "$folder"
    exit $result
}

main
