/* Published attacks on the API: J. Clulow, "On the Security of PKCS#11" (CHES 2003); M. Bortolozzo, M.
 * Centenaro, R. Focardi, G. Steel, "Attacking and Fixing PKCS#11 Security Tokens" (CCS 2010, "Tookan"). Each
 * case plays one until the token refuses; that the plaintext of a sensitive key came out is the failure. */
#include "suite.h"

#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }

/* A sensitive key worth stealing. It may be wrapped, or the attacks would be too easy to refuse. */
static CK_OBJECT_HANDLE victim(suite *s)
{
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 16;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, yes),
        BOOL(CKA_ENCRYPT, yes), BOOL(CKA_DECRYPT, yes)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &m, t, 5, &key));
    return key;
}

static CK_RV set(suite *s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_BBOOL b = value;
    CK_ATTRIBUTE a = ATTR(type, b);
    return s->f->C_SetAttributeValue(s->session, key, &a, 1);
}

/* Whether wrapped, decrypted with the same key, gives something: the attack's last step. */
static void must_not_open(suite *s, CK_OBJECT_HANDLE wrapping, CK_MECHANISM_TYPE wrap,
    CK_MECHANISM_TYPE decrypt, CK_OBJECT_HANDLE key)
{
    unsigned char iv[16] = {0};
    CK_MECHANISM w = {wrap, wrap == CKM_AES_CBC_PAD || wrap == CKM_AES_CBC ? iv : NULL, 0};
    w.ulParameterLen = w.pParameter ? 16 : 0;
    CK_MECHANISM d = {decrypt, decrypt == CKM_AES_CBC_PAD || decrypt == CKM_AES_CBC ? iv : NULL, 0};
    d.ulParameterLen = d.pParameter ? 16 : 0;
    unsigned char wrapped[512];
    unsigned char out[512];
    CK_ULONG n = sizeof wrapped;
    CK_ULONG m = sizeof out;
    if (s->f->C_WrapKey(s->session, &w, wrapping, key, wrapped, &n) != CKR_OK)
        return;
    if (s->f->C_DecryptInit(s->session, &d, wrapping) != CKR_OK)
        return;
    CHECK(s->f->C_Decrypt(s->session, wrapped, n, out, &m) != CKR_OK);
}

static const CK_MECHANISM_TYPE wrappers[] = {
    CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP};
#define WRAPPERS (sizeof wrappers / sizeof *wrappers)

/* Clulow: one key that wraps and decrypts. */
static void wrap_decrypt(suite *s)
{
    CK_OBJECT_HANDLE key = victim(s);
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_DECRYPT, yes)};
    CK_OBJECT_HANDLE both;
    if (s->f->C_GenerateKey(s->session, &m, t, 3, &both) != CKR_OK)
        return;
    for (size_t i = 0; i < WRAPPERS; i++)
        for (size_t j = 0; j < WRAPPERS; j++)
            must_not_open(s, both, wrappers[i], wrappers[j], key);
}

/* The same, the second role given later; and first wrap, then lose it, then gain decrypt. */
static void wrap_then_decrypt(suite *s)
{
    CK_OBJECT_HANDLE key = victim(s);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_DECRYPT, no),
        BOOL(CKA_ENCRYPT, no), BOOL(CKA_UNWRAP, no)};
    CK_OBJECT_HANDLE wrapping;
    OK(s->f->C_GenerateKey(s->session, &gen, t, 5, &wrapping));
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    OK(s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
    (void)set(s, wrapping, CKA_WRAP, false);
    if (set(s, wrapping, CKA_DECRYPT, true) != CKR_OK)
        return;
    unsigned char out[64];
    CK_ULONG m = sizeof out;
    if (s->f->C_DecryptInit(s->session, &kw, wrapping) == CKR_OK)
        CHECK(s->f->C_Decrypt(s->session, wrapped, n, out, &m) != CKR_OK);
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    m = sizeof out;
    if (s->f->C_DecryptInit(s->session, &ecb, wrapping) == CKR_OK)
        CHECK(s->f->C_Decrypt(s->session, wrapped, n, out, &m) != CKR_OK);
}

/* The same through a copy that has the other role. */
static void wrap_copy_decrypt(suite *s)
{
    CK_OBJECT_HANDLE key = victim(s);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {
        ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_DECRYPT, no), BOOL(CKA_ENCRYPT, no)};
    CK_OBJECT_HANDLE wrapping;
    OK(s->f->C_GenerateKey(s->session, &gen, t, 4, &wrapping));
    CK_ATTRIBUTE other[] = {BOOL(CKA_WRAP, no), BOOL(CKA_DECRYPT, yes)};
    CK_OBJECT_HANDLE copy;
    if (s->f->C_CopyObject(s->session, wrapping, other, 2, &copy) != CKR_OK)
        return;
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    unsigned char out[64];
    CK_ULONG n = sizeof wrapped;
    CK_ULONG m = sizeof out;
    OK(s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
    if (s->f->C_DecryptInit(s->session, &kw, copy) == CKR_OK)
        CHECK(s->f->C_Decrypt(s->session, wrapped, n, out, &m) != CKR_OK);
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    m = sizeof out;
    if (s->f->C_DecryptInit(s->session, &ecb, copy) == CKR_OK)
        CHECK(s->f->C_Decrypt(s->session, wrapped, n, out, &m) != CKR_OK);
}

/* Tookan's a3/a4: encrypt a value that is known, unwrap the ciphertext as a wrapping key, so that its value
 * is known, and wrap the victim with it. */
static void encrypt_unwrap(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_ENCRYPT, yes), BOOL(CKA_UNWRAP, yes)};
    CK_OBJECT_HANDLE both;
    if (s->f->C_GenerateKey(s->session, &gen, t, 3, &both) != CKR_OK)
        return;
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char known[16] = {1, 2, 3};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    if (s->f->C_EncryptInit(s->session, &kw, both) != CKR_OK ||
        s->f->C_Encrypt(s->session, known, sizeof known, wrapped, &n) != CKR_OK)
        return;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE u[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_WRAP, yes)};
    CK_OBJECT_HANDLE mine;
    if (s->f->C_UnwrapKey(s->session, &kw, both, wrapped, n, u, 3, &mine) != CKR_OK)
        return;
    n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &kw, mine, victim(s), wrapped, &n));
}

/* The plainest way: bring a key whose value is known, and wrap the victim with it. */
static void created_wrapping_key(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    unsigned char known[32] = {1, 2, 3};
    CK_ATTRIBUTE t[] = {
        ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), {CKA_VALUE, known, 32}, BOOL(CKA_WRAP, yes)};
    CK_OBJECT_HANDLE mine;
    if (s->f->C_CreateObject(s->session, t, 4, &mine) != CKR_OK)
        return;
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &kw, mine, victim(s), wrapped, &n));
}

/* The same with a public key whose private half the attacker has. */
static void created_wrapping_public_key(suite *s)
{
    pair p = keys_rsa(s, 2048);
    unsigned char modulus[256];
    CHECK(attribute_bytes(s, p.public_key, CKA_MODULUS, modulus, sizeof modulus) == 256);
    unsigned char exponent[] = {1, 0, 1};
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), {CKA_MODULUS, modulus, 256},
        {CKA_PUBLIC_EXPONENT, exponent, 3}, BOOL(CKA_WRAP, yes)};
    CK_OBJECT_HANDLE mine;
    if (s->f->C_CreateObject(s->session, t, 5, &mine) != CKR_OK)
        return;
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    unsigned char wrapped[256];
    CK_ULONG n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &m, mine, victim(s), wrapped, &n));
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    m = (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};
    n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &m, mine, victim(s), wrapped, &n));
}

/* Wrap a sensitive key and unwrap it as one that is not (Tookan's a5: re-import with changed attributes). */
static void reimport(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_UNWRAP, yes),
        BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no)};
    CK_OBJECT_HANDLE wrapping;
    if (s->f->C_GenerateKey(s->session, &gen, t, 5, &wrapping) != CKR_OK)
        return;
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    if (s->f->C_WrapKey(s->session, &kw, wrapping, victim(s), wrapped, &n) != CKR_OK)
        return;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE u[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE back;
    if (s->f->C_UnwrapKey(s->session, &kw, wrapping, wrapped, n, u, 4, &back) != CKR_OK)
        return;
    unsigned char value[32];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    CHECK(s->f->C_GetAttributeValue(s->session, back, &a, 1) != CKR_OK);
}

/* A weaker key around a stronger one. */
static void weaker_wrapping(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG weak = 16;
    CK_ULONG strong = 32;
    CK_ATTRIBUTE w[] = {
        ATTR(CKA_VALUE_LEN, weak), BOOL(CKA_WRAP, yes), BOOL(CKA_DECRYPT, no), BOOL(CKA_ENCRYPT, no)};
    CK_ATTRIBUTE k[] = {ATTR(CKA_VALUE_LEN, strong), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE wrapping;
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &gen, w, 4, &wrapping));
    OK(s->f->C_GenerateKey(s->session, &gen, k, 3, &key));
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
}

/* ECB as a wrapping: halves of two keys can be put together. Nothing of a sensitive key comes out so. */
static void ecb_wrapping(suite *s)
{
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE w[] = {
        ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_DECRYPT, no), BOOL(CKA_ENCRYPT, no)};
    CK_OBJECT_HANDLE wrapping;
    OK(s->f->C_GenerateKey(s->session, &gen, w, 4, &wrapping));
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    REFUSED(s->f->C_WrapKey(s->session, &ecb, wrapping, victim(s), wrapped, &n));
}

static CK_RV leak(suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ULONG len, unsigned char *out)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes), ATTR(CKA_VALUE_LEN, len)};
    CK_OBJECT_HANDLE key;
    CK_RV rv = s->f->C_DeriveKey(s->session, m, base, t, len ? 5 : 4, &key);
    if (rv != CKR_OK)
        return rv;
    CK_ATTRIBUTE a = {CKA_VALUE, out, 64};
    return s->f->C_GetAttributeValue(s->session, key, &a, 1);
}

/* Derivations that show their base key: a byte of it at a time, or all of it with something beside it. */
static void leaking_derivations(suite *s)
{
    CK_MECHANISM gen = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {
        ATTR(CKA_VALUE_LEN, len), BOOL(CKA_DERIVE, yes), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, no)};
    CK_OBJECT_HANDLE base;
    OK(s->f->C_GenerateKey(s->session, &gen, t, 4, &base));
    unsigned char out[64];
    CK_EXTRACT_PARAMS bit = 0;
    CK_MECHANISM extract = {CKM_EXTRACT_KEY_FROM_KEY, &bit, sizeof bit};
    REFUSED(leak(s, &extract, base, 1, out));
    REFUSED(leak(s, &extract, base, 16, out));
    unsigned char data[32] = {0};
    CK_KEY_DERIVATION_STRING_DATA string = {data, sizeof data};
    CK_MECHANISM xor = {CKM_XOR_BASE_AND_DATA, &string, sizeof string};
    REFUSED(leak(s, &xor, base, 0, out));
    CK_MECHANISM cat = {CKM_CONCATENATE_BASE_AND_DATA, &string, sizeof string};
    REFUSED(leak(s, &cat, base, 0, out));
    CK_MECHANISM tac = {CKM_CONCATENATE_DATA_AND_BASE, &string, sizeof string};
    REFUSED(leak(s, &tac, base, 0, out));
    CK_OBJECT_HANDLE other = keys_secret(s, CKK_GENERIC_SECRET, "0123456789abcdef", 16);
    CK_MECHANISM key = {CKM_CONCATENATE_BASE_AND_KEY, &other, sizeof other};
    REFUSED(leak(s, &key, base, 0, out));
    CK_MECHANISM turned = {CKM_CONCATENATE_BASE_AND_KEY, &base, sizeof base};
    REFUSED(leak(s, &turned, other, 0, out));
}

/* Extraction of a few bits, used as a MAC key, is found by trying all its values: too short is refused though
 * it stays sensitive. */
static void short_extraction(suite *s)
{
    suite_needs(s, CKM_EXTRACT_KEY_FROM_KEY, CKF_DERIVE);
    CK_MECHANISM gen = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_DERIVE, yes), BOOL(CKA_SENSITIVE, yes)};
    CK_OBJECT_HANDLE base;
    OK(s->f->C_GenerateKey(s->session, &gen, t, 3, &base));
    CK_EXTRACT_PARAMS bit = 0;
    CK_MECHANISM extract = {CKM_EXTRACT_KEY_FROM_KEY, &bit, sizeof bit};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG one = 1;
    CK_ATTRIBUTE d[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, yes),
        BOOL(CKA_EXTRACTABLE, no), BOOL(CKA_SIGN, yes), ATTR(CKA_VALUE_LEN, one)};
    CK_OBJECT_HANDLE key;
    REFUSED(s->f->C_DeriveKey(s->session, &extract, base, d, 6, &key));
}

/* The private key of a pair told to be another: what is signed with the one verifies with its own alone. */
static void digest_of_sensitive(suite *s)
{
    CK_MECHANISM gen = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ULONG len = 1;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_SENSITIVE, yes)};
    CK_OBJECT_HANDLE key;
    if (s->f->C_GenerateKey(s->session, &gen, t, 2, &key) != CKR_OK)
        return; /* a key of one byte is none */
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    OK(s->f->C_DigestInit(s->session, &m));
    REFUSED(s->f->C_DigestKey(s->session, key));
}

static void change_user(suite *s, CK_USER_TYPE user, const char *pin)
{
    OK(s->f->C_Logout(s->session));
    OK(s->f->C_Login(s->session, user, (unsigned char *)(size_t)pin, strlen(pin)));
}

/* The security officer brings a key whose value they know, calls it trusted, and has the user wrap with it
 * (with a PIN that they set themselves, even). */
static void trusted_known_key(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_MECHANISM_TYPE only[] = {CKM_AES_KEY_WRAP};
    unsigned char known[32] = {1, 2, 3};
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), {CKA_VALUE, known, 32},
        BOOL(CKA_WRAP, yes), BOOL(CKA_PRIVATE, no), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, no),
        ATTR(CKA_ALLOWED_MECHANISMS, only), BOOL(CKA_TRUSTED, yes)};
    CK_OBJECT_HANDLE mine[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    change_user(s, CKU_SO, s->so_pin);
    (void)s->f->C_CreateObject(s->session, t, 9, &mine[0]);
    if (s->f->C_CreateObject(s->session, t, 8, &mine[1]) == CKR_OK)
        (void)set(s, mine[1], CKA_TRUSTED, true);
    change_user(s, CKU_USER, s->pin);
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    for (size_t i = 0; i < 2; i++) {
        CK_ULONG n = sizeof wrapped;
        CHECK(mine[i] == CK_INVALID_HANDLE || !attribute_bool(s, mine[i], CKA_TRUSTED));
        if (mine[i] != CK_INVALID_HANDLE)
            REFUSED(s->f->C_WrapKey(s->session, &kw, mine[i], victim(s), wrapped, &n));
    }
}

/* Sensitive keys that everybody sees are wrapped for the user, for nobody else who sees them. */
static void wrap_without_user(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE w[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_PRIVATE, no), BOOL(CKA_SENSITIVE, yes),
        BOOL(CKA_WRAP, yes), BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no)};
    CK_ATTRIBUTE k[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_PRIVATE, no), BOOL(CKA_SENSITIVE, yes),
        BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE wrapping;
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &gen, w, 6, &wrapping));
    OK(s->f->C_GenerateKey(s->session, &gen, k, 4, &key));
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[64];
    CK_ULONG n = sizeof wrapped;
    OK(s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
    OK(s->f->C_Logout(s->session));
    n = sizeof wrapped;
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
    OK(s->f->C_Login(s->session, CKU_SO, (unsigned char *)(size_t)s->so_pin, strlen(s->so_pin)));
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
}

/* A key with limits, wrapped and unwrapped, would be one without. */
static void limits_left_behind(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_DATE end;
    memcpy(&end, "20010101", sizeof end);
    CK_MECHANISM_TYPE only[] = {CKM_AES_GCM};
    CK_ATTRIBUTE w[] = {
        ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no)};
    CK_ATTRIBUTE limits[] = {
        ATTR(CKA_END_DATE, end), ATTR(CKA_START_DATE, end), ATTR(CKA_ALLOWED_MECHANISMS, only)};
    CK_OBJECT_HANDLE wrapping;
    OK(s->f->C_GenerateKey(s->session, &gen, w, 4, &wrapping));
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        CK_ATTRIBUTE k[] = {
            ATTR(CKA_VALUE_LEN, len), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, yes), limits[i]};
        CK_OBJECT_HANDLE key;
        OK(s->f->C_GenerateKey(s->session, &gen, k, 4, &key));
        CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
        unsigned char wrapped[64];
        CK_ULONG n = sizeof wrapped;
        IS(CKR_KEY_NOT_WRAPPABLE, s->f->C_WrapKey(s->session, &kw, wrapping, key, wrapped, &n));
    }
}

const conformance_case cases_attack[] = {
    {"attack.wrap-decrypt", "C_WrapKey C_Decrypt", 0, wrap_decrypt},
    {"attack.wrap-then-decrypt", "C_SetAttributeValue C_WrapKey", 0, wrap_then_decrypt},
    {"attack.wrap-copy-decrypt", "C_CopyObject C_WrapKey", 0, wrap_copy_decrypt},
    {"attack.encrypt-unwrap", "C_UnwrapKey C_WrapKey", 0, encrypt_unwrap},
    {"attack.created-wrapping-key", "C_CreateObject C_WrapKey", 0, created_wrapping_key},
    {"attack.created-public-key", "C_CreateObject C_WrapKey", 0, created_wrapping_public_key},
    {"attack.reimport", "C_WrapKey C_UnwrapKey", 0, reimport},
    {"attack.weaker-wrapping", "C_WrapKey", 0, weaker_wrapping},
    {"attack.ecb-wrapping", "C_WrapKey", 0, ecb_wrapping},
    {"attack.leaking-derivations", "C_DeriveKey", 0, leaking_derivations},
    {"attack.short-extraction", "C_DeriveKey", 0, short_extraction},
    {"attack.trusted-known-key", "C_CreateObject C_WrapKey C_Login", 0, trusted_known_key},
    {"attack.wrap-without-user", "C_WrapKey C_Logout", 0, wrap_without_user},
    {"attack.limits-left-behind", "C_WrapKey", 0, limits_left_behind},
    {"attack.digest-of-sensitive", "C_DigestKey", 0, digest_of_sensitive},
    {0},
};
