#!/bin/bash
# The story that ci/demo tells, and after each of its steps what the vault says of itself: step, state, sequence of the
# configuration, holds in force.
set -u
source=${LEASEHOLD_SOURCE:?}
[ "$(id -u)" = 0 ] || { echo "skipped: needs root, to run applications as several users"; exit 77; }
work=$(mktemp -d /tmp/lh-story-XXXXXX)
trap 'rm -rf "$work"' EXIT
export LEASEHOLD_DEMO_STATES=$work/states
if ! bash "$source/ci/demo" --story >"$work/out" 2>&1; then
    cat "$work/out"
    exit 1
fi
cat >"$work/expected" <<'STATES'
1 empty - -
2 empty - -
3 founding - -
4 open 0 0
5 open 0 0
6 open 1 0
7 open 2 0
8 open 3 0
9 open 3 0
10 open 3 0
11 open 3 0
12 open 3 0
13 open 3 0
14 open 3 0
15 open 3 0
16 open 4 0
17 open 4 0
18 open 4 0
19 open 4 0
20 open 4 0
21 open 4 0
22 open 5 0
23 open 5 0
24 open 5 0
25 open 5 0
26 open 6 1
27 open 6 1
28 open 7 0
29 open 8 0
30 sealed - -
31 open 8 0
32 open 8 0
33 down - -
STATES
if ! diff -u "$work/expected" "$work/states"; then
    echo "the vault's states are not those of the story"
    cat "$work/out"
    exit 1
fi
[ "$(grep -c '^ok ' "$work/out")" = 33 ] || { cat "$work/out"; exit 1; }
cat "$work/out"
