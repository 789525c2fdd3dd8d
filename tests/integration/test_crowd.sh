#!/bin/bash
# A thousand processes with ten sessions each, at once: on a standalone partition, on the leased one, and while another
# user works; what is over a limit is refused and harms nobody else.
. "$(dirname "$0")/lib.sh"

lh_setup
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
ulimit -n "$(ulimit -Hn)"

crowd() {
    # shellcheck disable=SC2016
    "$T/bin/leasehold" dev --partition crowd --so-pin 87654321 --pin 12345678 -- bash -c '
        pkcs11-tool --module "$LEASEHOLD_MODULE" --token-label crowd --login --pin 12345678 \
            --keypairgen --key-type EC:prime256v1 --label many >"$T/keygen" 2>&1 || { cat "$T/keygen"; exit 1; }
        "$T/tests/crowd" "$LEASEHOLD_MODULE" "$@"' crowd "$@"
}

expect_output "a thousand processes and ten thousand sessions of a standalone partition" \
    "signed 5000 errors 0 processes 1000" crowd crowd many 12345678 1000 10 5
expect_output "a thousand processes and ten thousand sessions of the leased partition" \
    "signed 3000 errors 0 processes 1000" crowd leasehold dev-ec - 1000 10 3
