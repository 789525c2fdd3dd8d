/* For this folder only: what identity.c and channel.c share. */
#ifndef LH_CHANNEL_INTERNAL_H
#define LH_CHANNEL_INTERNAL_H

#include "channel/channel.h"

#include <openssl/ssl.h>

struct lh_channel_identity {
    lh_crypto *crypto;
    SSL_CTX *ctx;
    uint8_t hash[LH_CHANNEL_HASH];
};

/* What the check of the other side's certificate needs and finds; SSL's application data. */
typedef struct {
    lh_crypto *crypto;
    bool pinned; /* pin is set: the other side's key must be that */
    uint8_t pin[LH_CHANNEL_HASH];
    uint8_t peer[LH_CHANNEL_HASH];
    const char *refusal; /* a static token, where the check failed */
} lh_channel_check;

/* LH_E_CRYPTO with OpenSSL's last error; empties its queue. */
lh_err lh_channel_raise(const char *file, int line, const char *what);
#define LH_TLS_FAIL(what) lh_channel_raise(__FILE__, __LINE__, (what))

#endif
