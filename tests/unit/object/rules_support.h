/* Templates for the tests of the rules, written as lists. */
#ifndef TEST_OBJECT_RULES_SUPPORT_H
#define TEST_OBJECT_RULES_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"
#include "object/rules.h"

#define NOW INT64_C(1800000000) /* 2027-01-15 */

typedef struct {
    unsigned long type;
    char form; /* 'b' bool, 'u' number, 's' text, 'e' empty */
    uint64_t number;
    const char *text;
} item;

#define B(type, v)                                                                                           \
    {                                                                                                        \
        type, 'b', v, NULL                                                                                   \
    }
#define U(type, v)                                                                                           \
    {                                                                                                        \
        type, 'u', v, NULL                                                                                   \
    }
#define S(type, v)                                                                                           \
    {                                                                                                        \
        type, 's', 0, v                                                                                      \
    }

#define AUTO LH_AUTO(lh_attributes_freep) lh_attributes *
#define TEMPLATE(...)                                                                                        \
    new_template((const item[]){__VA_ARGS__}, sizeof((const item[]){__VA_ARGS__}) / sizeof(item))
#define EMPTY_TEMPLATE new_template(NULL, 0)

static inline lh_attributes *new_template(const item *items, size_t count)
{
    lh_attributes *set = NULL;
    assert_true(lh_ok(lh_attributes_new(&set)));
    for (size_t i = 0; i < count; i++) {
        if (items[i].form == 'b')
            assert_true(lh_ok(lh_attributes_set_bool(set, items[i].type, items[i].number != 0)));
        else if (items[i].form == 'u')
            assert_true(lh_ok(lh_attributes_set_ulong(set, items[i].type, items[i].number)));
        else
            assert_true(lh_ok(lh_attributes_set(set, items[i].type, LH_BYTES_STR(items[i].text))));
    }
    return set;
}

/* A list of mechanisms, or a nested template, as a value of an attribute. */
static inline void add_list(lh_attributes *set, unsigned long type, const uint64_t *entries, size_t count)
{
    uint8_t bytes[128];
    for (size_t i = 0; i < 8 * count; i++)
        bytes[i] = (uint8_t)(entries[i / 8] >> (8 * (7 - i % 8)));
    assert_true(lh_ok(lh_attributes_set(set, type, LH_BYTES(bytes, 8 * count))));
}

static inline void add_template(lh_attributes *set, unsigned long type, lh_attributes *inner)
{
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(4096);
    lh_attributes_put(inner, &buf);
    assert_true(lh_ok(lh_attributes_set(set, type, lh_buf_bytes(&buf))));
    lh_attributes_free(inner);
}

static inline void confine(lh_attributes *set)
{
    const uint64_t list[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_RSA_PKCS_OAEP};
    add_list(set, CKA_ALLOWED_MECHANISMS, list, 3);
}

#define refused(expr, why)                                                                                   \
    do {                                                                                                     \
        lh_err err_ = (expr);                                                                                \
        assert_false(lh_ok(err_));                                                                           \
        assert_string_equal(lh_err_last()->reason, why);                                                     \
    } while (0)
#define ok(expr)                                                                                             \
    do {                                                                                                     \
        lh_err ok_ = (expr);                                                                                 \
        if (!lh_ok(ok_))                                                                                     \
            print_error("%s: %s\n", lh_err_last()->reason, lh_err_last()->message);                          \
        assert_true(lh_ok(ok_));                                                                             \
    } while (0)

/* Rows of the tests' own, so that they stay the same whatever the tables offer. */
#define ROW_OF(variable, ckm, bits, types)                                                                   \
    static const lh_mechanism variable                                                                       \
        __attribute__((unused)) = {.type = ckm, .name = #ckm, .uses = bits, .keys = types}
ROW_OF(AES_GEN, CKM_AES_KEY_GEN, LH_USE_GENERATE, LH_TYPE_AES);
ROW_OF(GENERIC_GEN, CKM_GENERIC_SECRET_KEY_GEN, LH_USE_GENERATE, LH_TYPE_GENERIC);
ROW_OF(RSA_GEN, CKM_RSA_PKCS_KEY_PAIR_GEN, LH_USE_GENERATE_PAIR, LH_TYPE_RSA);
ROW_OF(EC_GEN, CKM_EC_KEY_PAIR_GEN, LH_USE_GENERATE_PAIR, LH_TYPE_EC);
ROW_OF(AES_KW, CKM_AES_KEY_WRAP, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT, LH_TYPE_AES);
ROW_OF(
    AES_CBC_PAD, CKM_AES_CBC_PAD, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT, LH_TYPE_AES);
ROW_OF(AES_GCM, CKM_AES_GCM, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT, LH_TYPE_AES);
ROW_OF(AES_ECB, CKM_AES_ECB, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT, LH_TYPE_AES);
ROW_OF(OAEP, CKM_RSA_PKCS_OAEP, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT, LH_TYPE_RSA);
ROW_OF(RSA_PKCS, CKM_RSA_PKCS, LH_USE_WRAP | LH_USE_UNWRAP | LH_USE_ENCRYPT | LH_USE_DECRYPT | LH_USE_SIGN,
    LH_TYPE_RSA);
ROW_OF(EXTRACT, CKM_EXTRACT_KEY_FROM_KEY, LH_USE_DERIVE, LH_TYPE_GENERIC | LH_TYPE_AES);
ROW_OF(XOR, CKM_XOR_BASE_AND_DATA, LH_USE_DERIVE, LH_TYPE_GENERIC | LH_TYPE_AES | LH_TYPE_DES3);
ROW_OF(DATA_AND_BASE, CKM_CONCATENATE_DATA_AND_BASE, LH_USE_DERIVE, LH_TYPE_GENERIC | LH_TYPE_AES);
ROW_OF(BASE_AND_KEY, CKM_CONCATENATE_BASE_AND_KEY, LH_USE_DERIVE, LH_TYPE_GENERIC | LH_TYPE_AES);
ROW_OF(ECB_DATA, CKM_AES_ECB_ENCRYPT_DATA, LH_USE_DERIVE, LH_TYPE_AES);
ROW_OF(ECDH, CKM_ECDH1_DERIVE, LH_USE_DERIVE, LH_TYPE_EC);

/* A secret key as lh_key_export and lh_rules_complete would leave it. */
static inline void give_value(lh_attributes *key, size_t len)
{
    uint8_t value[64];
    memset(value, 0x5a, sizeof(value));
    ok(lh_rules_take_part(key, CKA_VALUE, LH_BYTES(value, len), true));
    const lh_rules_completion facts = {.unique_id = {1, 2, 3}, .check_value = LH_BYTES("\1\2\3", 3)};
    ok(lh_rules_complete(key, &facts));
}

static inline lh_attributes *aes(lh_attributes *template, size_t len)
{
    lh_attributes *key = NULL;
    if (!lh_attributes_has(template, CKA_VALUE_LEN))
        assert_true(lh_ok(lh_attributes_set_ulong(template, CKA_VALUE_LEN, len)));
    ok(lh_rules_generate(&AES_GEN, template, LH_RULES_USER, &key));
    lh_attributes_free(template);
    give_value(key, len);
    return key;
}

/* A key that may be wrapped although nobody may read it: what the attacks are after. */
static inline lh_attributes *target(void)
{
    return aes(TEMPLATE(B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true)), 32);
}

/* A key that protects others. */
static inline lh_attributes *guardian(void)
{
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true));
    confine(template);
    return aes(template, 32);
}

static inline void rsa_pair(
    lh_attributes *public, lh_attributes *private, lh_attributes **ret_public, lh_attributes **ret_private)
{
    ok(lh_attributes_set_ulong(public, CKA_MODULUS_BITS, 2048));
    ok(lh_rules_generate_pair(&RSA_GEN, public, private, LH_RULES_USER, ret_public, ret_private));
    lh_attributes_free(public);
    lh_attributes_free(private);
    uint8_t modulus[256];
    memset(modulus, 0xc3, sizeof(modulus));
    ok(lh_rules_take_part(*ret_public, CKA_MODULUS, LH_BYTES(modulus, 256), false));
    ok(lh_rules_take_part(*ret_private, CKA_MODULUS, LH_BYTES(modulus, 256), false));
    ok(lh_rules_take_part(*ret_public, CKA_PUBLIC_EXPONENT, LH_BYTES("\1\0\1", 3), false));
    ok(lh_rules_take_part(*ret_private, CKA_PRIVATE_EXPONENT, LH_BYTES(modulus, 256), true));
    const lh_rules_completion facts = {.unique_id = {4}};
    ok(lh_rules_complete(*ret_public, &facts));
    ok(lh_rules_complete(*ret_private, &facts));
}

#endif
