/* The rows of curves agree with themselves. That they agree with libcrypto: tests/unit/crypto/test_ec.c. */
#include "p11/curve.h"

#include "p11/mechanism.h"

#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void rows(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_curve *curves = lh_curve_table(&count);
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++) {
        const lh_curve *at = &curves[i];
        assert_ptr_equal(lh_curve_by_name(at->name), at);
        assert_true(lh_curve_is_called(at, at->name));
        assert_ptr_equal(lh_curve_by_params(at->ck_type, at->oid), at);
        assert_int_equal(at->oid.data[0], 0x06);
        assert_int_equal(at->oid.data[1], at->oid.len - 2);
        assert_int_equal(at->curve_name.len == 0, at->ck_type == CKK_EC);
        if (at->curve_name.len > 0) {
            assert_ptr_equal(lh_curve_by_params(at->ck_type, at->curve_name), at);
            assert_int_equal(at->curve_name.data[0], 0x13);
            assert_int_equal(at->curve_name.data[1], at->curve_name.len - 2);
        }
        assert_null(lh_curve_by_params(CKK_RSA, at->oid));
        assert_null(lh_curve_by_params(at->ck_type, LH_BYTES(at->oid.data, at->oid.len - 1)));
        if (at->ck_type == CKK_EC) {
            assert_int_equal(at->scalar_len, (at->bits + 7) / 8);
            assert_int_equal(at->point_len, 1 + 2 * at->scalar_len);
            assert_int_equal(at->signature_len, 2 * at->scalar_len);
        }
    }
    assert_null(lh_curve_by_params(CKK_EC, LH_BYTES_NONE));
    assert_null(lh_curve_by_name("P-224"));
    assert_true(lh_curve_is_called(lh_curve_by_name("P-256"), "prime256v1"));
    assert_false(lh_curve_is_called(lh_curve_by_name("P-256"), "secp256k1"));
}

/* Every kind of leased pair has its curve, but those that are made of primes. */
static void leased(void **state)
{
    (void)state;
    for (int kind = LH_KEY_NONE + 1; kind < LH_KEY_KIND_COUNT; kind++) {
        const lh_key_row *row = lh_key_row_by_kind((enum lh_key_kind)kind);
        assert_non_null(row);
        if (row->made)
            assert_int_equal(lh_key_row_material_len(row), row->bits / 8);
        if (!row->pair || row->made)
            continue;
        const lh_curve *curve =
            lh_curve_by_params(row->ck_type, LH_BYTES(row->ec_params, row->ec_params_len));
        assert_non_null(curve);
        assert_int_equal(curve->bits, row->bits);
        assert_int_equal(lh_key_row_material_len(row), curve->scalar_len);
    }
    assert_int_equal(lh_key_row_material_len(lh_key_row_by_name("aes-256")), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(leased)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
