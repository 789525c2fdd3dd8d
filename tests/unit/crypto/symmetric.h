/* What the tests of secret keys' mechanisms share: keys from hexadecimal, parameters as on the wire. */
#ifndef TESTS_UNIT_CRYPTO_SYMMETRIC_H
#define TESTS_UNIT_CRYPTO_SYMMETRIC_H

#include "crypto/key.h"
#include "support.h"

#include <leasehold/pkcs11-3.h>

static inline const lh_mechanism *row(const char *name)
{
    const lh_mechanism *found = lh_mechanism_by_name(name);
    if (!found)
        fail_msg("no row %s", name);
    return found;
}

static inline lh_key *key_of(unsigned long ck_type, lh_bytes value)
{
    lh_key_part part = {CKA_VALUE, value};
    lh_key *key = NULL;
    assert_ok(lh_key_import(crypto, ck_type, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key));
    return key;
}

static inline lh_key *key_hex(unsigned long ck_type, const char *hex)
{
    return key_of(ck_type, from_hex(hex));
}

static inline void put_u32(lh_buf *buf, uint64_t v)
{
    const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    lh_buf_append(buf, be, 4);
}

static inline void put_u64(lh_buf *buf, uint64_t v)
{
    put_u32(buf, v >> 32);
    put_u32(buf, v & 0xffffffff);
}

static inline void put_u8(lh_buf *buf, unsigned v)
{
    const uint8_t byte = (uint8_t)v;
    lh_buf_append(buf, &byte, 1);
}

static inline void put_blob(lh_buf *buf, lh_bytes bytes)
{
    put_u32(buf, bytes.len);
    lh_buf_append(buf, bytes.data, bytes.len);
}

#endif
