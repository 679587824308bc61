#!/usr/bin/env bash
# The story of a lattice, told with the commands that a person would type: each line after `$` is a command that is
# really run, and what follows it is all that it printed. Whatever the story claims is checked; the first claim that
# does not hold ends it with exit 1. Nothing is left running.
set -euo pipefail

target=${CARGO_TARGET_DIR:?the Makefile sets it} guests=${MESH_GUESTS_TARGET_DIR:?the Makefile sets it}
export PATH="$target/debug:$PATH"
unset MESH_SERVER MESH_CREDS MESH_KEY MESH_LATTICE MESH_CONTEXT

folder=$(mktemp -d "${TMPDIR:-/tmp}/mesh-demo.XXXXXX")
cp "$guests/wasm32-wasip2/release/counter.wasm" "$(dirname "$0")/../examples/counter/mesh.yaml" "$folder"
cd "$folder"
mkdir .said
pids=()

main() {
    trap stop EXIT
    trap 'exit 130' INT TERM
    sign_an_actor
    refuse_a_changed_one
    start_a_lattice
    run_the_actor
    call_it
    kill_a_host
    if [ -t 0 ]; then stay; fi
}

# ---- the story ----------------------------------------------------------------------------------------------------

sign_an_actor() {
    tell "An actor is a WebAssembly component. It is signed with the key of an account; keys are files."
    run meshctl keys gen account issuer.nk
    run meshctl claims sign counter.wasm --issuer issuer.nk --name counter --expires 90d
    run sha256sum counter.wasm
    digest=$(cut -d ' ' -f 1 .said/out)
    meshctl claims show counter.wasm -o json >.said/claims
    issuer=$(json .said/claims 'it["issuer"]')
    equal "the digest in the claims" "$digest" "$(json .said/claims 'it["digest"]')"
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

start_a_lattice() {
    tell "A lattice on this machine: nats-server and two hosts."
    run meshctl up --hosts 2 --detach --port 0
    mapfile -t pids < <(json .mesh/lattice.json '"\n".join(str(pid) for pid in [it["nats_pid"]] + [host["pid"] for host in it["hosts"]])')
    run meshctl get hosts
    equal "the number of ready hosts" 2 "$(count hosts 'each["state"] == "ready"')"
    tell "It runs only what somebody signed whom it trusts."
    run meshctl trust add issuer "$issuer"
}

run_the_actor() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    url=http://127.0.0.1:$port/
    tell "What is wanted stands in one document: the actor on two hosts, a key-value store in NATS, an HTTP server on every" \
        "host behind one address. Nothing calls anything that it is not linked to."
    run cat mesh.yaml
    tell "All of it is checked before anything changes, and what it will do is said first."
    local apply="meshctl apply -f mesh.yaml --set artifact=counter.wasm --set listen=127.0.0.1:$port"
    run "$apply" --dry-run
    shows "starts on every host"
    run "$apply" --wait
    tell "The same once more changes nothing."
    run "$apply"
    shows unchanged
    becomes "the number of actors that are ready on both hosts" 1 count actors 'each["replicas"]["ready"] == 2'
    becomes "the number of hosts that run the HTTP server" 2 running web
    becomes "the number of active links" 2 count links 'each["state"] == "active"'
    run meshctl get actors
    run meshctl get providers
    run meshctl get links
    tell "What runs is what was signed: the issuer, and the digest that sha256sum printed above."
    run meshctl get actors -o json
    equal "the issuer of what runs" "$issuer" "$(json .said/out 'it[0]["issuer"]')"
    equal "the digest of what runs" "$digest" "$(json .said/out 'it[0]["digest"]')"
}

call_it() {
    tell "Every request gets a fresh instance, on one host or the other; the count is in the store."
    counted=0
    for _ in 1 2 3; do
        run curl -sS "$url"
        counts
    done
    for _ in $(seq 40); do
        count_quietly
    done
    becomes "the number of hosts that answered calls" 2 called counter
    tell "Forty more requests, not shown; by now both hosts have answered some:"
    run meshctl get actors -o wide
    run "meshctl get actors -o json | grep '\"calls\"'"
}

kill_a_host() {
    tell "One of the hosts dies without a word."
    run kill -9 "${pids[2]}"
    for _ in 1 2 3; do
        run curl -sS "$url"
        counts
    done
    becomes "the number of lost hosts" 1 count hosts 'each["state"] == "lost"'
    run meshctl get hosts
    shows lost
    run curl -sS "$url"
    counts
    tell "That is the story."
}

stay() {
    tell "It is still up: curl $url, or cd $folder and use meshctl. Ctrl-C stops it and removes the folder."
    trap 'exit 0' INT TERM
    while is_alive "${pids[0]}"; do sleep 1; done
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

# becomes WHAT WANTED COMMAND...: the command has to print what is wanted within 30 seconds.
becomes() {
    local what=$1 wanted=$2 is deadline=$((SECONDS + 30))
    shift 2
    until is=$("$@") && [ "$is" = "$wanted" ]; do
        [ $SECONDS -lt $deadline ] || fail "$what should have become $wanted within 30 s, it is $is"
        sleep 0.2
    done
}

# The value of a Python expression over the JSON document `it` in file $1.
json() { python3 -c 'import json, sys; it = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }

# How many of `meshctl get $1` there are of which $2 is true.
count() {
    meshctl get "$1" -o json >.said/list
    json .said/list "sum(1 for each in it if $2)"
}

# On how many hosts the provider $1 runs.
running() {
    meshctl get providers -o json >.said/list
    json .said/list "sum(host['state'] == 'running' for each in it if each['name'] == '$1' for host in each['hosts'])"
}

# On how many hosts the actor $1 was called.
called() {
    meshctl get actors -o json >.said/list
    json .said/list "sum(host['calls'] > 0 for each in it if each['name'] == '$1' for host in each['hosts'])"
}

# The last command printed the count that follows the one before.
counts() {
    counted=$((counted + 1))
    [ "$(cat .said/out)" = $counted ] || fail "this should have been $counted"
}

count_quietly() {
    curl -sS "$url" >.said/out
    counts
}

# Whether a process runs; one that is dead and not yet collected does not.
is_alive() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

# ---- the end ------------------------------------------------------------------------------------------------------

# Stops all that the story started, sees that it is gone, and removes the folder.
stop() {
    local result=$? left=()
    trap - EXIT
    trap '' INT TERM
    if [ -e .mesh/lattice.json ]; then
        meshctl down --purge >.said/down 2>&1 || { cat .said/down >&2; result=1; }
    fi
    for pid in "${pids[@]}"; do
        for _ in $(seq 20); do if is_alive "$pid"; then sleep 0.1; fi; done
        if is_alive "$pid"; then left+=("$pid"); fi
    done
    if [ ${#left[@]} != 0 ]; then
        echo "demo: still running after 'meshctl down': ${left[*]}" >&2
        kill -9 "${left[@]}" 2>/dev/null || true
        result=1
    fi
    cd /
    rm -rf "$folder"
    exit $result
}

main
