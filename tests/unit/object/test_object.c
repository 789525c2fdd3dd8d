/* What each kind of object shows, announces and hides; and matching of templates. */
#include "object/object.h"

#include "../x509_fixture.h"

#include "base/secret.h"
#include "codec/base64.h"
#include "codec/bin.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"
#include "wire/calls.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <p11-kit/pkcs11.h>

static lh_crypto *crypto;
static lh_key *ec, *ed;

static lh_key *key_of(enum lh_key_kind kind)
{
    lh_secret *material = NULL;
    lh_key *key = NULL;
    assert_true(lh_ok(lh_secret_new(LH_KEY_SECRET_SIZE, &material)));
    lh_secret_data(material)[31] = 1; /* a scalar in range */
    assert_true(lh_ok(lh_key_new(crypto, kind, material, &key)));
    lh_secret_free(material);
    return key;
}

static int set_up(void **unused)
{
    (void)unused;
    assert_true(lh_ok(lh_crypto_new(&crypto)));
    ec = key_of(LH_KEY_EC_P256);
    ed = key_of(LH_KEY_ED25519);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    lh_key_free(ec);
    lh_key_free(ed);
    lh_crypto_free(crypto);
    return 0;
}

static lh_object *make(enum lh_key_kind kind, enum lh_object_class class, bool per_lease)
{
    const lh_mechanism *allow[2] = {0};
    size_t count = 1;
    allow[0] = lh_mechanism_by_name(kind == LH_KEY_EC_P256   ? "ecdsa-sha256"
                                    : kind == LH_KEY_ED25519 ? "eddsa"
                                    : kind == LH_KEY_AES256  ? "aes-gcm"
                                                             : "hmac-sha256");
    assert_non_null(allow[0]);
    lh_object_role role = {.role = "invoice",
        .workload = "spiffe://test.example/me",
        .kind = kind,
        .per_lease = per_lease,
        .key_id = {1, 2, 3},
        .allow = allow,
        .allow_count = count,
        .key = per_lease                ? NULL
               : kind == LH_KEY_EC_P256 ? ec
               : kind == LH_KEY_ED25519 ? ed
                                        : NULL};
    lh_object *object = NULL;
    assert_true(lh_ok(lh_object_new(crypto, &role, class, &object)));
    return object;
}

typedef struct {
    lh_buf buf;
    lh_wire_attribute a;
} told;

static told ask(const lh_object *object, uint32_t type, const lh_object_lease_view *lease)
{
    told t = {.buf = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX)};
    lh_object_put_attribute(object, type, lease, &t.buf);
    lh_reader r = lh_reader_new(lh_buf_bytes(&t.buf));
    assert_true(lh_wire_next_attribute(&r, &t.a));
    assert_int_equal(r.left, 0);
    assert_int_equal(t.a.type, type);
    return t;
}

static uint64_t number(const lh_object *object, uint32_t type, const lh_object_lease_view *lease)
{
    told t = ask(object, type, lease);
    assert_int_equal(t.a.flags, 0);
    lh_reader r = lh_reader_new(t.a.value);
    uint64_t value = t.a.value.len == 1 ? lh_read_u8(&r) : lh_read_u64(&r);
    lh_buf_free(&t.buf);
    return value;
}

static int flags_of(const lh_object *object, uint32_t type)
{
    told t = ask(object, type, NULL);
    int flags = t.a.flags;
    assert_true(flags == 0 || t.a.value.len == 0);
    lh_buf_free(&t.buf);
    return flags;
}

static void assert_value(const lh_object *object, uint32_t type, lh_bytes want)
{
    told t = ask(object, type, NULL);
    assert_int_equal(t.a.flags, 0);
    assert_true(lh_bytes_equal(t.a.value, want));
    lh_buf_free(&t.buf);
}

#define NONE (-1)
#define HIDDEN (-2)

typedef struct {
    uint32_t type;
    int private, public, secret; /* value of a boolean, NONE or HIDDEN */
} row;

static void assert_row(const lh_object *object, uint32_t type, int want)
{
    if (want == NONE)
        assert_int_equal(flags_of(object, type), LH_ATTRIBUTE_NONE);
    else if (want == HIDDEN)
        assert_int_equal(flags_of(object, type), LH_ATTRIBUTE_SENSITIVE);
    else
        assert_int_equal(number(object, type, NULL), want);
}

static void test_booleans_and_hidden(void **unused)
{
    (void)unused;
    static const row rows[] = {{CKA_TOKEN, 1, 1, 1}, {CKA_PRIVATE, 1, 0, 1}, {CKA_MODIFIABLE, 0, 0, 0},
        {CKA_COPYABLE, 0, 0, 0}, {CKA_DESTROYABLE, 0, 0, 0}, {CKA_LOCAL, 0, 0, 0}, {CKA_DERIVE, 0, 0, 0},
        {CKA_SIGN, 1, NONE, 0}, {CKA_VERIFY, NONE, 1, 0}, {CKA_ENCRYPT, NONE, 0, 1},
        {CKA_DECRYPT, 0, NONE, 1}, {CKA_SIGN_RECOVER, 0, NONE, NONE}, {CKA_VERIFY_RECOVER, NONE, 0, NONE},
        {CKA_WRAP, NONE, 0, 0}, {CKA_UNWRAP, 0, NONE, 0}, {CKA_TRUSTED, NONE, 0, 0},
        {CKA_SENSITIVE, 1, NONE, 1}, {CKA_ALWAYS_SENSITIVE, 1, NONE, 1}, {CKA_NEVER_EXTRACTABLE, 1, NONE, 1},
        {CKA_EXTRACTABLE, 0, NONE, 0}, {CKA_WRAP_WITH_TRUSTED, 0, NONE, 0},
        {CKA_ALWAYS_AUTHENTICATE, 0, NONE, NONE}, {CKA_VALUE, HIDDEN, NONE, HIDDEN},
        {CKA_VALUE_LEN, NONE, NONE, 32}, {CKA_MODULUS, NONE, NONE, NONE},
        {CKA_PRIVATE_EXPONENT, NONE, NONE, NONE}, {0xdeadbeef, NONE, NONE, NONE}};
    lh_object *private = make(LH_KEY_EC_P256, LH_OBJECT_PRIVATE, false);
    lh_object *public = make(LH_KEY_EC_P256, LH_OBJECT_PUBLIC, false);
    lh_object *secret = make(LH_KEY_AES256, LH_OBJECT_SECRET, false);
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        assert_row(private, rows[i].type, rows[i].private);
        assert_row(public, rows[i].type, rows[i].public);
        assert_row(secret, rows[i].type, rows[i].secret);
    }
    lh_object_unref(private);
    lh_object_unref(public);
    lh_object_unref(secret);
}

static void test_values(void **unused)
{
    (void)unused;
    static const struct {
        enum lh_key_kind kind;
        enum lh_object_class class;
        uint64_t ck_class, ck_type;
    } rows[] = {{LH_KEY_EC_P256, LH_OBJECT_PRIVATE, CKO_PRIVATE_KEY, CKK_EC},
        {LH_KEY_EC_P256, LH_OBJECT_PUBLIC, CKO_PUBLIC_KEY, CKK_EC},
        {LH_KEY_ED25519, LH_OBJECT_PRIVATE, CKO_PRIVATE_KEY, CKK_EC_EDWARDS},
        {LH_KEY_ED25519, LH_OBJECT_PUBLIC, CKO_PUBLIC_KEY, CKK_EC_EDWARDS},
        {LH_KEY_AES256, LH_OBJECT_SECRET, CKO_SECRET_KEY, CKK_AES},
        {LH_KEY_HMAC_SHA256, LH_OBJECT_SECRET, CKO_SECRET_KEY, CKK_GENERIC_SECRET}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_object *o = make(rows[i].kind, rows[i].class, false);
        assert_int_equal(number(o, CKA_CLASS, NULL), rows[i].ck_class);
        assert_int_equal(number(o, CKA_KEY_TYPE, NULL), rows[i].ck_type);
        assert_value(o, CKA_LABEL, LH_BYTES_STR("invoice"));
        static const uint8_t id[16] = {1, 2, 3};
        assert_value(o, CKA_ID, LH_BYTES(id, 16));
        assert_value(o, CKA_START_DATE, LH_BYTES_NONE);
        told t = ask(o, CKA_ALLOWED_MECHANISMS, NULL);
        assert_int_equal(t.a.value.len, 8);
        lh_buf_free(&t.buf);
        bool pair = rows[i].class != LH_OBJECT_SECRET;
        assert_int_equal(flags_of(o, CKA_EC_PARAMS), pair ? 0 : LH_ATTRIBUTE_NONE);
        assert_int_equal(flags_of(o, CKA_PUBLIC_KEY_INFO), pair ? 0 : LH_ATTRIBUTE_NONE);
        assert_int_equal(
            flags_of(o, CKA_EC_POINT), rows[i].class == LH_OBJECT_PUBLIC ? 0 : LH_ATTRIBUTE_NONE);
        assert_int_equal(lh_object_public_key(o) != NULL, rows[i].class == LH_OBJECT_PUBLIC);
        lh_object_unref(o);
    }
    /* The point is a DER OCTET STRING around it. */
    lh_object *o = make(LH_KEY_EC_P256, LH_OBJECT_PUBLIC, false);
    told t = ask(o, CKA_EC_POINT, NULL);
    assert_int_equal(t.a.value.len, 67);
    assert_int_equal(t.a.value.data[0], 0x04);
    assert_int_equal(t.a.value.data[1], 65);
    lh_buf_free(&t.buf);
    lh_object_unref(o);
}

static void test_lease_attributes(void **unused)
{
    (void)unused;
    lh_object *o = make(LH_KEY_EC_P256, LH_OBJECT_PRIVATE, false);
    static const uint8_t id[16] = {9, 8};
    const lh_object_lease_view lease = {id, 1767225600, 7};
    told t = ask(o, CKA_LEASEHOLD_LEASE_ID, &lease);
    assert_true(lh_bytes_equal(t.a.value, LH_BYTES(id, 16)));
    lh_buf_free(&t.buf);
    t = ask(o, CKA_LEASEHOLD_EXPIRY, &lease);
    assert_true(lh_bytes_equal(t.a.value, LH_BYTES_STR("2026-01-01T00:00:00Z")));
    lh_buf_free(&t.buf);
    assert_int_equal(number(o, CKA_LEASEHOLD_REMAINING_USES, &lease), 7);
    assert_value(o, CKA_LEASEHOLD_LEASE_ID, LH_BYTES_NONE); /* none issued */
    assert_value(o, CKA_LEASEHOLD_EXPIRY, LH_BYTES_NONE);
    assert_true(number(o, CKA_LEASEHOLD_REMAINING_USES, NULL) == UINT64_MAX);
    lh_object_unref(o);
    o = make(LH_KEY_EC_P256, LH_OBJECT_PUBLIC, false);
    assert_int_equal(flags_of(o, CKA_LEASEHOLD_LEASE_ID), LH_ATTRIBUTE_NONE);
    lh_object_unref(o);
}

/* Flags by which a search announces a type: -1 where it does not list it. */
static int listed(const lh_object *o, uint32_t type)
{
    lh_buf all = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    lh_object_put_attributes(o, &all);
    lh_reader r = lh_reader_new(lh_buf_bytes(&all));
    lh_wire_attribute a;
    int found = -1, times = 0;
    while (lh_wire_next_attribute(&r, &a)) {
        assert_int_equal(a.flags & LH_ATTRIBUTE_NONE, 0);
        if (a.type != type)
            continue;
        found = a.flags;
        times++;
    }
    assert_true(lh_ok(lh_read_done(&r, "attributes")));
    assert_true(times <= 1);
    lh_buf_free(&all);
    return found;
}

static void test_search_announces(void **unused)
{
    (void)unused;
    static const struct {
        bool per_lease;
        enum lh_object_class class;
        uint32_t type;
        int flags;
    } rows[] = {{false, LH_OBJECT_PRIVATE, CKA_PUBLIC_KEY_INFO, 0},
        {false, LH_OBJECT_PUBLIC, CKA_EC_POINT, 0},
        {true, LH_OBJECT_PRIVATE, CKA_PUBLIC_KEY_INFO, LH_ATTRIBUTE_ASK},
        {true, LH_OBJECT_PUBLIC, CKA_PUBLIC_KEY_INFO, LH_ATTRIBUTE_ASK},
        {true, LH_OBJECT_PUBLIC, CKA_EC_POINT, LH_ATTRIBUTE_ASK}, {true, LH_OBJECT_PRIVATE, CKA_EC_POINT, -1},
        {false, LH_OBJECT_PRIVATE, CKA_LEASEHOLD_LEASE_ID, LH_ATTRIBUTE_ASK},
        {false, LH_OBJECT_PRIVATE, CKA_LEASEHOLD_EXPIRY, LH_ATTRIBUTE_ASK},
        {false, LH_OBJECT_PRIVATE, CKA_LEASEHOLD_REMAINING_USES, LH_ATTRIBUTE_ASK},
        {false, LH_OBJECT_PUBLIC, CKA_LEASEHOLD_LEASE_ID, -1},
        {false, LH_OBJECT_PRIVATE, CKA_VALUE, LH_ATTRIBUTE_SENSITIVE},
        {false, LH_OBJECT_PUBLIC, CKA_VALUE, -1}, {false, LH_OBJECT_PRIVATE, CKA_LABEL, 0}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_object *o = make(LH_KEY_ED25519, rows[i].class, rows[i].per_lease);
        assert_int_equal(listed(o, rows[i].type), rows[i].flags);
        bool point = rows[i].type == CKA_EC_POINT || rows[i].type == CKA_PUBLIC_KEY_INFO;
        assert_int_equal(lh_object_needs_lease(o, rows[i].type), rows[i].per_lease && point);
        lh_object_unref(o);
    }
}

static void test_handles(void **unused)
{
    (void)unused;
    lh_object *a = make(LH_KEY_ED25519, LH_OBJECT_PRIVATE, false);
    lh_object *b = make(LH_KEY_ED25519, LH_OBJECT_PRIVATE, false);
    lh_object *c = make(LH_KEY_ED25519, LH_OBJECT_PUBLIC, false);
    assert_int_equal(lh_object_handle(a), lh_object_handle(b)); /* stable */
    assert_int_not_equal(lh_object_handle(a), lh_object_handle(c));
    assert_true(lh_object_handle(a) > 0 && lh_object_handle(a) <= INT64_MAX);
    lh_object_unref(a);
    lh_object_unref(b);
    lh_object_unref(lh_object_ref(c));
    lh_object_unref(c);
    const lh_object_role role = {.role = "r", .workload = "w", .kind = LH_KEY_AES256};
    lh_object *none = NULL;
    assert_int_equal(lh_object_new(crypto, &role, LH_OBJECT_PRIVATE, &none).code, LH_E_INVALID);
    const lh_object_role pair = {.role = "r", .workload = "w", .kind = LH_KEY_ED25519};
    assert_int_equal(lh_object_new(crypto, &pair, LH_OBJECT_SECRET, &none).code, LH_E_INVALID);
    const lh_object_role unknown = {.role = "r", .workload = "w", .kind = (enum lh_key_kind)77};
    assert_int_equal(lh_object_new(crypto, &unknown, LH_OBJECT_SECRET, &none).code, LH_E_INVALID);
    assert_null(none);
    lh_object_unref(NULL);
}

static bool matches(const lh_object *o, lh_buf *template)
{
    bool match = false;
    assert_true(lh_ok(lh_object_matches(o, lh_buf_bytes(template), &match)));
    lh_buf_clear(template);
    return match;
}

static void test_matching(void **unused)
{
    (void)unused;
    lh_object *o = make(LH_KEY_EC_P256, LH_OBJECT_PRIVATE, false);
    lh_buf t = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    assert_true(matches(o, &t)); /* empty: everything */
    lh_wire_put_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
    lh_wire_put_attribute(&t, CKA_LABEL, 0, LH_BYTES_STR("invoice"));
    assert_true(matches(o, &t));
    lh_wire_put_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    lh_wire_put_attribute(&t, CKA_LABEL, 0, LH_BYTES_STR("invoice"));
    assert_false(matches(o, &t));
    lh_wire_put_attribute(&t, CKA_LABEL, 0, LH_BYTES_STR("invoic"));
    assert_false(matches(o, &t));
    lh_wire_put_attribute(&t, CKA_VALUE, 0, LH_BYTES_NONE); /* what is hidden matches nothing */
    assert_false(matches(o, &t));
    lh_wire_put_attribute(&t, CKA_MODULUS, 0, LH_BYTES_NONE); /* nor does what is not there */
    assert_false(matches(o, &t));
    lh_wire_put_bool(&t, CKA_SIGN, true);
    assert_true(matches(o, &t));
    lh_wire_put_ulong(&t, CKA_SIGN, 1); /* of another size */
    assert_false(matches(o, &t));
    lh_object_unref(o);
    lh_buf_free(&t);
}

static void test_malformed_templates(void **unused)
{
    (void)unused;
    lh_object *o = make(LH_KEY_EC_P256, LH_OBJECT_PRIVATE, false);
    lh_buf t = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    lh_wire_put_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
    for (size_t len = 1; len < t.len; len++) {
        bool match = false;
        assert_int_equal(lh_object_matches(o, LH_BYTES(t.data, len), &match).code, LH_E_PROTOCOL);
        assert_false(match);
    }
    static const uint8_t huge[] = {0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0};
    bool match = false;
    assert_int_equal(lh_object_matches(o, LH_BYTES(huge, sizeof(huge)), &match).code, LH_E_PROTOCOL);
    lh_buf_free(&t);
    lh_object_unref(o);
}

static void test_certificates(void **unused)
{
    (void)unused;
    LH_AUTO(lh_buf_free) lh_buf der = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
    LH_AUTO(lh_x509_clear) lh_x509 parts = {0};
    assert_true(lh_ok(lh_base64_decode(LH_BYTES_STR(X509_LEAF), &der)));
    assert_true(lh_ok(lh_x509_parse(crypto, lh_buf_bytes(&der), &parts)));
    lh_object_certificate from = {.role = "invoice",
        .workload = "spiffe://t/a",
        .key_id = {1, 2, 3},
        .der = lh_buf_bytes(&der),
        .parts = &parts};
    lh_object *leaf = NULL, *ca = NULL;
    assert_true(lh_ok(lh_object_new_certificate(crypto, &from, &leaf)));
    from.index = 2;
    assert_true(lh_ok(lh_object_new_certificate(crypto, &from, &ca)));
    assert_int_not_equal(lh_object_handle(leaf), lh_object_handle(ca));
    assert_int_equal((lh_object_handle(leaf) | lh_object_handle(ca)) >> 62, 0);
    assert_int_equal(number(leaf, CKA_CLASS, NULL), CKO_CERTIFICATE);
    assert_int_equal(number(leaf, CKA_CERTIFICATE_TYPE, NULL), CKC_X_509);
    assert_int_equal(number(leaf, CKA_CERTIFICATE_CATEGORY, NULL), 1);
    assert_int_equal(number(ca, CKA_CERTIFICATE_CATEGORY, NULL), 2);
    assert_int_equal(number(leaf, CKA_TOKEN, NULL), 1);
    assert_int_equal(number(leaf, CKA_PRIVATE, NULL), 0);
    assert_int_equal(number(leaf, CKA_TRUSTED, NULL), 0);
    assert_int_equal(number(leaf, CKA_MODIFIABLE, NULL), 0);
    assert_value(leaf, CKA_VALUE, lh_buf_bytes(&der));
    assert_value(leaf, CKA_SUBJECT, lh_buf_bytes(&parts.subject));
    assert_value(leaf, CKA_ISSUER, lh_buf_bytes(&parts.issuer));
    assert_value(leaf, CKA_SERIAL_NUMBER, lh_buf_bytes(&parts.serial));
    assert_value(leaf, CKA_LABEL, LH_BYTES_STR("invoice"));
    assert_value(ca, CKA_LABEL, LH_BYTES_STR("invoice CA 2"));
    assert_value(leaf, CKA_ID, LH_BYTES(from.key_id, sizeof(from.key_id)));
    assert_value(ca, CKA_ID, LH_BYTES(parts.spki_sha1, 20));
    assert_value(leaf, CKA_START_DATE, LH_BYTES_STR("20261122"));
    assert_value(leaf, CKA_END_DATE, LH_BYTES_STR("21261029"));
    static const uint32_t none[] = {
        CKA_KEY_TYPE, CKA_SIGN, CKA_SENSITIVE, CKA_EC_POINT, CKA_LEASEHOLD_LEASE_ID};
    for (size_t i = 0; i < LH_ARRAY_LEN(none); i++) {
        assert_int_equal(flags_of(leaf, none[i]), LH_ATTRIBUTE_NONE);
        assert_false(lh_object_needs_lease(leaf, none[i]));
    }
    lh_object_unref(leaf);
    lh_object_unref(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_booleans_and_hidden),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_lease_attributes),
        cmocka_unit_test(test_search_announces),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_malformed_templates),
        cmocka_unit_test(test_certificates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
