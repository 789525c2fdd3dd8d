/* Certificates that officers attach: read or refused, whatever the bytes. */
#include "crypto/x509.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lh_crypto *crypto;

static void free_crypto(void)
{
    lh_crypto_free(crypto);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_x509 certificate = {0};
    /* Freed at exit, before OpenSSL's own clean-up, which would leave its random generators behind. */
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || atexit(free_crypto) != 0))
        abort();
    if (!lh_ok(lh_x509_parse(crypto, LH_BYTES(data, size), &certificate)))
        return 0;
    if (certificate.spki.len == 0 || certificate.subject.len == 0 || certificate.serial.len == 0)
        abort();
    lh_x509_clear(&certificate);
    return 0;
}
