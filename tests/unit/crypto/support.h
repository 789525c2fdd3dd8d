/* What the tests of this folder share: one context per program, hexadecimal in and out. */
#ifndef TESTS_UNIT_CRYPTO_SUPPORT_H
#define TESTS_UNIT_CRYPTO_SUPPORT_H

#include "base/secret.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static lh_crypto *crypto;

static inline int crypto_setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) ? 0 : -1;
}

static inline int crypto_teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    return 0;
}

/* Hexadecimal to bytes in one of eight rotating static buffers: good for a few values at a time. */
static inline lh_bytes from_hex(const char *hex)
{
    static uint8_t buffers[8][2048];
    static size_t next;
    uint8_t *to = buffers[next++ % 8];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof(buffers[0]));
    assert_int_equal(lh_unhex(hex, to, len).code, LH_OK);
    return LH_BYTES(to, len);
}

static inline lh_secret *secret_hex(const char *hex)
{
    lh_secret *secret = NULL;
    assert_int_equal(lh_secret_copy(from_hex(hex), &secret).code, LH_OK);
    return secret;
}

static inline void assert_bytes_hex(const void *data, size_t len, const char *want)
{
    char hex[4097];
    assert_true(len <= 2048);
    lh_hex(data, len, hex);
    assert_string_equal(hex, want);
}

#define assert_ok(expr) assert_int_equal((expr).code, LH_OK)
#define assert_err(expr, want) assert_int_equal((expr).code, (want))
#define assert_refused(expr, want, token)                                                                    \
    do {                                                                                                     \
        assert_int_equal((expr).code, (want));                                                               \
        assert_string_equal(lh_err_last()->reason, (token));                                                 \
    } while (0)

#endif
