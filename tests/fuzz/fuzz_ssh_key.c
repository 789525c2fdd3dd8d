/* OpenSSH key blobs and signature blobs. Input: u16 length of a key blob, the blob, then a signature blob
 * over fixed data. */
#include "crypto/ssh.h"

#include <stdlib.h>

static lh_crypto *crypto;

/* Freed at the end: what OpenSSL keeps in its secure heap looks leaked to a sanitizer, which cannot see
 * there. */
static void stop(void)
{
    lh_crypto_free(crypto);
}

static void start(void)
{
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || atexit(stop) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    if (size < 2)
        return 0;
    size_t key_len = (size_t)data[0] << 8 | data[1];
    if (key_len > size - 2)
        key_len = size - 2;
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    if (!lh_ok(lh_ssh_key_parse(crypto, LH_BYTES(data + 2, key_len), &key))) {
        if (key)
            abort();
        return 0;
    }
    if (!lh_ssh_key_type(key))
        abort();
    lh_bytes signature = LH_BYTES(data + 2 + key_len, size - 2 - key_len);
    lh_err err = lh_ssh_verify(crypto, key, signature, LH_BYTES_STR("the signed data"));
    /* Nothing but a verdict: a fault here would be one that an outsider can cause. */
    if (err.code != LH_OK && err.code != LH_E_SIGNATURE)
        abort();
    return 0;
}
