#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
. ./lattice.sh

meshctl claims sign "$built"/my_actor.wasm --issuer .mesh/keys/issuer.nk --name my-actor --to build/my-actor.wasm
meshctl apply -f mesh.yaml --set listen="127.0.0.1:$(free_port)" --wait
says '1' meshctl call my-actor http GET /orders
says '2' meshctl call my-actor http GET /orders
says '1' meshctl call my-actor http GET /users
