/* Derivation never changes: fixed vectors. They were computed by a Python program of its own (hmac and
 * hashlib for the KDF; plain integers and affine coordinates for the NIST curves; the cryptography package
 * for Ed25519 and AES) from the text of docs/decisions/0004-derivation.md, parent = 00 01 … 1f, context =
 * "example context". */
#include "crypto/derive.h"

#include "crypto/operation.h"
#include "support.h"

static const char parent_hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
#define CONTEXT LH_BYTES_STR("example context")

static void raw(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *want;
    } cases[] = {
        {1, "08"},
        {32, "8cfed1e0fdedb6c177e144c804e377edbab07de880a535d8f0b0f2e0e0d09126"},
        {48, "606b7e283e52c15eddccea673502469499c17ff835d515daa65e5b2023e8b66b36e656abb8778b44dc1ceec18e9d600"
             "3"},
        {100,
            "c21f47b5e7067bed5e93206a4492b67e3af54cea36466d2b2ea07c4d4fd25a230553e1b530a7412f443a4c7518febf4e"
            "1b2dc952d731d2a88e0d8e6614c78eab081297f58d2e3e1cd5632252bfcd4e57896dcde884597b8b4b763bb07fea89c8"
            "68b48d21"},
    };
    LH_AUTO(lh_secret_freep) lh_secret *parent = secret_hex(parent_hex);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        LH_AUTO(lh_secret_freep) lh_secret *out = NULL;
        assert_ok(lh_derive(crypto, parent, CONTEXT, cases[i].len, &out));
        assert_int_equal(lh_secret_len(out), cases[i].len);
        assert_bytes_hex(lh_secret_data(out), cases[i].len, cases[i].want);
    }
}

static void assert_point(enum lh_key_kind kind, const char *want)
{
    LH_AUTO(lh_secret_freep) lh_secret *parent = secret_hex(parent_hex);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    assert_ok(lh_key_derive(crypto, parent, CONTEXT, kind, &key));
    assert_int_equal(lh_key_kind(key), kind);
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    assert_ok(lh_key_public_point(key, &point));
    assert_bytes_hex(point.data, point.len, want);
}

static void pairs(void **state)
{
    (void)state;
    assert_point(LH_KEY_EC_P256, "04ffdeca11c5455ff96a67818636b383a13690be9f536798c10ce622d1e364e04c"
                                 "885f0e1e8498871050cd670e650ced78040333deb8dec3bfb5d0a30fad2835f6");
    assert_point(LH_KEY_EC_P384,
        "048fe775ffb7fb2f429e45556f9e53311625db0133c22e66ccae563bd93caf568cdbc569ed664f3027911cc309313658"
        "84cd7af6926b254af673029e36edff7bf3f549df49552463d7c2e9d3877b78ec776fcde9dc8bcd8e723e454d01be4395"
        "7a");
    assert_point(LH_KEY_EC_P521,
        "040152271b3a3f08de24cb8e89bfb338f10f7de9469df48603e99d78dd4d556135dbc6a66bf0406d9c4c5c6e77f1e42a"
        "e75a43192879b221de4ffc6c41e332f4c482a20189b96b6e67b76ff5a5175cdc21d56a53dd4f5f446ae9f76be6561269"
        "ecb86e9cdaec1be54f0ec48ea6765d374bbb49a58fbf730e7cedb0063b461b129f666893c4");
    assert_point(LH_KEY_ED25519, "a49e2e7430aeb139669fbcb68e555e7ea02c027d7b20b2d544e04e227e8b81ab");
}

/* What a derived secret key makes of known input tells its bytes. */
static void assert_symmetric(enum lh_key_kind kind, const char *mechanism, lh_bytes data, const char *want)
{
    LH_AUTO(lh_secret_freep) lh_secret *parent = secret_hex(parent_hex);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    assert_ok(lh_key_derive(crypto, parent, CONTEXT, kind, &key));
    const lh_mechanism *row = lh_mechanism_by_name(mechanism);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    lh_op_request request = {
        .key = key, .row = row, .use = row->uses & (LH_USE_SIGN | LH_USE_ENCRYPT), .data = data};
    assert_ok(lh_op_once(crypto, &request, &out));
    assert_bytes_hex(out.data, out.len, want);
    assert_refused(lh_key_public_point(key, &out), LH_E_INVALID, "key-type");
    assert_refused(lh_key_public_spki(key, &out), LH_E_INVALID, "key-type");
}

static void symmetric(void **state)
{
    (void)state;
    static const uint8_t zeros[16];
    assert_symmetric(LH_KEY_AES256, "aes-ecb", LH_BYTES(zeros, 16), "56d726c4b671cb5a0f882ec8412de766");
    assert_symmetric(LH_KEY_HMAC_SHA256, "hmac-sha256", LH_BYTES_STR("abc"),
        "05d091a1d2c99f972cbe718865f102fba7493140da5906ae4b4b9dc336860bf3");
}

static void every_input_matters(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *parent = secret_hex(parent_hex);
    LH_AUTO(lh_secret_freep) lh_secret *other = secret_hex(parent_hex);
    lh_secret_data(other)[31] ^= 1;
    LH_AUTO(lh_secret_freep) lh_secret *a = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *b = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *c = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *d = NULL;
    assert_ok(lh_derive(crypto, parent, CONTEXT, 32, &a));
    assert_ok(lh_derive(crypto, other, CONTEXT, 32, &b));
    assert_ok(lh_derive(crypto, parent, LH_BYTES_STR("example contexu"), 32, &c));
    assert_ok(lh_derive(crypto, parent, CONTEXT, 33, &d));
    assert_false(lh_secret_equal(a, b));
    assert_false(lh_secret_equal(a, c));
    lh_secret_truncate(d, 32);
    assert_false(lh_secret_equal(a, d));
}

static void refused(void **state)
{
    (void)state;
    static uint8_t context[LH_DERIVE_CONTEXT_MAX + 1];
    LH_AUTO(lh_secret_freep) lh_secret *parent = secret_hex(parent_hex);
    lh_secret *out = NULL;
    lh_key *key = NULL;
    assert_err(lh_derive(crypto, parent, CONTEXT, 0, &out), LH_E_INVALID);
    assert_err(lh_derive(crypto, parent, CONTEXT, 1025, &out), LH_E_INVALID);
    assert_err(lh_derive(crypto, parent, LH_BYTES_NONE, 32, &out), LH_E_INVALID);
    assert_err(lh_derive(crypto, parent, LH_BYTES(context, sizeof(context)), 32, &out), LH_E_INVALID);
    assert_refused(lh_key_derive(crypto, parent, CONTEXT, LH_KEY_NONE, &key), LH_E_INVALID, "key-type");
    assert_refused(lh_key_derive(crypto, parent, CONTEXT, LH_KEY_KIND_COUNT, &key), LH_E_INVALID, "key-type");
    assert_refused(lh_key_derive(crypto, parent, CONTEXT, LH_KEY_RSA_2048, &key), LH_E_INVALID, "key-type");
    lh_secret_truncate(parent, 31);
    assert_err(lh_derive(crypto, parent, CONTEXT, 32, &out), LH_E_INVALID);
    assert_err(lh_key_derive(crypto, parent, CONTEXT, LH_KEY_AES256, &key), LH_E_INVALID);
    assert_null(out);
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw),
        cmocka_unit_test(pairs),
        cmocka_unit_test(symmetric),
        cmocka_unit_test(every_input_matters),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
