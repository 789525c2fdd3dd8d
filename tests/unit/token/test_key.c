/* Keys of standalone partitions: made, wrapped, unwrapped, derived, encapsulated; parameters as the wire has
 * them. */
#include "fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;
static CK_SESSION_HANDLE session;
static CK_SESSION_HANDLE reading;
static CK_BBOOL yes = CK_TRUE;

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    daemon_.control->version = 2;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &reading), CKR_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    fake_close(&daemon_);
    return 0;
}

static CK_OBJECT_HANDLE secret(void)
{
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE h = 0;
    assert_int_equal(C_GenerateKey(session, &m, NULL, 0, &h), CKR_OK);
    return h;
}

/* What the daemon was told as the last parameter. */
static void told(const char *hex)
{
    char text[2 * 512 + 1];
    assert_true(daemon_.control->params_len <= 512);
    lh_hex(daemon_.control->params, daemon_.control->params_len, text);
    assert_string_equal(text, hex);
}

static void generation(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, 1};
    CK_OBJECT_HANDLE h = 0;
    CK_OBJECT_HANDLE p = 0;
    assert_int_equal(C_GenerateKey(session, NULL, NULL, 0, &h), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GenerateKey(session, &m, NULL, 0, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GenerateKey(session, &m, NULL, 3, &h), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GenerateKey(reading, &m, &on_token, 1, &h), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_GenerateKey(reading, &m, NULL, 0, &h), CKR_OK);
    assert_true(h & FAKE_SESSION_OBJECT);
    m.ulParameterLen = 3;
    assert_int_equal(C_GenerateKey(session, &m, NULL, 0, &h), CKR_MECHANISM_PARAM_INVALID);
    m = (CK_MECHANISM){CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    assert_int_equal(C_GenerateKey(session, &m, NULL, 0, &h), CKR_MECHANISM_INVALID);
    assert_int_equal(C_GenerateKeyPair(reading, &m, NULL, 0, &on_token, 1, &h, &p), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_GenerateKeyPair(session, &m, NULL, 0, NULL, 0, &h, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GenerateKeyPair(session, &m, NULL, 0, &on_token, 1, &h, &p), CKR_OK);
    assert_true(h & FAKE_SESSION_OBJECT);
    assert_false(p & FAKE_SESSION_OBJECT);
    /* An RSA key tells how long its signatures are. */
    CK_BYTE signature[256];
    CK_ULONG len = 0;
    m = (CK_MECHANISM){CKM_SHA256_RSA_PKCS, NULL, 0};
    assert_int_equal(C_SignInit(session, &m, p), CKR_OK);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, NULL, &len), CKR_OK);
    assert_int_equal(len, 256);
    len = 255;
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, signature, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(daemon_.control->calls[LH_CALL_SIGN], 0);
    assert_int_equal(C_SignInit(session, NULL, 0), CKR_OK);
}

static void wrapping(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE key = secret();
    CK_OBJECT_HANDLE other = secret();
    CK_OBJECT_HANDLE back;
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_BYTE out[64];
    CK_ULONG len = 0;
    assert_int_equal(C_WrapKey(session, &m, key, other, NULL, &len), CKR_OK);
    assert_int_equal(len, 27);
    len = 26;
    assert_int_equal(C_WrapKey(session, &m, key, other, out, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_WrapKey(session, &m, key, other, out, &len), CKR_OK);
    assert_memory_equal(out, "a wrapped key", 13);
    assert_int_equal(daemon_.control->calls[LH_CALL_WRAP], 1); /* a use counts once */
    assert_int_equal(C_WrapKey(session, &m, key, other, out, &len), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_WRAP], 2);
    len = 0;
    assert_int_equal(C_WrapKey(session, &m, key, other, NULL, &len), CKR_OK);
    assert_int_equal(C_WrapKey(session, &m, other, key, out, &len), CKR_OK); /* another: asked anew */
    assert_int_equal(daemon_.control->calls[LH_CALL_WRAP], 4);
    assert_int_equal(C_WrapKey(session, &m, FAKE_AES, other, out, &len), CKR_WRAPPING_KEY_HANDLE_INVALID);
    assert_int_equal(C_WrapKey(session, &m, key, 0, out, &len), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_WrapKey(session, &m, key, other, out, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(
        C_WrapKeyAuthenticated(session, &m, key, other, NULL, 0, out, &len), CKR_MECHANISM_INVALID);
    assert_int_equal(C_UnwrapKey(session, &m, key, out, 27, NULL, 0, &back), CKR_OK);
    assert_int_equal(C_UnwrapKey(session, &m, 7, out, 27, NULL, 0, &back), CKR_UNWRAPPING_KEY_HANDLE_INVALID);
    assert_int_equal(C_UnwrapKey(session, &m, key, out, ~0UL, NULL, 0, &back), CKR_WRAPPED_KEY_LEN_RANGE);
    assert_int_equal(C_UnwrapKey(session, &m, key, out, 0, NULL, 0, &back), CKR_WRAPPED_KEY_LEN_RANGE);
    assert_int_equal(C_UnwrapKey(session, &m, key, NULL, 27, NULL, 0, &back), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_UnwrapKey(session, &m, key, out, 27, NULL, 0, NULL), CKR_ARGUMENTS_BAD);
    m.pParameter = out;
    m.ulParameterLen = 7;
    assert_int_equal(C_WrapKey(session, &m, key, other, out, &len), CKR_MECHANISM_PARAM_INVALID);
}

static void derivation_of_several(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE base = secret();
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE more[2] = {0, 0};
    CK_SP800_108_COUNTER_FORMAT counter = {CK_FALSE, 32};
    CK_SP800_108_DKM_LENGTH_FORMAT length = {CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, CK_TRUE, 16};
    CK_PRF_DATA_PARAM fields[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof(counter)},
        {CK_SP800_108_BYTE_ARRAY, TEXT("ab"), 2}, {CK_SP800_108_DKM_LENGTH, &length, sizeof(length)}};
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, 1};
    CK_DERIVED_KEY further[] = {{NULL, 0, &more[0]}, {&on_token, 1, &more[1]}};
    CK_SP800_108_KDF_PARAMS p = {CKM_SHA256_HMAC, 3, fields, 2, further};
    CK_MECHANISM m = {CKM_SP800_108_COUNTER_KDF, &p, sizeof(p)};
    daemon_.control->further = 2;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_OK);
    assert_true(key != 0 && more[0] != 0 && more[1] != 0 && more[0] != more[1] && more[0] != key);
    told("00000251"
         "00000003"
         "00000001"
         "00000005"
         "00"
         "00000020"
         "00000004"
         "00000002"
         "6162"
         "00000003"
         "00000009"
         "00000001"
         "01"
         "00000010"
         "00000000"
         "00000002"
         "00000000"
         "0000000a"
         "00000001"
         "00"
         "00000001"
         "01");
    assert_int_equal(C_DeriveKey(reading, &m, base, NULL, 0, &key), CKR_SESSION_READ_ONLY);
    daemon_.control->further = 1; /* the daemon gives too few */
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_DEVICE_ERROR);
    further[0].phKey = NULL;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    p.ulAdditionalDerivedKeys = ~0UL;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    p.ulAdditionalDerivedKeys = 0;
    p.ulNumberOfDataParams = ~0UL;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    p.ulNumberOfDataParams = 3;
    fields[1].ulValueLen = ~0UL;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    fields[1].ulValueLen = 2;
    fields[2].ulValueLen = sizeof(length) - 1;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    fields[2].type = 99;
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, &key), CKR_MECHANISM_PARAM_INVALID);
    assert_int_equal(C_DeriveKey(session, &m, FAKE_AES, NULL, 0, &key), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_DeriveKey(session, &m, base, NULL, 0, NULL), CKR_ARGUMENTS_BAD);
}

static void encapsulation(void **state)
{
    (void)state;
    CK_MECHANISM make = {CKM_ML_KEM_KEY_PAIR_GEN, NULL, 0};
    CK_MECHANISM m = {CKM_ML_KEM, NULL, 0};
    CK_ULONG set = CKP_ML_KEM_768;
    CK_ATTRIBUTE a = {CKA_PARAMETER_SET, &set, sizeof(set)};
    CK_OBJECT_HANDLE public;
    CK_OBJECT_HANDLE private;
    CK_OBJECT_HANDLE key = 0;
    static CK_BYTE out[2000];
    CK_ULONG len = 0;
    assert_int_equal(C_GenerateKeyPair(session, &make, &a, 1, NULL, 0, &public, &private), CKR_OK);
    assert_int_equal(C_EncapsulateKey(session, &m, public, NULL, 0, NULL, &len, &key), CKR_OK);
    assert_int_equal(len, 1088);
    len--;
    assert_int_equal(C_EncapsulateKey(session, &m, public, NULL, 0, out, &len, &key), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 1088);
    assert_int_equal(daemon_.control->calls[LH_CALL_ENCAPSULATE], 0); /* no key is made in vain */
    assert_int_equal(C_EncapsulateKey(session, &m, public, NULL, 0, out, &len, &key), CKR_OK);
    assert_int_not_equal(key, 0);
    assert_int_equal(C_EncapsulateKey(session, &m, public, NULL, 0, out, &len, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_EncapsulateKey(session, &m, public, NULL, 0, out, NULL, &key), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_EncapsulateKey(session, &m, 5, NULL, 0, out, &len, &key), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(
        C_EncapsulateKey(session, &m, secret(), NULL, 0, out, &len, &key), CKR_KEY_TYPE_INCONSISTENT);
    assert_int_equal(C_DecapsulateKey(session, &m, private, NULL, 0, out, len, &key), CKR_OK);
    assert_int_equal(
        C_DecapsulateKey(session, &m, private, NULL, 0, out, ~0UL, &key), CKR_ENCRYPTED_DATA_LEN_RANGE);
    assert_int_equal(C_DecapsulateKey(session, &m, private, NULL, 0, NULL, 5, &key), CKR_ARGUMENTS_BAD);
}

/* One parameter through lh_token_params: its encoding, or that it is refused. */
typedef struct {
    enum lh_param param;
    void *p;
    CK_ULONG len;
    const char *hex; /* NULL: refused */
} shape;

CK_RV lh_token_params(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret);

static void shapes(void **state)
{
    (void)state;
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_RSA_PKCS_PSS_PARAMS pss_bad = {CKM_SHA256, ~0UL, 32};
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, TEXT("L"), 1};
    CK_RSA_PKCS_OAEP_PARAMS oaep_null = {CKM_SHA_1, CKG_MGF1_SHA1, 0, NULL, 0};
    CK_RSA_PKCS_OAEP_PARAMS oaep_bad = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 1};
    CK_RSA_PKCS_OAEP_PARAMS oaep_huge = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, TEXT("L"), ~0UL};
    CK_EDDSA_PARAMS eddsa = {1, 2, TEXT("cx")};
    CK_EDDSA_PARAMS eddsa_bad = {2, 0, NULL};
    CK_EDDSA_PARAMS eddsa_long = {0, 256, TEXT("cx")};
    CK_SIGN_ADDITIONAL_CONTEXT context = {CKH_HEDGE_REQUIRED, TEXT("c"), 1};
    CK_HASH_SIGN_ADDITIONAL_CONTEXT hash = {CKH_HEDGE_PREFERRED, NULL, 0, CKM_SHA512};
    CK_CCM_PARAMS ccm = {300, TEXT("1234567"), 7, TEXT("a"), 1, 8};
    CK_CCM_PARAMS ccm_bad = {300, TEXT("1234567"), 14, NULL, 0, 8};
    CK_SALSA20_CHACHA20_POLY1305_PARAMS poly = {TEXT("123456789012"), 96, NULL, 0};
    CK_CHACHA20_PARAMS chacha = {TEXT("\1\0\0\0"), 32, TEXT("123456789012"), 96};
    CK_CHACHA20_PARAMS chacha_bad = {TEXT("\1\0\0\0"), 33, TEXT("123456789012"), 96};
    CK_KEY_DERIVATION_STRING_DATA string = {TEXT("data"), 4};
    CK_KEY_DERIVATION_STRING_DATA string_bad = {NULL, 4};
    CK_OBJECT_HANDLE handle = 0x4000000000000001;
    CK_AES_CBC_ENCRYPT_DATA_PARAMS iv_data = {"0123456789abcde", TEXT("xy"), 2};
    CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, 3, TEXT("\4ab")};
    CK_ECDH1_DERIVE_PARAMS ecdh_bad = {CKD_NULL, 0, NULL, ~0UL, TEXT("\4ab")};
    CK_HKDF_PARAMS hkdf = {1, 1, CKM_SHA256, CKF_HKDF_SALT_DATA, TEXT("s"), 1, 0, TEXT("i"), 1};
    CK_HKDF_PARAMS hkdf_key = {1, 0, CKM_SHA256, CKF_HKDF_SALT_KEY, NULL, 9, 5, NULL, 0};
    CK_HKDF_PARAMS hkdf_bad = {1, 1, CKM_SHA256, 3, NULL, 0, 0, NULL, 0};
    CK_ULONG password_len = 2;
    CK_PKCS5_PBKD2_PARAMS2 pbkd2 = {CKZ_SALT_SPECIFIED, TEXT("salt"), 4, 1000, 4, NULL, 0, TEXT("pw"), 2};
    CK_PKCS5_PBKD2_PARAMS old = {
        CKZ_SALT_SPECIFIED, TEXT("salt"), 4, 1000, 4, NULL, 0, TEXT("pw"), &password_len};
    CK_PKCS5_PBKD2_PARAMS2 pbkd2_bad = {
        CKZ_SALT_SPECIFIED, TEXT("salt"), 4, 1000, 4, NULL, 0, TEXT("pw"), ~0UL};
    CK_PKCS5_PBKD2_PARAMS2 pbkd2_huge = {
        CKZ_SALT_SPECIFIED, TEXT("salt"), 4, 1000, 4, NULL, 0, TEXT("pw"), 0x12345678};
    CK_RSA_AES_KEY_WRAP_PARAMS wrap = {256, &oaep_null};
    CK_RSA_AES_KEY_WRAP_PARAMS wrap_bad = {256, NULL};
    CK_ULONG number = 12;
    CK_ULONG big = ~0UL;
    const shape all[] = {{LH_PARAM_NONE, NULL, 0, ""}, {LH_PARAM_NONE, &number, 8, NULL},
        {LH_PARAM_NONE, NULL, 8, NULL}, {LH_PARAM_PSS, &pss, sizeof(pss), "000002500000000200000020"},
        {LH_PARAM_PSS, &pss_bad, sizeof(pss), NULL}, {LH_PARAM_PSS, &pss, sizeof(pss) - 1, NULL},
        {LH_PARAM_PSS, NULL, sizeof(pss), NULL}, {LH_PARAM_PSS, NULL, 0, NULL},
        {LH_PARAM_OAEP, &oaep, sizeof(oaep), "0000022000000001000000014c"},
        {LH_PARAM_OAEP, &oaep_null, sizeof(oaep), "000002200000000100000000"},
        {LH_PARAM_OAEP, &oaep_bad, sizeof(oaep), NULL}, {LH_PARAM_OAEP, &oaep_huge, sizeof(oaep), NULL},
        {LH_PARAM_EDDSA, &eddsa, sizeof(eddsa), "01000000026378"}, {LH_PARAM_EDDSA, NULL, 0, ""},
        {LH_PARAM_EDDSA, &eddsa_bad, sizeof(eddsa), NULL}, {LH_PARAM_EDDSA, &eddsa_long, sizeof(eddsa), NULL},
        {LH_PARAM_SIGN_CONTEXT, &context, sizeof(context), "000000010000000163"},
        {LH_PARAM_SIGN_CONTEXT, NULL, 0, ""},
        {LH_PARAM_HASH_SIGN_CONTEXT, &hash, sizeof(hash), "000000000000000000000270"},
        {LH_PARAM_HASH_SIGN_CONTEXT, NULL, 0, NULL}, {LH_PARAM_IV8, &number, 8, "0c00000000000000"},
        {LH_PARAM_IV8, &number, 7, NULL}, {LH_PARAM_IV_OPTIONAL, NULL, 0, ""},
        {LH_PARAM_IV_OPTIONAL, &number, 4, "0c000000"}, {LH_PARAM_IV_OPTIONAL, &number, 5, NULL},
        {LH_PARAM_LENGTH, &number, 8, "0000000c"}, {LH_PARAM_LENGTH, &big, 8, NULL},
        {LH_PARAM_BIT_INDEX, &number, 8, "0000000c"}, {LH_PARAM_BYTES, &number, 3, "0c0000"},
        {LH_PARAM_BYTES, NULL, 0, NULL}, {LH_PARAM_BYTES, &number, ~0UL, NULL},
        {LH_PARAM_STRING, &string, sizeof(string), "64617461"},
        {LH_PARAM_STRING, &string_bad, sizeof(string), NULL},
        {LH_PARAM_KEY, &handle, sizeof(handle), "4000000000000001"},
        {LH_PARAM_CCM, &ccm, sizeof(ccm),
            "000000000000012c00000007313233343536370000000161"
            "00000008"},
        {LH_PARAM_CCM, &ccm_bad, sizeof(ccm), NULL},
        {LH_PARAM_CHACHA20_POLY1305, &poly, sizeof(poly),
            "0000000c313233343536373839303132"
            "00000000"},
        {LH_PARAM_CHACHA20, &chacha, sizeof(chacha),
            "00000020"
            "0000000401000000"
            "0000000c313233343536373839303132"},
        {LH_PARAM_CHACHA20, &chacha_bad, sizeof(chacha), NULL},
        {LH_PARAM_IV16_DATA, &iv_data, sizeof(iv_data),
            "30313233343536373839616263646500"
            "000000027879"},
        {LH_PARAM_ECDH, &ecdh, sizeof(ecdh), "000000010000000000000003046162"},
        {LH_PARAM_ECDH, &ecdh_bad, sizeof(ecdh), NULL},
        {LH_PARAM_HKDF, &hkdf, sizeof(hkdf),
            "0101"
            "00000250"
            "00000002"
            "0000000173"
            "0000000000000000"
            "0000000169"},
        {LH_PARAM_HKDF, &hkdf_key, sizeof(hkdf),
            "0100"
            "00000250"
            "00000004"
            "00000000"
            "0000000000000005"
            "00000000"},
        {LH_PARAM_HKDF, &hkdf_bad, sizeof(hkdf), NULL},
        {LH_PARAM_PBKD2, &pbkd2, sizeof(pbkd2),
            "00000004"
            "00000000000003e8"
            "0000000473616c74"
            "000000027077"},
        {LH_PARAM_PBKD2, &old, sizeof(old),
            "00000004"
            "00000000000003e8"
            "0000000473616c74"
            "000000027077"},
        {LH_PARAM_PBKD2, &pbkd2_bad, sizeof(pbkd2), NULL}, {LH_PARAM_PBKD2, &pbkd2_huge, sizeof(pbkd2), NULL},
        {LH_PARAM_RSA_AES_WRAP, &wrap, sizeof(wrap),
            "00000100"
            "000002200000000100000000"},
        {LH_PARAM_RSA_AES_WRAP, &wrap_bad, sizeof(wrap), NULL}, {LH_PARAM_SP800_108, NULL, 0, NULL},
        {LH_PARAM_SP800_108, &number, 8, NULL}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const lh_mechanism row = {.param = all[i].param};
        CK_MECHANISM m = {1, all[i].p, all[i].len};
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_WIRE_PARAMS_MAX);
        CK_RV rv = lh_token_params(&row, &m, &out);
        char text[512] = "";
        if (out.len < 256)
            lh_hex(out.data ? out.data : (const uint8_t *)"", out.len, text);
        if (rv != (all[i].hex ? CKR_OK : CKR_MECHANISM_PARAM_INVALID) ||
            (all[i].hex && strcmp(text, all[i].hex) != 0))
            fail_msg("row %zu: 0x%lx %s", i, rv, text);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(generation), T(wrapping), T(derivation_of_several), T(encapsulation), T(shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
