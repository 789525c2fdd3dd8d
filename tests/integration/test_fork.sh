#!/bin/bash
# fork in every state of an application, on a standalone partition and on the leased one: the child begins anew with a
# login of its own, or goes on without one; the parent is as it was.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_my_roles leased
lh_leased_label
lh_partition vault
enter app vault
answers app "object [0-9]+" pair mine token
answers app "object [0-9]+" key cipher token

expect_output "on a standalone partition" "^after C_Finalize" \
    "$T/tests/fork_states" "$LEASEHOLD_MODULE" vault $USER_PIN states mine cipher
sed 's/^/    /' "$T/last-output"
expect_output "on the leased partition" "^after C_Finalize" \
    "$T/tests/fork_states" "$LEASEHOLD_MODULE" "$LEASED" - states leased -
[ "$(wc -l <"$T/last-output")" = 12 ] || die "states: $(cat "$T/last-output")"
