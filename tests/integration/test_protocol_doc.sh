#!/bin/bash
# docs/protocol.md has a row for every row of the call table, with its number, its first version and a section of
# every struct; and none that is not in the table.
set -u
source=${LEASEHOLD_SOURCE:?}
doc=$source/docs/protocol.md
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
calls=$source/src/wire/calls.c
# The rows of the table: "{LH_CALL_X, "name", version, …".
mapfile -t rows < <(sed -n '/^static const lh_call_row rows/,/^};/p' "$calls" | tr '\n' ' ' |
    grep -oE '\{LH_CALL_[A-Z_]+, "[a-z_]+", [0-9]+' | sed 's/[{",]//g')
[ ${#rows[@]} -ge 18 ] || fail "found ${#rows[@]} rows in $calls only"
for row in "${rows[@]}"; do
    read -r id name version <<<"$row"
    number=$(sed -nE "s/^ *$id = ([0-9]+),.*/\1/p" "$source/src/wire/calls.h")
    grep -qE "^\| $number \| \`$name\` \| $version \|" "$doc" || fail "$name (number $number, version $version) has no row"
done
documented=$(grep -cE '^\| [0-9]+ \| `[a-z_]+` \| [0-9]+ \|' "$doc")
[ "$documented" -eq ${#rows[@]} ] || fail "$documented calls are documented, ${#rows[@]} exist"
# Every field of every shape is named.
for field in $(sed -n '/^SHAPE(/,/^#define TOKEN/p' "$calls" | tr '\n' ' ' |
    grep -oE '(U8|U16|U32|U64|RAW|STR|BLOB)\(lh_[a-z_]+, [a-z_]+' | sed 's/.*, //' | sort -u); do
    grep -q "\`$field\`" "$doc" || fail "field $field is not described"
done
# The frames of links likewise: number, name, who sends it and on which stream, and every field in the row.
link=$source/src/wire/link.c
mapfile -t frames < <(sed -n '/^static const lh_link_row rows/,/^};/p' "$link" | tr '\n' ' ' |
    grep -oE '\{LH_LINK_[A-Z_]+, "[a-z_]+", [A-Z]+, [A-Z]+' | sed 's/[{",]//g')
[ ${#frames[@]} -ge 14 ] || fail "found ${#frames[@]} frames in $link only"
for row in "${frames[@]}"; do
    read -r id name side stream <<<"$row"
    number=$(sed -nE "s/^ *$id = ([0-9]+),.*/\1/p" "$source/src/wire/link.h")
    case $stream in NONE) stream=0 ;; ONE) stream='≠ 0' ;; ANY) stream=any ;; esac
    line=$(grep -E "^\| $number \| \`$name\` \| ${side,,} \| $stream \|" "$doc") || { fail "frame $name (type $number, from ${side,,}, stream $stream) has no row"; continue; }
    for field in $(tr '\n' ' ' <"$link" | grep -oE "SHAPE\($name, [^;]*;" | grep -oE '(U8|U16|U32|U64|RAW|STR|BLOB)\(lh_link_[a-z_]+, [a-z_]+' | sed 's/.*, //'); do
        grep -q "\`$field\`" <<<"$line" || fail "field $field of frame $name is not described"
    done
done
documented=$(grep -cE '^\| [0-9]+ \| `[a-z_]+` \| (agent|vault|both) \|' "$doc")
[ "$documented" -eq ${#frames[@]} ] || fail "$documented frames are documented, ${#frames[@]} exist"
[ $failed -eq 0 ] && echo "${#frames[@]} frames are documented"
[ $failed -eq 0 ] && echo "${#rows[@]} calls are documented"
exit $failed
