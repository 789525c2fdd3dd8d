#!/bin/bash
# ci/check-includes accepts this tree, and names file and line of each include that the table does not allow.
set -u
source=${LEASEHOLD_SOURCE:?}
work=$(mktemp -d /tmp/lh-architecture-XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/docs"
cp -r "$source/src" "$source/token" "$source/tools" "$source/include" "$work/"
cp "$source/docs/architecture.md" "$work/docs/"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

check() { bash "$source/ci/check-includes" "$work" >"$work/out" 2>&1; }

# planted FILE LINE EXPECTED: with LINE put into FILE, the check fails and says EXPECTED of that line
planted() {
    local file=$1 line=$2 expected=$3 number
    [ -e "$work/$file" ] || { fail "there is no $file"; return; }
    cp "$work/$file" "$work/kept"
    printf '%s\n' "$line" >>"$work/$file"
    number=$(wc -l <"$work/$file")
    check && fail "$file: $line: accepted"
    grep -qF "$file:$number: $expected" "$work/out" ||
        fail "$file: $line: nothing says \"$file:$number: $expected\": $(cat "$work/out")"
    [ "$(wc -l <"$work/out")" = 2 ] || fail "$file: $line: something else is refused, too: $(cat "$work/out")"
    cp "$work/kept" "$work/$file"
}

check || fail "the tree as it is: $(cat "$work/out")"
grep -qE '^[1-9][0-9]+ includes in [1-9][0-9]+ files of [1-9][0-9]+ folders' "$work/out" || fail "it read no tree"

# Folders: one above, one beside, the daemon's from the module and the command.
planted src/base/err.c '#include "codec/bin.h"' 'base may not include codec ("codec/bin.h")'
planted src/policy/policy.c '#  include	"crypto/hash.h"' 'policy may not include crypto'
planted src/wire/client.c '#include "proc/child.h" /* for fun */' 'wire may not include proc'
planted src/store/store.h '#include "record/record.h"' 'store may not include record'
planted token/token.h '#include "vault/vault.h"' 'token may not include vault'
planted tools/main.c '#include "record/record.h"' 'tools may not include record'
planted src/tpm/tpm.h '#include <leasehold/leasehold.h>' 'tpm may not include include'
# Libraries: each only where the table has it.
planted src/base/err.c '#include <openssl/evp.h>' 'base may not include openssl (<openssl/evp.h>)'
planted src/vault/core.c '#include <tss2/tss2_esys.h>' 'vault may not include tss2'
planted src/record/record.c '#include <sqlite3.h>' 'record may not include sqlite3'
planted src/wire/client.c '#include <event2/event.h>' 'wire may not include event2'
planted src/policy/policy.c '#include <jansson.h>' 'policy may not include jansson'
planted src/policy/policy.c '#include <libfyaml.h>' 'policy may not include libfyaml'
planted src/identity/exe.c '#include <seccomp.h>' 'identity may not include seccomp'
planted src/daemon/main.c '#include <sys/capability.h>' 'daemon may not include cap'
planted src/vault/core.c '#include <systemd/sd-daemon.h>' 'vault may not include systemd'
planted src/base/err.c '#include <p11-kit/pkcs11.h>' 'base may not include p11-kit'
planted src/base/err.c '#include <curl/curl.h>' 'base may not include <curl/curl.h>: neither libc nor'
# What cannot be told.
planted src/base/err.c '#include "../codec/bin.h"' '#include "../codec/bin.h": paths start at a folder'
planted src/base/err.c '#include SOMETHING' 'an #include that cannot be read'
planted src/base/err.c '#include "nowhere/file.h"' '#include "nowhere/file.h": no folder of the project'

# A folder without a row, a row without a folder.
mkdir "$work/src/extra"
echo '#include <stdio.h>' >"$work/src/extra/extra.c"
check && fail "a folder without a row is accepted"
grep -qF 'src/extra/extra.c: its folder has no row' "$work/out" || fail "a folder without a row: $(cat "$work/out")"
rm -r "$work/src/extra"
sed -i '/^| `src\/log`/p; s/^| `src\/log`/| `src\/logs`/' "$work/docs/architecture.md"
check && fail "a row without a folder is accepted"
grep -qE 'docs/architecture.md:[0-9]+: logs holds no source file' "$work/out" || fail "a row without a folder: $(cat "$work/out")"
cp "$source/docs/architecture.md" "$work/docs/"
sed -i '/^| `src\/policy`/d' "$work/docs/architecture.md"
check && fail "a table without policy is accepted"
rm "$work/docs/architecture.md"
check && fail "no table at all is accepted"

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
echo "includes: all as expected"
