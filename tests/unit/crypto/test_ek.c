/* Endorsement keys and their certificates: what is taken, and what is refused for which reason. */
#include "../ek_fixture.h"

#include "crypto/ek.h"

static lh_crypto *crypto;
static EVP_PKEY *rsa, *p256, *p384, *root_key, *middle_key;
static X509 *root, *middle;

static const ek_spec root_spec = {
    .name = "Maker root", .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
static const ek_spec middle_spec = {
    .name = "Maker issuing", .basic = "critical,CA:TRUE,pathlen:0", .usage = "critical,keyCertSign"};
static const ek_spec good = {0};

static int setup(void **state)
{
    (void)state;
    rsa = ek_key("rsa");
    p256 = ek_key("P-256");
    p384 = ek_key("P-384");
    root_key = ek_key("P-384");
    middle_key = ek_key("P-256");
    root = ek_certificate(root_key, &root_spec, NULL, NULL);
    middle = ek_certificate(middle_key, &middle_spec, root, root_key);
    return lh_ok(lh_crypto_new(&crypto)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {rsa, p256, p384, root_key, middle_key};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++)
        EVP_PKEY_free(keys[i]);
    X509_free(root);
    X509_free(middle);
    lh_crypto_free(crypto);
    return 0;
}

#define assert_is(expr, want_code, want_reason)                                                              \
    do {                                                                                                     \
        lh_err is_err = (expr);                                                                              \
        if (is_err.code != (want_code) || strcmp(lh_err_last()->reason, want_reason) != 0)                   \
            fail_msg("%s: %s [%s] %s", #expr, lh_code_name(is_err.code), lh_err_last()->reason,              \
                lh_err_last()->message);                                                                     \
    } while (0)
#define assert_taken(expr)                                                                                   \
    do {                                                                                                     \
        if (!lh_ok(expr))                                                                                    \
            fail_msg("%s: [%s] %s", #expr, lh_err_last()->reason, lh_err_last()->message);                   \
    } while (0)

static lh_err check_public(const lh_buf *public)
{
    enum lh_ek_kind kind;
    return lh_ek_check(crypto, lh_buf_bytes(public), &kind);
}

static void publics_are_read(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {rsa, p256, p384};
    static const char *const names[] = {"RSA-2048", "ECC P-256", "ECC P-384"};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++) {
        enum lh_ek_kind kind;
        lh_buf public = ek_public_of(keys[i]);
        assert_taken(lh_ek_check(crypto, lh_buf_bytes(&public), &kind));
        assert_string_equal(lh_ek_kind_name(kind), names[i]);
        for (size_t len = 0; len < public.len; len++)
            assert_int_equal(lh_ek_check(crypto, LH_BYTES(public.data, len), &kind).code, LH_E_INVALID);
        lh_put_u8(&public, 0);
        assert_is(check_public(&public), LH_E_INVALID, "ek-format");
        lh_buf_free(&public);
    }
}

/* Every attribute that an endorsement key needs, and those that it must not have. */
static void n09_attributes_are_checked(void **state)
{
    (void)state;
    lh_buf public = ek_public_of(p256);
    for (unsigned bit = 0; bit < 32; bit++) {
        static const uint32_t free_bits = 0x40u | 0x400u; /* userWithAuth, noDA */
        uint32_t attributes = EK_ATTRIBUTES ^ (UINT32_C(1) << bit);
        for (unsigned i = 0; i < 4; i++)
        public.data[4 + i] = (uint8_t)(attributes >> (24 - 8 * i));
        if (free_bits >> bit & 1u)
            assert_taken(check_public(&public));
        else
            assert_is(check_public(&public), LH_E_INVALID, "ek-attributes");
    }
    lh_buf_free(&public);
}

static void n09_other_kinds_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* of a 16-bit number */
        uint16_t value;
    } changes[] = {{0, 0x0008}, {0, 0x0001 ^ 0x0023}, {2, 0x0004}, {2, 0x0010}, {42, 0x0026}, {44, 192},
        {46, 0x0044}, {48, 0x0018}, {50, 0x0005}, {50, 0x0010}, {52, 0x0020}};
    for (size_t i = 0; i < LH_ARRAY_LEN(changes); i++) {
        lh_buf public = ek_public_of(p256);
        public.data[changes[i].at] = (uint8_t)(changes[i].value >> 8);
        public.data[changes[i].at + 1] = (uint8_t)changes[i].value;
        assert_is(check_public(&public), LH_E_INVALID, "ek-type");
        lh_buf_free(&public);
    }
    lh_buf public = ek_public_of(rsa);
    public.data[53] = 1; /* of the modulus' bits: 257 more */
    assert_int_equal(check_public(&public).code, LH_E_INVALID);
    lh_buf_free(&public);
    public = ek_public_of(rsa);
    public.data[55] = 3; /* the exponent */
    assert_is(check_public(&public), LH_E_INVALID, "ek-type");
    lh_buf_free(&public);
    public = ek_public_of(rsa);
    public.data[public.len - 256] &= 0x7f; /* a modulus of 2047 bits */
    assert_is(check_public(&public), LH_E_INVALID, "ek-format");
    lh_buf_free(&public);
    public = ek_public_of(p384);
    public.data[public.len - 1] ^= 1; /* off the curve */
    assert_is(check_public(&public), LH_E_INVALID, "key-public");
    lh_buf_free(&public);
}

static lh_ek_authorities *trust(X509 *one)
{
    lh_ek_authorities *authorities = NULL;
    lh_buf pem = ek_pem(one);
    assert_taken(lh_ek_authorities_new(crypto, &authorities));
    assert_taken(lh_ek_authorities_add(authorities, lh_buf_bytes(&pem)));
    lh_buf_free(&pem);
    return authorities;
}

/* Check certificates (NULL ends them) for key, with one authority. */
static lh_err check_with(X509 *authority, EVP_PKEY *key, X509 *const *certificates)
{
    lh_buf der[LH_LIMIT_EK_CERTIFICATES];
    lh_bytes chain[LH_LIMIT_EK_CERTIFICATES];
    size_t n = 0;
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *authorities = trust(authority);
    lh_buf public = ek_public_of(key);
    for (; certificates[n]; n++) {
        der[n] = ek_der(certificates[n]);
        chain[n] = lh_buf_bytes(&der[n]);
    }
    lh_err err = lh_ek_certificate_check(authorities, chain, n, lh_buf_bytes(&public), EK_NOW);
    for (size_t i = 0; i < n; i++)
        lh_buf_free(&der[i]);
    lh_buf_free(&public);
    return err;
}

/* A leaf for key by spec, issued by middle, with the root trusted. */
static lh_err check_leaf(EVP_PKEY *key, const ek_spec *spec)
{
    X509 *leaf = ek_certificate(key, spec, middle, middle_key);
    lh_err err = check_with(root, key, (X509 *const[]){leaf, middle, NULL});
    X509_free(leaf);
    return err;
}

static void chains_lead_to_an_authority(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {rsa, p256, p384};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++) {
        X509 *leaf = ek_certificate(keys[i], &good, middle, middle_key);
        assert_taken(check_with(root, keys[i], (X509 *const[]){leaf, middle, NULL}));
        assert_taken(check_with(root, keys[i], (X509 *const[]){leaf, root, middle, NULL}));
        assert_taken(check_with(middle, keys[i], (X509 *const[]){leaf, NULL})); /* trusted as such */
        assert_is(
            check_with(root, keys[i], (X509 *const[]){leaf, NULL}), LH_E_DENIED, "ek-certificate-untrusted");
        X509_free(leaf);
    }
    /* An older certificate without an extended key usage tells by its alternative name. */
    assert_taken(check_leaf(rsa, &(ek_spec){.extended = ""}));
    assert_taken(check_leaf(rsa, &(ek_spec){.no_manufacturer = true}));
    assert_taken(check_leaf(rsa, &(ek_spec){.usage = "keyEncipherment,digitalSignature"}));
    assert_taken(check_leaf(rsa, &(ek_spec){.extended = "serverAuth," EK_EKU}));
}

static void n09_certificate_key_is_not_the_ek(void **state)
{
    (void)state;
    X509 *leaf = ek_certificate(p256, &good, middle, middle_key);
    assert_is(check_with(root, p384, (X509 *const[]){leaf, middle, NULL}), LH_E_DENIED, "ek-certificate-key");
    assert_is(check_with(root, rsa, (X509 *const[]){leaf, middle, NULL}), LH_E_DENIED, "ek-certificate-key");
    X509_free(leaf);
}

static void n09_expired(void **state)
{
    (void)state;
    assert_is(check_leaf(rsa, &(ek_spec){.from = -90, .until = -1}), LH_E_DENIED, "ek-certificate-expired");
    assert_is(check_leaf(rsa, &(ek_spec){.from = 1, .until = 90}), LH_E_DENIED, "ek-certificate-expired");
    ek_spec old = middle_spec;
    old.from = -90;
    old.until = -1;
    X509 *gone = ek_certificate(middle_key, &old, root, root_key);
    X509 *leaf = ek_certificate(rsa, &good, gone, middle_key);
    assert_is(
        check_with(root, rsa, (X509 *const[]){leaf, gone, NULL}), LH_E_DENIED, "ek-certificate-expired");
    X509_free(gone);
    X509_free(leaf);
}

/* One that is issued by issuing, itself issued by the trusted root. */
static lh_err check_issued(const ek_spec *issuing, const ek_spec *leaf_spec)
{
    X509 *issuer = ek_certificate(middle_key, issuing, root, root_key);
    X509 *leaf = ek_certificate(rsa, leaf_spec, issuer, middle_key);
    lh_err err = check_with(root, rsa, (X509 *const[]){leaf, issuer, NULL});
    X509_free(issuer);
    X509_free(leaf);
    return err;
}

static void n09_wrong_issuer(void **state)
{
    (void)state;
    static const char untrusted[] = "ek-certificate-untrusted";
    X509 *other = ek_certificate(p256, &root_spec, NULL, NULL); /* the same name, another key */
    X509 *leaf = ek_certificate(rsa, &good, middle, middle_key);
    X509 *own = ek_certificate(rsa, &good, NULL, NULL);
    X509 *forged = ek_certificate(rsa, &good, middle, root_key);
    assert_is(check_with(other, rsa, (X509 *const[]){leaf, middle, NULL}), LH_E_DENIED, untrusted);
    assert_is(check_with(root, rsa, (X509 *const[]){own, middle, NULL}), LH_E_DENIED, untrusted);
    assert_is(check_with(root, rsa, (X509 *const[]){forged, middle, NULL}), LH_E_DENIED, untrusted);
    X509_free(other);
    X509_free(leaf);
    X509_free(own);
    X509_free(forged);
    assert_is(check_leaf(rsa, &(ek_spec){.sha1 = true}), LH_E_DENIED, untrusted);
    assert_is(check_leaf(rsa, &(ek_spec){.unknown = true}), LH_E_DENIED, untrusted);
}

/* What is between is an authority, as far as it says. */
static void n09_issuer_is_no_authority(void **state)
{
    (void)state;
    static const char untrusted[] = "ek-certificate-untrusted";
    ek_spec issuing = middle_spec;
    assert_taken(check_issued(&issuing, &good));
    issuing.basic = "critical,CA:FALSE";
    assert_is(check_issued(&issuing, &good), LH_E_DENIED, untrusted);
    issuing.basic = "";
    assert_is(check_issued(&issuing, &good), LH_E_DENIED, untrusted);
    issuing = middle_spec;
    issuing.usage = "critical,digitalSignature";
    assert_is(check_issued(&issuing, &good), LH_E_DENIED, untrusted);
    issuing = middle_spec;
    issuing.constraint = "critical,excluded;dirName:dn";
    assert_taken(check_issued(&issuing, &good));
    issuing.constraint = "critical,permitted;dirName:dn";
    assert_is(check_issued(&issuing, &good), LH_E_DENIED, untrusted);
    /* A root whose path may hold none between. */
    ek_spec short_root = root_spec;
    short_root.basic = "critical,CA:TRUE,pathlen:0";
    X509 *top = ek_certificate(root_key, &short_root, NULL, NULL);
    X509 *between = ek_certificate(middle_key, &middle_spec, top, root_key);
    X509 *leaf = ek_certificate(rsa, &good, between, middle_key);
    assert_is(check_with(top, rsa, (X509 *const[]){leaf, between, NULL}), LH_E_DENIED, untrusted);
    X509_free(top);
    X509_free(between);
    X509_free(leaf);
}

static void n09_wrong_usage(void **state)
{
    (void)state;
    static const char usage[] = "ek-certificate-usage";
    assert_is(check_leaf(rsa, &(ek_spec){.usage = ""}), LH_E_DENIED, usage);
    assert_is(check_leaf(rsa, &(ek_spec){.usage = "critical,keyAgreement"}), LH_E_DENIED, usage);
    assert_is(check_leaf(p256, &(ek_spec){.usage = "critical,keyEncipherment"}), LH_E_DENIED, usage);
    assert_is(check_leaf(p256, &(ek_spec){.usage = "critical,digitalSignature"}), LH_E_DENIED, usage);
    /* An authority's own certificate, for a key that is an endorsement key as well. */
    X509 *authority = ek_certificate(rsa,
        &(ek_spec){.name = "x", .basic = "critical,CA:TRUE", .usage = "keyCertSign,keyEncipherment"}, root,
        root_key);
    assert_is(check_with(root, rsa, (X509 *const[]){authority, NULL}), LH_E_DENIED, usage);
    X509_free(authority);
}

static void n09_not_a_tpms(void **state)
{
    (void)state;
    static const char not_tpm[] = "ek-certificate-not-tpm";
    assert_is(check_leaf(rsa, &(ek_spec){.extended = "serverAuth"}), LH_E_DENIED, not_tpm);
    assert_is(check_leaf(rsa, &(ek_spec){.extended = "2.23.133.8.2"}), LH_E_DENIED, not_tpm);
    assert_is(check_leaf(rsa, &(ek_spec){.extended = "anyExtendedKeyUsage"}), LH_E_DENIED, not_tpm);
    assert_is(check_leaf(rsa, &(ek_spec){.name = "www", .extended = "", .no_manufacturer = true}),
        LH_E_DENIED, not_tpm);
}

static void what_is_no_certificate(void **state)
{
    (void)state;
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *authorities = trust(root);
    lh_buf public = ek_public_of(rsa);
    X509 *leaf = ek_certificate(rsa, &good, middle, middle_key);
    lh_buf der = ek_der(leaf);
    lh_bytes chain[2] = {lh_buf_bytes(&der), LH_BYTES_STR("none")};
    const lh_bytes ek = lh_buf_bytes(&public);
    assert_is(lh_ek_certificate_check(authorities, chain, 2, ek, EK_NOW), LH_E_INVALID, "certificate-format");
    lh_put_u8(&der, 0);
    chain[0] = lh_buf_bytes(&der);
    assert_is(lh_ek_certificate_check(authorities, chain, 1, ek, EK_NOW), LH_E_INVALID, "certificate-format");
    chain[0] = LH_BYTES_NONE;
    assert_is(lh_ek_certificate_check(authorities, chain, 1, ek, EK_NOW), LH_E_INVALID, "certificate-format");
    assert_int_equal(lh_ek_certificate_check(authorities, chain, 0, ek, EK_NOW).code, LH_E_INVALID);
    assert_int_equal(
        lh_ek_certificate_check(authorities, chain, LH_LIMIT_EK_CERTIFICATES + 1, ek, EK_NOW).code,
        LH_E_INVALID);
    lh_buf_free(&public);
    lh_buf_free(&der);
    X509_free(leaf);
}

static void authorities_are_read(void **state)
{
    (void)state;
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *authorities = NULL;
    assert_taken(lh_ek_authorities_new(crypto, &authorities));
    lh_buf both = LH_BUF_INIT(65536);
    lh_buf one = ek_pem(root);
    lh_buf_append_str(&both, "what it is\n");
    lh_buf_append(&both, one.data, one.len);
    lh_buf_free(&one);
    one = ek_pem(middle);
    lh_buf_append(&both, one.data, one.len);
    assert_taken(lh_ek_authorities_add(authorities, lh_buf_bytes(&both)));
    assert_int_equal(lh_ek_authorities_count(authorities), 2);
    assert_is(lh_ek_authorities_add(authorities, LH_BYTES_STR("nothing")), LH_E_INVALID, "ek-authority");
    assert_is(lh_ek_authorities_add(authorities, LH_BYTES_NONE), LH_E_INVALID, "ek-authority");
    one.data[one.len / 2] = '*';
    assert_is(lh_ek_authorities_add(authorities, lh_buf_bytes(&one)), LH_E_INVALID, "ek-authority");
    lh_buf_free(&one);
    X509 *leaf = ek_certificate(rsa, &good, middle, middle_key);
    one = ek_pem(leaf);
    assert_is(lh_ek_authorities_add(authorities, lh_buf_bytes(&one)), LH_E_INVALID, "ek-authority");
    assert_int_equal(lh_ek_authorities_count(authorities), 2);
    lh_buf_free(&one);
    lh_buf_free(&both);
    X509_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publics_are_read),
        cmocka_unit_test(n09_attributes_are_checked),
        cmocka_unit_test(n09_other_kinds_are_refused),
        cmocka_unit_test(chains_lead_to_an_authority),
        cmocka_unit_test(n09_certificate_key_is_not_the_ek),
        cmocka_unit_test(n09_expired),
        cmocka_unit_test(n09_wrong_issuer),
        cmocka_unit_test(n09_issuer_is_no_authority),
        cmocka_unit_test(n09_wrong_usage),
        cmocka_unit_test(n09_not_a_tpms),
        cmocka_unit_test(what_is_no_certificate),
        cmocka_unit_test(authorities_are_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
