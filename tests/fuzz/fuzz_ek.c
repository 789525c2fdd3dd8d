/* A host's identity document, endorsement keys and their certificates: read or refused, whatever the bytes.
 * The first byte says what the others are. */
#include "admin/host_identity.h"
#include "crypto/credential.h"
#include "crypto/ek.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lh_crypto *crypto;
static lh_ek_authorities *authorities; /* none: nothing leads to one */

static void free_all(void)
{
    lh_ek_authorities_free(authorities);
    lh_crypto_free(crypto);
}

static void try_public(lh_bytes bytes)
{
    enum lh_ek_kind kind = 0;
    uint8_t name[34] = {0};
    lh_buf id = LH_BUF_INIT(LH_CREDENTIAL_ID_OBJECT_MAX);
    lh_buf encrypted = LH_BUF_INIT(LH_CREDENTIAL_ENCRYPTED_MAX);
    lh_secret *secret = NULL;
    if (!lh_ok(lh_ek_check(crypto, bytes, &kind)))
        return;
    if (kind < LH_EK_RSA2048 || kind > LH_EK_P384 || !lh_ok(lh_secret_new(32, &secret)))
        abort();
    if (!lh_ok(lh_credential_make(crypto, bytes, LH_BYTES(name, sizeof name), secret, &id, &encrypted)))
        abort(); /* for each key that is taken, a credential can be made */
    lh_secret_free(secret);
    lh_buf_free(&id);
    lh_buf_free(&encrypted);
}

/* A u16 length and an endorsement key, then a certificate. */
static void try_certificate(lh_bytes bytes)
{
    size_t len = bytes.len >= 2 ? (size_t)bytes.data[0] << 8 | bytes.data[1] : 0;
    if (bytes.len < 2 || len > bytes.len - 2)
        return;
    const lh_bytes der = LH_BYTES(bytes.data + 2 + len, bytes.len - 2 - len);
    if (lh_ok(lh_ek_certificate_check(authorities, &der, 1, LH_BYTES(bytes.data + 2, len), 1795000000)))
        abort();
}

static void try_document(lh_bytes bytes)
{
    lh_host_document document = {0};
    if (!lh_ok(lh_host_document_parse(bytes, &document)))
        return;
    if (document.ek.len == 0 || document.ak.len == 0 || document.n_certificates > LH_LIMIT_EK_CERTIFICATES)
        abort();
    lh_host_document_clear(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Freed at exit, before OpenSSL's own clean-up, which would leave its random generators behind. */
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || !lh_ok(lh_ek_authorities_new(crypto, &authorities)) ||
                       atexit(free_all) != 0))
        abort();
    if (size == 0)
        return 0;
    const lh_bytes bytes = LH_BYTES(data + 1, size - 1);
    if (data[0] == 'p')
        try_public(bytes);
    else if (data[0] == 'c')
        try_certificate(bytes);
    else if (data[0] == 'a')
        (void)!lh_ok(lh_ek_authorities_add(authorities, bytes));
    else
        try_document(bytes);
    return 0;
}
