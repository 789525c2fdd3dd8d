/* Armored SSH signatures: what an officer, or anyone who can reach the admin socket, hands in. */
#include "codec/sshsig.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    lh_buf text = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    lh_sshsig sig;
    if (lh_ok(lh_sshsig_parse(LH_BYTES(data, size), &raw, &sig))) {
        const uint8_t hash[64] = {0};
        size_t len = sig.hash == LH_SSHSIG_SHA256 ? 32 : 64;
        /* What was read borrows from raw, and makes a preamble. */
        if (sig.public_key.len + sig.signature.len > raw.len || sig.namespace[0] == '\0' ||
            !lh_ok(lh_sshsig_signed_data(sig.namespace, sig.hash, LH_BYTES(hash, len), &text)))
            abort();
        lh_buf_clear(&text);
        char type[LH_SSH_KEY_TYPE_MAX + 1];
        LH_IGNORE(lh_pubkey_blob_type(sig.public_key, type)); /* any answer will do */
    }
    lh_buf_free(&text);
    lh_buf_free(&raw);
    return 0;
}
