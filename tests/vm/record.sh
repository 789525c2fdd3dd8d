#!/bin/bash
# Boots the guest once and writes what its firmware, its kernel and its TPM say of that boot to FOLDER: facts for unit tests
# and fuzz corpora (tests/vm/logs was made by this).
#
#   events.bin   the firmware's event log, as /sys/kernel/security/tpm0/binary_bios_measurements gives it
#   ima.bin      the kernel's measurements, as /sys/kernel/security/ima/binary_runtime_measurements gives them (template
#                ima-sig, little-endian), up to the quote and not further
#   pcrs.txt     PCR and value of the SHA-256 bank, a line each
#   quote.bin    TPMS_ATTEST over PCRs 0-10 of that bank, qualifying data 00 01 02 … 1f
#   quote.sig    TPMT_SIGNATURE (ECDSA, SHA-256) of it
#   ak.pub       TPMT_PUBLIC of the key that signed it, in the endorsement hierarchy
#
# Usage: LEASEHOLD_BUILD=… LEASEHOLD_SOURCE=… record.sh IMAGES FOLDER      IMAGES: what image.sh printed
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/machine.sh"
images=$1 folder=$2
lh_setup
"$LEASEHOLD_SOURCE/tests/vm/product.sh" "$LEASEHOLD_BUILD" "$T/product.ext4" >"$T/last-output" 2>&1
vm_setup "$images" "$T/product.ext4" "$T/none.sock"
vm_start
export VM_SECONDS=120
expect_ok "an attestation key" vm "mkdir /tmp/q; cd /tmp/q; export TPM2TOOLS_TCTI=device:/dev/tpmrm0;
    tpm2_createek -Q -G ecc256 -c ek && tpm2_createak -Q -C ek -c ak -G ecc -g sha256 -s ecdsa -u ak.2b -f tss"
# All the programs that are needed run once before the quote counts: what they add to the log is then in it already.
quote='cd /tmp/q && export TPM2TOOLS_TCTI=device:/dev/tpmrm0 && tpm2_quote -Q -c ak -g sha256 -l sha256:0,1,2,3,4,5,6,7,8,9,10
 -q 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -m quote.bin -s quote.sig -f tss &&
 cat /sys/kernel/security/tpm0/binary_bios_measurements >events.bin &&
 cat /sys/kernel/security/ima/binary_runtime_measurements >ima.bin &&
 tail -c +3 ak.2b >ak.pub && for n in $(seq 0 23); do echo $n $(cat /sys/class/tpm/tpm0/pcr-sha256/$n); done | tr A-F a-f >pcrs.txt &&
 base64 -w0 pcrs.txt >all'
expect_ok "everything once" vm "$quote"
expect_ok "a quote" vm "$quote"
mkdir -p "$folder"
for file in events.bin ima.bin pcrs.txt quote.bin quote.sig ak.pub; do
    vm "base64 -w0 /tmp/q/$file" | base64 -d >"$folder/$file"
done
vm_stop
(cd "$folder" && wc -c events.bin ima.bin pcrs.txt quote.bin quote.sig ak.pub)
