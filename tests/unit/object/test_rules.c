#include "rules_support.h"

#include "object/rules_table.h"
#include "p11/attribute.h"

static void create_refused(lh_attributes *template, enum lh_rules_user user, const char *reason)
{
    lh_attributes *object = NULL;
    refused(lh_rules_create(template, user, &object), reason);
    lh_attributes_free(template);
}

static lh_attributes *create(lh_attributes *template, enum lh_rules_user user)
{
    lh_attributes *object = NULL;
    ok(lh_rules_create(template, user, &object));
    lh_attributes_free(template);
    return object;
}

static bool flag(const lh_attributes *object, unsigned long type)
{
    assert_true(lh_attributes_has(object, type));
    return lh_attributes_bool(object, type, false);
}

/* Values travel as the module thinks they do. */
static void test_table_agrees(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_rule_row *rows = lh_rule_table(&count);
    for (size_t i = 0; i < count; i++) {
        const enum lh_attribute_kind kind = lh_attribute_kind_of(rows[i].type);
        enum lh_attribute_kind expected = LH_VALUE_BYTES;
        switch (rows[i].form) {
        case LH_FORM_BYTES:
        case LH_FORM_DATE: break;
        case LH_FORM_BOOL: expected = LH_VALUE_BOOL; break;
        case LH_FORM_ULONG: expected = LH_VALUE_ULONG; break;
        case LH_FORM_LIST: expected = LH_VALUE_ULONG_LIST; break;
        case LH_FORM_TEMPLATE: expected = LH_VALUE_TEMPLATE; break;
        }
        assert_int_equal(kind, expected);
        assert_int_equal(rows[i].form, lh_rule_form_of(rows[i].type));
        assert_int_equal(rows[i].needed & ~rows[i].said, 0);
    }
}

static void test_data(void **state)
{
    (void)state;
    AUTO data = create(TEMPLATE(U(CKA_CLASS, CKO_DATA), S(CKA_VALUE, "v"), S(CKA_LABEL, "l")), LH_RULES_USER);
    assert_true(flag(data, CKA_PRIVATE));
    assert_false(flag(data, CKA_TOKEN));
    assert_true(flag(data, CKA_MODIFIABLE));
    assert_true(lh_attributes_has(data, CKA_APPLICATION));
    lh_bytes value;
    assert_int_equal(lh_rules_read(data, CKA_VALUE, &value), LH_RULES_VALUE);
    assert_true(lh_bytes_equal(value, LH_BYTES_STR("v")));
    assert_int_equal(lh_rules_read(data, CKA_MODULUS, &value), LH_RULES_NONE);
    AUTO public = create(TEMPLATE(U(CKA_CLASS, CKO_DATA)), LH_RULES_PUBLIC);
    assert_false(flag(public, CKA_PRIVATE));
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_DATA), B(CKA_PRIVATE, true)), LH_RULES_PUBLIC, "user-not-logged-in");
    create_refused(TEMPLATE(U(CKA_CLASS, CKO_DATA), B(CKA_PRIVATE, true)), LH_RULES_SO, "user-not-logged-in");
    create_refused(TEMPLATE(S(CKA_VALUE, "v")), LH_RULES_USER, "template-incomplete");
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_DATA), B(CKA_SIGN, true)), LH_RULES_USER, "attribute-type-invalid");
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_DATA), S(CKA_UNIQUE_ID, "x")), LH_RULES_USER, "attribute-read-only");
    create_refused(TEMPLATE(U(CKA_CLASS, 4711)), LH_RULES_USER, "attribute-value-invalid");
    const uint64_t own[] = {CKO_PROFILE, CKO_HW_FEATURE, CKO_MECHANISM, CKO_VALIDATION};
    for (size_t i = 0; i < 4; i++)
        create_refused(TEMPLATE(U(CKA_CLASS, own[i])), LH_RULES_SO, "attribute-value-invalid");
}

static void test_certificate(void **state)
{
    (void)state;
#define X509 U(CKA_CLASS, CKO_CERTIFICATE), U(CKA_CERTIFICATE_TYPE, CKC_X_509)
    AUTO c = create(TEMPLATE(X509, S(CKA_SUBJECT, "s"), S(CKA_VALUE, "v"), S(0xce534352UL, "me@example.org")),
        LH_RULES_USER);
    assert_false(flag(c, CKA_PRIVATE));
    assert_false(flag(c, CKA_TRUSTED));
    assert_int_equal(lh_attributes_ulong(c, CKA_NAME_HASH_ALGORITHM, 0), CKM_SHA_1);
    create_refused(TEMPLATE(X509, S(CKA_VALUE, "v")), LH_RULES_USER, "template-incomplete");
    create_refused(TEMPLATE(X509, S(CKA_SUBJECT, "s")), LH_RULES_USER, "template-incomplete");
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_CERTIFICATE), S(CKA_SUBJECT, "s")), LH_RULES_USER, "template-incomplete");
    create_refused(TEMPLATE(U(CKA_CLASS, CKO_CERTIFICATE), U(CKA_CERTIFICATE_TYPE, CKC_WTLS)), LH_RULES_USER,
        "attribute-value-invalid");
    create_refused(TEMPLATE(X509, S(CKA_SUBJECT, "s"), S(CKA_VALUE, "v"), B(CKA_TRUSTED, true)),
        LH_RULES_USER, "attribute-read-only");
    AUTO t =
        create(TEMPLATE(X509, S(CKA_SUBJECT, "s"), S(CKA_VALUE, "v"), B(CKA_TRUSTED, true)), LH_RULES_SO);
    assert_true(flag(t, CKA_TRUSTED));
    create_refused(TEMPLATE(X509, S(CKA_SUBJECT, "s"), S(CKA_VALUE, "v"), U(CKA_CERTIFICATE_CATEGORY, 4)),
        LH_RULES_USER, "attribute-value-invalid");
    create_refused(TEMPLATE(X509, S(CKA_SUBJECT, "s"), S(CKA_VALUE, "v"), S(CKA_START_DATE, "20270102"),
                       S(CKA_END_DATE, "20270101")),
        LH_RULES_USER, "template-inconsistent");
}

static void test_trust(void **state)
{
    (void)state;
    AUTO nss = create(TEMPLATE(U(CKA_CLASS, 0xce534353UL), S(CKA_ISSUER, "i"), S(CKA_SERIAL_NUMBER, "1"),
                          S(0xce536358UL, "trusted")),
        LH_RULES_USER);
    lh_bytes value;
    assert_int_equal(lh_rules_read(nss, 0xce536358UL, &value), LH_RULES_VALUE);
    AUTO trust = create(TEMPLATE(U(CKA_CLASS, CKO_TRUST), S(CKA_ISSUER, "i"), S(CKA_SERIAL_NUMBER, "1"),
                            U(CKA_TRUST_SERVER_AUTH, 2)),
        LH_RULES_USER);
    assert_int_equal(lh_attributes_ulong(trust, CKA_TRUST_EMAIL_PROTECTION, 9), 0);
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_TRUST), S(CKA_ISSUER, "i")), LH_RULES_USER, "template-incomplete");
}

static void test_create_keys(void **state)
{
    (void)state;
#define AES_KEY U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, CKK_AES)
    AUTO key = create(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef")), LH_RULES_USER);
    assert_true(flag(key, CKA_PRIVATE));
    assert_true(flag(key, CKA_SENSITIVE));
    assert_false(flag(key, CKA_EXTRACTABLE));
    assert_false(flag(key, CKA_LOCAL));
    assert_false(flag(key, CKA_ALWAYS_SENSITIVE));
    assert_false(flag(key, CKA_NEVER_EXTRACTABLE));
    assert_true(lh_attributes_ulong(key, CKA_KEY_GEN_MECHANISM, 0) == UINT64_MAX);
    create_refused(TEMPLATE(AES_KEY), LH_RULES_USER, "template-incomplete");
    create_refused(
        TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), S(CKA_VALUE, "x")), LH_RULES_USER, "template-incomplete");
    create_refused(TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, 999)), LH_RULES_USER,
        "attribute-value-invalid");
    create_refused(TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, CKK_RSA)), LH_RULES_USER,
        "template-inconsistent");
    create_refused(TEMPLATE(U(CKA_CLASS, CKO_PUBLIC_KEY), U(CKA_KEY_TYPE, CKK_AES)), LH_RULES_USER,
        "template-inconsistent");
    create_refused(
        TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef")), LH_RULES_PUBLIC, "user-not-logged-in");
    create_refused(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef"), U(CKA_LEASEHOLD_USES, 3),
                       B(CKA_EXTRACTABLE, true)),
        LH_RULES_USER, "template-inconsistent");
    create_refused(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef"), U(CKA_LEASEHOLD_USES, 0)),
        LH_RULES_USER, "attribute-value-invalid");
#define EC_PRIVATE                                                                                           \
    U(CKA_CLASS, CKO_PRIVATE_KEY), U(CKA_KEY_TYPE, CKK_EC), S(CKA_EC_PARAMS, "p"), S(CKA_VALUE, "d")
    create_refused(TEMPLATE(EC_PRIVATE, B(CKA_ALWAYS_AUTHENTICATE, true), B(CKA_PRIVATE, false)),
        LH_RULES_USER, "template-inconsistent");
    AUTO ec = create(TEMPLATE(EC_PRIVATE, B(CKA_ALWAYS_AUTHENTICATE, true)), LH_RULES_USER);
    assert_true(lh_rules_asks_login(ec));
    lh_rules_parts parts;
    lh_rules_key_parts(ec, &parts);
    assert_int_equal(parts.count, 2);
}

/* Java's private template is empty. */
static void test_pair_defaults(void **state)
{
    (void)state;
    AUTO public = NULL;
    AUTO private = NULL;
    rsa_pair(EMPTY_TEMPLATE, EMPTY_TEMPLATE, &public, &private);
    assert_true(flag(public, CKA_VERIFY) && flag(public, CKA_ENCRYPT) && flag(public, CKA_WRAP));
    assert_true(flag(private, CKA_SIGN) && flag(private, CKA_DECRYPT) && flag(private, CKA_UNWRAP));
    assert_true(flag(private, CKA_SENSITIVE) && flag(private, CKA_ALWAYS_SENSITIVE));
    assert_true(
        flag(private, CKA_NEVER_EXTRACTABLE) && flag(private, CKA_LOCAL) && flag(private, CKA_PRIVATE));
    assert_false(flag(private, CKA_EXTRACTABLE) || flag(public, CKA_PRIVATE) || flag(private, CKA_TOKEN));
    assert_true(lh_attributes_ulong(public, CKA_KEY_GEN_MECHANISM, 0) == CKM_RSA_PKCS_KEY_PAIR_GEN);
    assert_true(lh_attributes_ulong(public, CKA_MODULUS_BITS, 0) == 2048);
    assert_true(lh_attributes_ulong(private, CKA_KEY_TYPE, 99) == CKK_RSA);
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO a = NULL;
    AUTO b = NULL;
    refused(lh_rules_generate_pair(&RSA_GEN, nothing, nothing, LH_RULES_USER, &a, &b), "template-incomplete");
    refused(lh_rules_generate_pair(&EC_GEN, nothing, nothing, LH_RULES_USER, &a, &b), "template-incomplete");
    AUTO ec = TEMPLATE(S(CKA_EC_PARAMS, "p"));
    ok(lh_rules_generate_pair(&EC_GEN, ec, nothing, LH_RULES_USER, &a, &b));
    assert_true(flag(b, CKA_DERIVE) && flag(b, CKA_SIGN));
    assert_false(flag(b, CKA_DECRYPT) || flag(a, CKA_DERIVE));
    AUTO wrong = TEMPLATE(U(CKA_KEY_TYPE, CKK_RSA), S(CKA_EC_PARAMS, "p"));
    AUTO c = NULL;
    refused(lh_rules_generate_pair(&EC_GEN, wrong, nothing, LH_RULES_USER, &c, &b), "template-inconsistent");
    AUTO part = TEMPLATE(S(CKA_VALUE, "mine"));
    refused(lh_rules_generate_pair(&EC_GEN, ec, part, LH_RULES_USER, &c, &b), "attribute-read-only");
}

static void test_generate(void **state)
{
    (void)state;
    AUTO plain = aes(EMPTY_TEMPLATE, 32);
    assert_true(flag(plain, CKA_ENCRYPT) && flag(plain, CKA_DECRYPT) && flag(plain, CKA_WRAP));
    assert_false(flag(plain, CKA_DERIVE));
    assert_true(flag(plain, CKA_SENSITIVE) && flag(plain, CKA_NEVER_EXTRACTABLE));
    AUTO loose = aes(TEMPLATE(B(CKA_EXTRACTABLE, true)), 16);
    assert_false(flag(loose, CKA_SENSITIVE) || flag(loose, CKA_ALWAYS_SENSITIVE));
    AUTO only = aes(TEMPLATE(B(CKA_WRAP, true)), 16);
    assert_false(flag(only, CKA_ENCRYPT) || flag(only, CKA_UNWRAP));
    lh_bytes value;
    assert_int_equal(lh_rules_read(plain, CKA_CHECK_VALUE, &value), LH_RULES_VALUE);
    assert_int_equal(lh_rules_read(plain, CKA_UNIQUE_ID, &value), LH_RULES_VALUE);
    assert_int_equal(value.len, 32);
    assert_int_equal(lh_rules_read(plain, LH_RULES_HISTORY, &value), LH_RULES_NONE);
    assert_int_equal(lh_rules_read(loose, CKA_VALUE, &value), LH_RULES_VALUE);
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO key = NULL;
    refused(lh_rules_generate(&AES_GEN, nothing, LH_RULES_USER, &key), "template-incomplete");
    AUTO sized = TEMPLATE(U(CKA_VALUE_LEN, 16), U(CKA_KEY_TYPE, CKK_DES3));
    refused(lh_rules_generate(&AES_GEN, sized, LH_RULES_USER, &key), "template-inconsistent");
    AUTO classed = TEMPLATE(U(CKA_VALUE_LEN, 16), U(CKA_CLASS, CKO_PUBLIC_KEY));
    refused(lh_rules_generate(&AES_GEN, classed, LH_RULES_USER, &key), "template-inconsistent");
    refused(lh_rules_generate(&RSA_GEN, sized, LH_RULES_USER, &key), "mechanism-invalid");
}

static void test_check_value(void **state)
{
    (void)state;
    const lh_rules_completion facts = {.check_value = LH_BYTES("abc", 3)};
    AUTO wrong =
        create(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef"), S(CKA_CHECK_VALUE, "abd")), LH_RULES_USER);
    refused(lh_rules_complete(wrong, &facts), "attribute-value-invalid");
    AUTO none =
        create(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef"), S(CKA_CHECK_VALUE, "")), LH_RULES_USER);
    ok(lh_rules_complete(none, &facts));
    lh_bytes value;
    assert_true(lh_attributes_get(none, CKA_CHECK_VALUE, &value) && value.len == 0);
    AUTO len =
        create(TEMPLATE(AES_KEY, S(CKA_VALUE, "0123456789abcdef"), U(CKA_VALUE_LEN, 32)), LH_RULES_USER);
    refused(lh_rules_complete(len, &facts), "attribute-value-invalid");
    AUTO modulus = create(TEMPLATE(U(CKA_CLASS, CKO_PUBLIC_KEY), U(CKA_KEY_TYPE, CKK_RSA),
                              S(CKA_MODULUS, "mm"), S(CKA_PUBLIC_EXPONENT, "\3")),
        LH_RULES_USER);
    refused(lh_rules_take_part(modulus, CKA_MODULUS, LH_BYTES_STR("mn"), false), "attribute-value-invalid");
    ok(lh_rules_take_part(modulus, CKA_MODULUS, LH_BYTES("\0mm", 3), false));
    ok(lh_rules_take_part(modulus, CKA_PRIVATE_EXPONENT, LH_BYTES_STR("x"), true));
    assert_false(lh_attributes_has(modulus, CKA_PRIVATE_EXPONENT));
}

static void set_refused(const lh_attributes *object, lh_attributes *template, const char *reason)
{
    lh_attributes *changed = NULL;
    refused(lh_rules_set(object, template, LH_RULES_USER, &changed), reason);
    lh_attributes_free(template);
}

static lh_attributes *set(const lh_attributes *object, lh_attributes *template)
{
    lh_attributes *changed = NULL;
    ok(lh_rules_set(object, template, LH_RULES_USER, &changed));
    lh_attributes_free(template);
    return changed;
}

static void test_set(void **state)
{
    (void)state;
    AUTO key = aes(TEMPLATE(B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true)), 32);
    AUTO named = set(key, TEMPLATE(S(CKA_LABEL, "new"), S(CKA_ID, "7"), S(CKA_END_DATE, "20300101")));
    lh_bytes value;
    assert_true(lh_attributes_get(named, CKA_LABEL, &value) && lh_bytes_equal(value, LH_BYTES_STR("new")));
    AUTO sensitive = set(key, TEMPLATE(B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, false)));
    assert_false(flag(sensitive, CKA_ALWAYS_SENSITIVE) || flag(sensitive, CKA_NEVER_EXTRACTABLE));
    set_refused(sensitive, TEMPLATE(B(CKA_SENSITIVE, false)), "attribute-read-only");
    set_refused(sensitive, TEMPLATE(B(CKA_EXTRACTABLE, true)), "attribute-read-only");
    const unsigned long fixed[] = {CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_KEY_TYPE, CKA_VALUE, CKA_VALUE_LEN,
        CKA_LOCAL, CKA_MODIFIABLE, CKA_KEY_GEN_MECHANISM, CKA_UNIQUE_ID, CKA_ALWAYS_SENSITIVE,
        CKA_UNWRAP_TEMPLATE, CKA_CHECK_VALUE};
    for (size_t i = 0; i < LH_ARRAY_LEN(fixed); i++)
        set_refused(key, TEMPLATE(B(fixed[i], true)), "attribute-read-only");
    set_refused(key, TEMPLATE(S(CKA_MODULUS, "m")), "attribute-type-invalid");
    set_refused(key, TEMPLATE(B(CKA_TRUSTED, true)), "attribute-read-only");
    AUTO with = set(key, TEMPLATE(B(CKA_WRAP_WITH_TRUSTED, true)));
    set_refused(with, TEMPLATE(B(CKA_WRAP_WITH_TRUSTED, false)), "attribute-read-only");
    AUTO stuck = set(key, TEMPLATE(B(CKA_COPYABLE, false), B(CKA_DESTROYABLE, false)));
    set_refused(stuck, TEMPLATE(B(CKA_COPYABLE, true)), "attribute-read-only");
    set_refused(stuck, TEMPLATE(B(CKA_DESTROYABLE, true)), "attribute-read-only");
    refused(lh_rules_may_destroy(stuck, LH_RULES_USER), "action-prohibited");
    refused(lh_rules_may_destroy(key, LH_RULES_PUBLIC), "user-not-logged-in");
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO copy = NULL;
    refused(lh_rules_copy(stuck, nothing, LH_RULES_USER, &copy), "action-prohibited");
    AUTO hard = aes(TEMPLATE(B(CKA_MODIFIABLE, false)), 32);
    set_refused(hard, TEMPLATE(S(CKA_LABEL, "x")), "action-prohibited");
    refused(lh_rules_set(key, nothing, LH_RULES_PUBLIC, &copy), "user-not-logged-in");
    AUTO dated = set(key, TEMPLATE(S(CKA_END_DATE, "20260101")));
    set_refused(dated, TEMPLATE(S(CKA_START_DATE, "20270101")), "template-inconsistent");
}

static void test_limits(void **state)
{
    (void)state;
    AUTO counted = aes(TEMPLATE(U(CKA_LEASEHOLD_USES, 10)), 32);
    set_refused(counted, TEMPLATE(U(CKA_LEASEHOLD_USES, 11)), "attribute-read-only");
    AUTO fewer = set(counted, TEMPLATE(U(CKA_LEASEHOLD_USES, 9)));
    assert_true(lh_attributes_ulong(fewer, CKA_LEASEHOLD_USES, 0) == 9);
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO copy = NULL;
    refused(lh_rules_copy(counted, nothing, LH_RULES_USER, &copy), "action-prohibited");

    AUTO key = aes(EMPTY_TEMPLATE, 32);
    const uint64_t two[] = {CKM_AES_CBC, CKM_AES_CBC_PAD};
    AUTO list = EMPTY_TEMPLATE;
    add_list(list, CKA_ALLOWED_MECHANISMS, two, 2);
    AUTO narrow = NULL;
    ok(lh_rules_set(key, list, LH_RULES_USER, &narrow));
    AUTO one = EMPTY_TEMPLATE;
    add_list(one, CKA_ALLOWED_MECHANISMS, two + 1, 1);
    AUTO narrower = NULL;
    ok(lh_rules_set(narrow, one, LH_RULES_USER, &narrower));
    AUTO back = NULL;
    refused(lh_rules_set(narrower, list, LH_RULES_USER, &back), "attribute-read-only");
    AUTO none = EMPTY_TEMPLATE;
    add_list(none, CKA_ALLOWED_MECHANISMS, two, 0);
    refused(lh_rules_set(narrower, none, LH_RULES_USER, &back), "attribute-read-only");
    ok(lh_rules_may_use(narrower, &AES_CBC_PAD, LH_USE_ENCRYPT, NOW));
    refused(lh_rules_may_use(narrower, &AES_ECB, LH_USE_ENCRYPT, NOW), "mechanism-invalid");
}

static void test_copy(void **state)
{
    (void)state;
    AUTO key = aes(TEMPLATE(S(CKA_LABEL, "a")), 32);
    AUTO change = TEMPLATE(B(CKA_TOKEN, true), S(CKA_ID, "1"), U(CKA_CLASS, CKO_SECRET_KEY));
    AUTO copy = NULL;
    ok(lh_rules_copy(key, change, LH_RULES_USER, &copy));
    assert_true(flag(copy, CKA_TOKEN) && flag(copy, CKA_LOCAL) && flag(copy, CKA_ALWAYS_SENSITIVE));
    assert_false(lh_attributes_has(copy, CKA_UNIQUE_ID));
    AUTO bad = NULL;
    AUTO open = TEMPLATE(B(CKA_PRIVATE, false));
    refused(lh_rules_copy(key, open, LH_RULES_USER, &bad), "template-inconsistent");
    AUTO type = TEMPLATE(U(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
    refused(lh_rules_copy(key, type, LH_RULES_USER, &bad), "attribute-read-only");
    refused(lh_rules_copy(key, change, LH_RULES_PUBLIC, &bad), "user-not-logged-in");
    AUTO public = create(TEMPLATE(U(CKA_CLASS, CKO_DATA), B(CKA_PRIVATE, false)), LH_RULES_USER);
    AUTO private = TEMPLATE(B(CKA_PRIVATE, true));
    refused(lh_rules_copy(public, private, LH_RULES_PUBLIC, &bad), "user-not-logged-in");
    ok(lh_rules_copy(public, private, LH_RULES_USER, &bad));
}

static void test_use(void **state)
{
    (void)state;
    AUTO key =
        aes(TEMPLATE(S(CKA_START_DATE, "20270115"), S(CKA_END_DATE, "20270115"), B(CKA_DECRYPT, false)), 32);
    ok(lh_rules_may_use(key, &AES_ECB, LH_USE_ENCRYPT, NOW));
    refused(lh_rules_may_use(key, &AES_ECB, LH_USE_ENCRYPT, NOW - 86400), "action-prohibited");
    refused(lh_rules_may_use(key, &AES_ECB, LH_USE_ENCRYPT, NOW + 86400), "action-prohibited");
    refused(lh_rules_may_use(key, &AES_ECB, LH_USE_DECRYPT, NOW), "key-function-not-permitted");
    refused(lh_rules_may_use(key, &OAEP, LH_USE_ENCRYPT, NOW), "key-type-inconsistent");
    refused(lh_rules_may_use(key, &OAEP, LH_USE_WRAP, NOW), "wrapping-key-type-inconsistent");
    refused(lh_rules_may_use(key, &OAEP, LH_USE_UNWRAP, NOW), "unwrapping-key-type-inconsistent");
    refused(lh_rules_may_use(key, &AES_ECB, LH_USE_SIGN, NOW), "mechanism-invalid");
    AUTO public = NULL;
    AUTO private = NULL;
    rsa_pair(EMPTY_TEMPLATE, EMPTY_TEMPLATE, &public, &private);
    ok(lh_rules_may_use(private, &RSA_PKCS, LH_USE_SIGN, NOW));
    refused(lh_rules_may_use(public, &RSA_PKCS, LH_USE_SIGN, NOW), "key-type-inconsistent");
    AUTO data = create(TEMPLATE(U(CKA_CLASS, CKO_DATA)), LH_RULES_USER);
    refused(lh_rules_may_use(data, &RSA_PKCS, LH_USE_SIGN, NOW), "key-handle-invalid");
}

static void test_wrap(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true));
    add_template(template, CKA_WRAP_TEMPLATE, TEMPLATE(S(CKA_ID, "7")));
    AUTO picky = aes(template, 32);
    AUTO other = aes(TEMPLATE(B(CKA_EXTRACTABLE, true)), 32);
    AUTO seven = aes(TEMPLATE(B(CKA_EXTRACTABLE, true), S(CKA_ID, "7")), 32);
    refused(lh_rules_may_wrap(picky, other, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    ok(lh_rules_may_wrap(picky, seven, &AES_KW, LH_RULES_USER));
    AUTO with = aes(TEMPLATE(B(CKA_EXTRACTABLE, true), B(CKA_WRAP_WITH_TRUSTED, true)), 32);
    AUTO plain = aes(EMPTY_TEMPLATE, 32);
    refused(lh_rules_may_wrap(plain, with, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO trust = TEMPLATE(B(CKA_TRUSTED, true));
    AUTO public = aes(TEMPLATE(B(CKA_PRIVATE, false)), 32);
    AUTO trusted = NULL;
    ok(lh_rules_set(public, trust, LH_RULES_SO, &trusted));
    ok(lh_rules_may_wrap(trusted, with, &AES_KW, LH_RULES_USER));
    refused(lh_rules_may_wrap(with, trusted, &AES_KW, LH_RULES_USER), "key-unextractable");
    AUTO data = create(TEMPLATE(U(CKA_CLASS, CKO_DATA)), LH_RULES_USER);
    refused(lh_rules_may_wrap(plain, data, &AES_KW, LH_RULES_USER), "key-handle-invalid");
    refused(lh_rules_may_wrap(data, plain, &AES_KW, LH_RULES_USER), "wrapping-key-handle-invalid");
}

static void test_templates_of_keys(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_UNWRAP, true));
    add_template(template, CKA_UNWRAP_TEMPLATE, TEMPLATE(B(CKA_EXTRACTABLE, false), S(CKA_LABEL, "x")));
    AUTO key = aes(template, 32);
    AUTO plain = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES));
    AUTO made = NULL;
    ok(lh_rules_unwrap(key, &AES_KW, plain, LH_RULES_USER, &made));
    lh_bytes value;
    assert_true(lh_attributes_get(made, CKA_LABEL, &value) && value.len == 1);
    AUTO other = TEMPLATE(B(CKA_EXTRACTABLE, true));
    AUTO bad = NULL;
    refused(lh_rules_unwrap(key, &AES_KW, other, LH_RULES_USER, &bad), "template-inconsistent");
    AUTO public = TEMPLATE(U(CKA_CLASS, CKO_PUBLIC_KEY), U(CKA_KEY_TYPE, CKK_RSA));
    refused(lh_rules_unwrap(key, &AES_KW, public, LH_RULES_USER, &bad), "template-inconsistent");
    /* a user's template does not say what the user may not */
    template = TEMPLATE(B(CKA_UNWRAP, true));
    add_template(template, CKA_UNWRAP_TEMPLATE, TEMPLATE(B(CKA_TRUSTED, true)));
    AUTO sly = aes(template, 32);
    refused(lh_rules_unwrap(sly, &AES_KW, plain, LH_RULES_USER, &bad), "attribute-read-only");

    template = TEMPLATE(B(CKA_DERIVE, true));
    add_template(template, CKA_DERIVE_TEMPLATE, TEMPLATE(B(CKA_SENSITIVE, true)));
    AUTO base = aes(template, 32);
    const lh_rules_derivation from = {.base = base, .natural_len = 32};
    AUTO readable = TEMPLATE(B(CKA_SENSITIVE, false));
    refused(lh_rules_derive(&from, &ECDH, readable, LH_RULES_USER, &bad), "template-inconsistent");
}

static void test_derive_history(void **state)
{
    (void)state;
    AUTO clean = aes(TEMPLATE(B(CKA_DERIVE, true)), 32);
    AUTO was_open = aes(TEMPLATE(B(CKA_DERIVE, true), B(CKA_EXTRACTABLE, true)), 32);
    const lh_attributes *const bases[] = {clean, was_open};
    for (size_t i = 0; i < 2; i++) {
        const lh_rules_derivation from = {.base = bases[i], .natural_len = 32};
        AUTO nothing = EMPTY_TEMPLATE;
        AUTO made = NULL;
        ok(lh_rules_derive(&from, &ECDH, nothing, LH_RULES_USER, &made));
        assert_int_equal(flag(made, CKA_ALWAYS_SENSITIVE), i == 0);
        assert_int_equal(flag(made, CKA_NEVER_EXTRACTABLE), i == 0);
        assert_false(flag(made, CKA_LOCAL));
        assert_int_equal(lh_attributes_ulong(made, CKA_KEY_TYPE, 0), CKK_GENERIC_SECRET);
    }
    /* what systemd-cryptenroll and strongSwan ask for */
    const lh_rules_derivation from = {.base = clean, .natural_len = 32};
    AUTO readable = TEMPLATE(B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true));
    AUTO made = NULL;
    ok(lh_rules_derive(&from, &ECDH, readable, LH_RULES_USER, &made));
    give_value(made, 32);
    lh_bytes value;
    assert_int_equal(lh_rules_read(made, CKA_VALUE, &value), LH_RULES_VALUE);
    /* small pieces of what may be read are fine */
    AUTO piece = TEMPLATE(U(CKA_VALUE_LEN, 2), B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true));
    const lh_rules_derivation open = {.base = was_open};
    AUTO two = NULL;
    ok(lh_rules_derive(&open, &EXTRACT, piece, LH_RULES_USER, &two));
}

static void test_match_and_profiles(void **state)
{
    (void)state;
    AUTO key = aes(TEMPLATE(S(CKA_LABEL, "a"), B(CKA_EXTRACTABLE, true)), 16);
    AUTO all = EMPTY_TEMPLATE;
    AUTO yes = TEMPLATE(S(CKA_LABEL, "a"), U(CKA_KEY_TYPE, CKK_AES));
    AUTO no = TEMPLATE(S(CKA_LABEL, "b"));
    AUTO lacking = TEMPLATE(S(CKA_MODULUS, "m"));
    assert_true(lh_rules_match(key, all) && lh_rules_match(key, yes));
    assert_false(lh_rules_match(key, no) || lh_rules_match(key, lacking));
    assert_true(lh_rules_visible(key, LH_RULES_USER));
    assert_false(lh_rules_visible(key, LH_RULES_SO) || lh_rules_visible(key, LH_RULES_PUBLIC));
    ok(lh_rules_may_digest(key));
    bool exists = true;
    size_t count = 0;
    for (; exists; count++) {
        AUTO profile = NULL;
        ok(lh_rules_profile(count, &profile, &exists));
        if (exists)
            assert_true(lh_attributes_ulong(profile, CKA_PROFILE_ID, 0) == count + 1);
    }
    assert_int_equal(count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_agrees),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_create_keys),
        cmocka_unit_test(test_pair_defaults),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_check_value),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_templates_of_keys),
        cmocka_unit_test(test_derive_history),
        cmocka_unit_test(test_match_and_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
