#!/bin/bash
# Sixteen threads of one process, in sessions of their own and in shared ones: no answer is another's, none hangs.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_my_roles leased
lh_leased_label
lh_partition vault
enter app vault
answers app "object [0-9]+" pair mine token
# Where the daemon hangs, what waits for it ends after a minute; a deadlock in the module never.
expect_output "on a standalone partition" "wrong 0" \
    timeout 100 "$T/tests/threads" "$LEASEHOLD_MODULE" vault $USER_PIN mine 16 4
step "$(tail -n 1 "$T/last-output")"
expect_output "on the leased partition" "wrong 0" \
    timeout 100 "$T/tests/threads" "$LEASEHOLD_MODULE" "$LEASED" - leased 16 3
step "$(tail -n 1 "$T/last-output")"
answers app ok sign
answers app none find t0-0
