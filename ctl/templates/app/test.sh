#!/usr/bin/env bash
# Runs what was built in a lattice of its own, asks it, and leaves nothing behind.
set -euo pipefail
built=$(realpath "$1")
. ./lattice.sh

meshctl claims sign "$built"/my_app_front.wasm --issuer .mesh/keys/issuer.nk --name my-app-front --to build/my-app-front.wasm
meshctl claims sign "$built"/my_app_greeter.wasm --issuer .mesh/keys/issuer.nk --name my-app-greeter --to build/my-app-greeter.wasm
meshctl apply -f mesh.yaml --set listen="127.0.0.1:$(free_port)" --wait
says 'Hello, Countess Ada.' meshctl call my-app-front http GET /Countess/Ada
says 'Hello, Ada.' meshctl call my-app-front http GET /Ada
