#!/bin/bash
# What docs/threat-model.md says is shown by tests: each that it names is there, and so is each page.
set -uo pipefail
source=${LEASEHOLD_SOURCE:?}
check() { # FILE: the names of tests in it that there are none of
    local name file
    grep -oE '`(unit\.[a-z_]+|fuzz|integration|clients)\.[a-z0-9_]+`' "$1" | tr -d '`' | sort -u | while read -r name; do
        case $name in
        unit.fault.*) file=fault/test_${name##*.}.c ;;
        unit.*) file=$(cut -d. -f1,2 <<<"$name" | tr . /)/test_${name##*.}.c ;;
        fuzz.*) file=fuzz/fuzz_${name##*.}.c ;;
        integration.*) file=integration/test_${name##*.}.sh ;;
        clients.*) file=integration/clients/test_${name##*.}.sh ;;
        esac
        [ -f "$source/tests/$file" ] || echo "$name: no tests/$file"
    done
    grep -oE '\]\([a-z0-9/.-]+\.md\)' "$1" | tr -d ']()' | while read -r file; do
        [ -f "$source/docs/$file" ] || echo "$file is not there"
    done
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '`unit.object.nothing` and `integration.story`, [a page](none.md)\n' >"$work/wrong.md"
[ "$(check "$work/wrong.md" | wc -l)" = 2 ] || { echo "this test finds nothing"; exit 1; }
page=$source/docs/threat-model.md
[ "$(grep -cE '`(unit|integration|fuzz)\.' "$page")" -ge 8 ] || { echo "the page names too few tests"; exit 1; }
missing=$(check "$page")
[ -z "$missing" ] || { echo "$missing"; exit 1; }
