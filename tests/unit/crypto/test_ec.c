/* Elliptic curves: every row of them, against the openssl command's results; import, export, generation. */
#include "ec_vectors.h"
#include "p11/curve.h"
#include "pair_fixture.h"

enum { PAIR_TYPES = LH_TYPE_EC | LH_TYPE_EDWARDS | LH_TYPE_MONTGOMERY };

static const lh_curve *curve(const char *name)
{
    const lh_curve *found = lh_curve_by_name(name);
    assert_non_null(found);
    return found;
}

static lh_key *private_key(const char *name, const char *value)
{
    return import_ok(
        curve(name)->ck_type, CKO_PRIVATE_KEY, {CKA_EC_PARAMS, curve(name)->oid}, {CKA_VALUE, hex_of(value)});
}

static lh_key *public_key(const char *name, lh_bytes point)
{
    return import_ok(
        curve(name)->ck_type, CKO_PUBLIC_KEY, {CKA_EC_PARAMS, curve(name)->oid}, {CKA_EC_POINT, point});
}

static void ecdsa(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(ec_vectors); i++) {
        LH_AUTO(lh_key_freep) lh_key *private = private_key(ec_vectors[i].curve, ec_vectors[i].scalar);
        LH_AUTO(lh_key_freep) lh_key *public = public_key(ec_vectors[i].curve, hex_of(ec_vectors[i].point));
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
        assert_ok(lh_key_public_point(private, &made)); /* computed from the scalar */
        assert_bytes_hex(made.data, made.len, ec_vectors[i].point);
        verify_strictly((tool){public, "ecdsa", LH_BYTES_NONE}, MESSAGE, hex_of(ec_vectors[i].raw));
        sign_and_verify((tool){private, "ecdsa", LH_BYTES_NONE}, MESSAGE);
        for (size_t j = 0; j < LH_ARRAY_LEN(ec_hashes); j++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "ecdsa-%s", ec_hashes[j]);
            verify_strictly((tool){public, name, LH_BYTES_NONE}, MESSAGE, hex_of(ec_vectors[i].of_hash[j]));
            sign_and_verify((tool){private, name, LH_BYTES_NONE}, MESSAGE);
        }
        assert_refused(
            use((tool){public, "ecdsa", LH_BYTES_NONE}, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made),
            LH_E_INVALID, "key-type");
        /* r and s of zero are no signature. */
        static const uint8_t zeros[132];
        assert_err(use((tool){public, "ecdsa", LH_BYTES_NONE}, LH_USE_VERIFY, MESSAGE,
                       LH_BYTES(zeros, 2 * curve(ec_vectors[i].curve)->scalar_len), &made),
            LH_E_SIGNATURE);
    }
}

/* Raw ECDSA takes as much as the longest hash has, over P-521 as much as its order. */
static void raw_lengths(void **state)
{
    (void)state;
    static const uint8_t data[67] = {9};
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
    for (size_t i = 0; i < LH_ARRAY_LEN(ec_vectors); i++) {
        LH_AUTO(lh_key_freep) lh_key *key = private_key(ec_vectors[i].curve, ec_vectors[i].scalar);
        size_t max = lh_key_bits(key) == 521 ? 66 : 64;
        tool t = {key, "ecdsa", LH_BYTES_NONE};
        sign_and_verify(t, LH_BYTES(data, max));
        assert_refused(
            use(t, LH_USE_SIGN, LH_BYTES(data, max + 1), LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
        assert_refused(use(t, LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
        assert_refused(
            use((tool){key, "ecdsa", LH_BYTES(data, 1)}, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made),
            LH_E_INVALID, "mechanism-param");
    }
}

static void edwards(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(raw_vectors); i++) {
        LH_AUTO(lh_key_freep) lh_key *private = private_key(raw_vectors[i].curve, raw_vectors[i].seed);
        LH_AUTO(lh_key_freep) lh_key *public = public_key(raw_vectors[i].curve, hex_of(raw_vectors[i].point));
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
        assert_ok(lh_key_public_point(private, &made));
        assert_bytes_hex(made.data, made.len, raw_vectors[i].point);
        lh_op *op = NULL;
        if (!raw_vectors[i].signature) {
            assert_refused(lh_op_begin(crypto, private, row("eddsa"), LH_USE_SIGN, LH_BYTES_NONE, &op),
                LH_E_INVALID, "key-type");
            continue;
        }
        const lh_bytes params[] = {LH_BYTES_NONE, hex_of("0000000000")};
        for (size_t j = 0; j < LH_ARRAY_LEN(params); j++) {
            tool t = {private, "eddsa", params[j]};
            assert_ok(use(t, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
            assert_bytes_hex(made.data, made.len, raw_vectors[i].signature);
            sign_and_verify(t, MESSAGE);
            verify_strictly((tool){public, "eddsa", params[j]}, MESSAGE, hex_of(raw_vectors[i].signature));
        }
        const char *const wrong[] = {"00", "0200000000", "000000000261", "00000000", "000000000000"};
        for (size_t j = 0; j < LH_ARRAY_LEN(wrong); j++)
            assert_refused(lh_op_begin(crypto, private, row("eddsa"), LH_USE_SIGN, hex_of(wrong[j]), &op),
                LH_E_INVALID, "mechanism-param");
    }
}

/* RFC 8032 section 7.4, the empty message. */
static void ed448_blank(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep)
    lh_key *key = private_key("ED448", "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3528c8"
                                       "a3fcc2f044e39a3fc5b94492f8f032e7549a"
                                       "20098f95b");
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
    assert_ok(use((tool){key, "eddsa", LH_BYTES_NONE}, LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES_NONE, &made));
    assert_bytes_hex(made.data, made.len,
        "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f2b233f034f628281f2fd7a22ddd47d7828c5"
        "9bd0a"
        "21bfd3980ff0d2028d4b18a9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4dbb61149f05a736"
        "3268c"
        "71d95808ff2e652600");
}

/* Every encoding of a point and of a curve that is taken, and what is not. */
static void points(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_curve *curves = lh_curve_table(&count);
    for (size_t i = 0; i < count; i++) {
        const lh_key_part parts[] = {
            {CKA_EC_PARAMS, curves[i].curve_name.len ? curves[i].curve_name : curves[i].oid}};
        const char *keygen = curves[i].ck_type == CKK_EC           ? "ec-keygen"
                             : curves[i].ck_type == CKK_EC_EDWARDS ? "edwards-keygen"
                                                                   : "montgomery-keygen";
        LH_AUTO(lh_key_freep) lh_key *key = generate_parts(keygen, parts, 1, NULL);
        LH_AUTO(lh_key_freep) lh_key *private = NULL;
        LH_AUTO(lh_key_freep) lh_key *public = NULL;
        assert_int_equal(lh_key_bits(key), curves[i].bits);
        export_and_import(key, &private, &public); /* CKA_EC_POINT as OCTET STRING */
        if (curves[i].signature_len > 0) {
            const char *sign = curves[i].ck_type == CKK_EC ? "ecdsa-sha256" : "eddsa";
            LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(256);
            assert_ok(use((tool){private, sign, LH_BYTES_NONE}, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
            assert_int_equal(made.len, curves[i].signature_len);
            verify_strictly((tool){public, sign, LH_BYTES_NONE}, MESSAGE, lh_buf_bytes(&made));
        }
        LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(256);
        assert_ok(lh_key_public_point(key, &point));
        lh_key_free(public_key(curves[i].name, lh_buf_bytes(&point)));
        const lh_key_part params = {CKA_EC_PARAMS, curves[i].oid};
        const char *invalid = "attribute-value-invalid";
        import_refused(curves[i].ck_type, CKO_PUBLIC_KEY, invalid, params,
            {CKA_EC_POINT, LH_BYTES(point.data, point.len - 1)});
        import_refused(curves[i].ck_type, CKO_PUBLIC_KEY, invalid, params, {CKA_EC_POINT, LH_BYTES_NONE});
        import_refused(curves[i].ck_type, CKO_PUBLIC_KEY, "template-incomplete", params);
        import_refused(curves[i].ck_type, CKO_PRIVATE_KEY, "template-incomplete", params);
        import_refused(
            curves[i].ck_type, CKO_PUBLIC_KEY, "template-incomplete", {CKA_EC_POINT, lh_buf_bytes(&point)});
        if (curves[i].ck_type != CKK_EC)
            continue;
        point.data[point.len - 1] ^= 1; /* off the curve */
        import_refused(
            curves[i].ck_type, CKO_PUBLIC_KEY, invalid, params, {CKA_EC_POINT, lh_buf_bytes(&point)});
        point.data[point.len - 1] ^= 1;
        point.data[0] = 0x06; /* hybrid */
        import_refused(
            curves[i].ck_type, CKO_PUBLIC_KEY, invalid, params, {CKA_EC_POINT, lh_buf_bytes(&point)});
        import_refused(curves[i].ck_type, CKO_PUBLIC_KEY, invalid, params, {CKA_EC_POINT, LH_BYTES("\0", 1)});
    }
}

static void scalars_and_curves(void **state)
{
    (void)state;
    const char *invalid = "attribute-value-invalid";
    const lh_key_part p256 = {CKA_EC_PARAMS, curve("P-256")->oid};
    const char *order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    import_refused(CKK_EC, CKO_PRIVATE_KEY, invalid, p256, {CKA_VALUE, hex_of(order)});
    import_refused(CKK_EC, CKO_PRIVATE_KEY, invalid, p256, {CKA_VALUE, hex_of("00")});
    import_refused(CKK_EC, CKO_PRIVATE_KEY, invalid, p256, {CKA_VALUE, LH_BYTES_NONE});
    static const uint8_t long_value[33] = {1};
    import_refused(CKK_EC, CKO_PRIVATE_KEY, invalid, p256, {CKA_VALUE, LH_BYTES(long_value, 33)});
    /* Leading zeros, and none: the same number. */
    lh_key_free(import_ok(CKK_EC, CKO_PRIVATE_KEY, p256, {CKA_VALUE, hex_of("05")}));
    lh_key_free(import_ok(CKK_EC, CKO_PRIVATE_KEY, p256, {CKA_VALUE, hex_of("0000000000000005")}));
    /* A point that is given with a private key is compared. */
    lh_key_free(import_ok(CKK_EC, CKO_PRIVATE_KEY, p256, {CKA_VALUE, hex_of(ec_vectors[0].scalar)},
        {CKA_EC_POINT, hex_of(ec_vectors[0].point)}));
    import_refused(CKK_EC, CKO_PRIVATE_KEY, invalid, p256, {CKA_VALUE, hex_of("05")},
        {CKA_EC_POINT, hex_of(ec_vectors[0].point)});
    import_refused(CKK_EC_EDWARDS, CKO_PRIVATE_KEY, invalid, {CKA_EC_PARAMS, curve("ED25519")->oid},
        {CKA_VALUE, hex_of(raw_vectors[0].seed)}, {CKA_EC_POINT, hex_of(raw_vectors[2].point)});
    import_refused(CKK_EC_EDWARDS, CKO_PRIVATE_KEY, invalid, {CKA_EC_PARAMS, curve("ED25519")->oid},
        {CKA_VALUE, LH_BYTES(long_value, 33)});
    /* Explicit parameters, brainpoolP256r1, another type's curve, nothing. */
    const char *unknown = "curve-not-supported";
    const lh_key_part value = {CKA_VALUE, hex_of("05")};
    import_refused(CKK_EC, CKO_PRIVATE_KEY, unknown, {CKA_EC_PARAMS, hex_of("3003020101")}, value);
    import_refused(
        CKK_EC, CKO_PRIVATE_KEY, unknown, {CKA_EC_PARAMS, hex_of("06092b2403030208010107")}, value);
    import_refused(CKK_EC, CKO_PRIVATE_KEY, unknown, {CKA_EC_PARAMS, curve("ED25519")->oid}, value);
    import_refused(
        CKK_EC_MONTGOMERY, CKO_PRIVATE_KEY, unknown, {CKA_EC_PARAMS, curve("ED25519")->oid}, value);
    import_refused(CKK_EC, CKO_PRIVATE_KEY, unknown, {CKA_EC_PARAMS, LH_BYTES_NONE}, value);
    generate_parts("ec-keygen", &(lh_key_part){CKA_EC_PARAMS, hex_of("0603")}, 1, unknown);
    generate_parts("ec-keygen", NULL, 0, "template-incomplete");
}

static void every_row(void **state)
{
    (void)state;
    assert_all_tried(PAIR_TYPES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecdsa),
        cmocka_unit_test(raw_lengths),
        cmocka_unit_test(edwards),
        cmocka_unit_test(ed448_blank),
        cmocka_unit_test(points),
        cmocka_unit_test(scalars_and_curves),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
