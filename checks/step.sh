#!/usr/bin/env bash
# step.sh NAME COMMAND...: runs a command and says, on standard error, how it ended and how long it took.
set -uo pipefail
name=$1
shift
start=$(date +%s)
"$@"
result=$?
[ $result = 0 ] && how=ok || how="failed ($result)"
printf '== %s: %s, %d s\n' "$name" "$how" "$(($(date +%s) - start))" >&2
exit $result
