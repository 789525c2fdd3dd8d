/* What the tests of key pairs share: rows that were tried, keys from parts, one-shot operations. */
#ifndef TESTS_UNIT_CRYPTO_PAIR_FIXTURE_H
#define TESTS_UNIT_CRYPTO_PAIR_FIXTURE_H

#include "base/macro.h"
#include "crypto/key.h"
#include "crypto/operation.h"

#include "support.h"

#include <leasehold/pkcs11-3.h>
#include <stdio.h>

#define MESSAGE LH_BYTES_STR("leasehold test message")

/* The rows that some test carried out, by index. */
static bool tried[512];

static inline const lh_mechanism *row(const char *name)
{
    for (size_t i = 0; i < lh_mechanism_count(); i++)
        if (strcmp(lh_mechanism_at(i)->name, name) == 0) {
            tried[i] = true;
            return lh_mechanism_at(i);
        }
    fail_msg("no row %s", name);
    return lh_mechanism_at(0);
}

/* Every row for keys of those types that the libcrypto at hand offers was tried by a test before this one. */
static inline void assert_all_tried(uint32_t types)
{
    size_t count = 0;
    (void)lh_mechanism_asymmetric(&count);
    for (size_t i = 0; i < count; i++)
        if ((lh_mechanism_at(i)->keys & types) != 0 && lh_crypto_offers(crypto, lh_mechanism_at(i)) &&
            !tried[i])
            fail_msg("no test of %s", lh_mechanism_at(i)->name);
}

/* As from_hex, good for some more values at a time. */
static inline lh_bytes hex_of(const char *hex)
{
    static uint8_t buffers[32][1100];
    static size_t next;
    uint8_t *to = buffers[next++ % 32];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof(buffers[0]));
    assert_ok(lh_unhex(hex, to, len));
    return LH_BYTES(to, len);
}

static inline lh_bytes ulong_of(uint64_t v)
{
    static uint8_t buffers[4][8];
    static size_t next;
    uint8_t *to = buffers[next++ % 4];
    for (size_t i = 0; i < 8; i++)
        to[i] = (uint8_t)(v >> (8 * (7 - i)));
    return LH_BYTES(to, 8);
}

static inline void put_u32(lh_buf *buf, size_t v)
{
    const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    lh_buf_append(buf, be, 4);
}

static inline void put_blob(lh_buf *buf, lh_bytes value)
{
    put_u32(buf, value.len);
    lh_buf_append(buf, value.data, value.len);
}

#define import_ok(type, class, ...)                                                                          \
    import_parts((type), (class), (const lh_key_part[]){__VA_ARGS__},                                        \
        sizeof((const lh_key_part[]){__VA_ARGS__}) / sizeof(lh_key_part), NULL)
#define import_refused(type, class, reason, ...)                                                             \
    import_parts((type), (class), (const lh_key_part[]){__VA_ARGS__},                                        \
        sizeof((const lh_key_part[]){__VA_ARGS__}) / sizeof(lh_key_part), (reason))

/* The key; or NULL, refused with that reason. */
static inline lh_key *import_parts(
    unsigned long type, unsigned long class, const lh_key_part *parts, size_t count, const char *reason)
{
    lh_key *key = NULL;
    lh_err err = lh_key_import(crypto, type, class, (lh_key_parts){parts, count}, &key);
    if (reason) {
        assert_int_equal(err.code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, reason);
        assert_null(key);
    } else if (!lh_ok(err)) {
        fail_msg("%s: %s", lh_err_last()->reason, lh_err_last()->message);
    }
    return key;
}

static inline lh_key *generate_parts(
    const char *name, const lh_key_part *parts, size_t count, const char *reason)
{
    lh_key *key = NULL;
    lh_err err = lh_key_generate(crypto, row(name), LH_BYTES_NONE, (lh_key_parts){parts, count}, &key);
    if (reason) {
        assert_int_equal(err.code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, reason);
        assert_null(key);
    } else if (!lh_ok(err)) {
        fail_msg("%s: %s", lh_err_last()->reason, lh_err_last()->message);
    }
    return key;
}

typedef struct {
    const lh_key *key;
    const char *name;
    lh_bytes params;
} tool;

/* One use; what comes out stands in out, which is emptied first. */
static inline lh_err use(tool t, unsigned what, lh_bytes data, lh_bytes signature, lh_buf *out)
{
    lh_buf_clear(out);
    const lh_op_request request = {.key = t.key,
        .row = row(t.name),
        .use = what,
        .params = t.params,
        .data = data,
        .signature = signature};
    return lh_op_once(crypto, &request, out);
}

/* The signature verifies, in parts too where the row has them; one flipped bit, other data and a cut
 * signature do not. */
static inline void verify_strictly(tool t, lh_bytes data, lh_bytes signature)
{
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    LH_AUTO(lh_buf_free) lh_buf changed = LH_BUF_INIT(65536);
    assert_ok(use(t, LH_USE_VERIFY, data, signature, &none));
    for (size_t at = 0; at < signature.len; at += signature.len / 3) {
        lh_buf_clear(&changed);
        lh_buf_append(&changed, signature.data, signature.len);
        changed.data[at] ^= 0x04;
        assert_err(use(t, LH_USE_VERIFY, data, lh_buf_bytes(&changed), &none), LH_E_SIGNATURE);
    }
    assert_refused(use(t, LH_USE_VERIFY, data, LH_BYTES(signature.data, signature.len - 1), &none),
        LH_E_INVALID, "signature-length");
    lh_buf_clear(&changed);
    lh_buf_append(&changed, data.data, data.len);
    changed.data[0] ^= 1;
    assert_err(use(t, LH_USE_VERIFY, lh_buf_bytes(&changed), signature, &none), LH_E_SIGNATURE);
    if (!row(t.name)->multipart)
        return;
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    assert_ok(lh_op_begin(crypto, t.key, row(t.name), LH_USE_VERIFY, t.params, &op));
    for (size_t i = 0; i < data.len; i++)
        assert_ok(lh_op_update(op, LH_BYTES(data.data + i, 1), &none));
    assert_ok(lh_op_finish(op, signature, &none));
}

/* Sign, whole and (where the row has them) in parts; both verify, with the length that is foretold. */
static inline void sign_and_verify(tool t, lh_bytes data)
{
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(65536);
    assert_ok(use(t, LH_USE_SIGN, data, LH_BYTES_NONE, &made));
    assert_int_equal(
        made.len, lh_mechanism_output_len(row(t.name), LH_USE_SIGN, lh_key_bits(t.key), data.len));
    verify_strictly(t, data, lh_buf_bytes(&made));
    if (!row(t.name)->multipart)
        return;
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    lh_buf_clear(&made);
    assert_ok(lh_op_begin(crypto, t.key, row(t.name), LH_USE_SIGN, t.params, &op));
    for (size_t i = 0; i < data.len; i += 7)
        assert_ok(lh_op_update(op, LH_BYTES(data.data + i, data.len - i < 7 ? data.len - i : 7), &made));
    assert_ok(lh_op_finish(op, LH_BYTES_NONE, &made));
    verify_strictly(t, data, lh_buf_bytes(&made));
}

/* What lh_key_export told. */
typedef struct {
    lh_key_part parts[16];
    bool secret[16];
    uint8_t bytes[16][16384];
    size_t count;
} exported;

static inline lh_err keep_part(void *arg, unsigned long type, lh_bytes value, bool secret)
{
    exported *all = arg;
    assert_true(all->count < LH_ARRAY_LEN(all->parts) && value.len <= sizeof(all->bytes[0]) && value.len > 0);
    memcpy(all->bytes[all->count], value.data, value.len);
    all->parts[all->count] = (lh_key_part){type, LH_BYTES(all->bytes[all->count], value.len)};
    all->secret[all->count++] = secret;
    return LH_SUCCESS;
}

static inline lh_bytes part_of(const exported *all, unsigned long type)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->parts[i].type == type)
            return all->parts[i].value;
    return LH_BYTES_NONE;
}

/* Export both halves of a pair and import them again: ret_public verifies, ret_private signs. */
static inline void export_and_import(const lh_key *key, lh_key **ret_private, lh_key **ret_public)
{
    static exported all;
    const unsigned long classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    lh_key **const to[] = {ret_private, ret_public};
    for (size_t i = 0; i < 2; i++) {
        all.count = 0;
        assert_ok(lh_key_export(key, classes[i], keep_part, &all));
        bool any_secret = false;
        for (size_t j = 0; j < all.count; j++)
            any_secret = any_secret || all.secret[j];
        assert_int_equal(any_secret, classes[i] == CKO_PRIVATE_KEY);
        assert_true(part_of(&all, CKA_PUBLIC_KEY_INFO).len > 0);
        *to[i] = import_parts(lh_key_ck_type(key), classes[i], all.parts, all.count, NULL);
        assert_int_equal(lh_key_bits(*to[i]), lh_key_bits(key));
        assert_int_equal(lh_key_has_private(*to[i]), classes[i] == CKO_PRIVATE_KEY);
    }
    assert_refused(lh_key_export(*ret_public, CKO_PRIVATE_KEY, keep_part, &all), LH_E_INVALID, "key-type");
    assert_refused(lh_key_export(key, CKO_SECRET_KEY, keep_part, &all), LH_E_INVALID, "key-type");
}

#endif
