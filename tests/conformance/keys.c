/* Keys for the cases: session objects, usable for everything that a key of their type is for. */
#include "suite.h"

#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;

#define YES(type)                                                                                            \
    {                                                                                                        \
        (type), (void *)(size_t)&yes, sizeof yes                                                             \
    }
#define NO(type)                                                                                             \
    {                                                                                                        \
        (type), (void *)(size_t)&no, sizeof no                                                               \
    }

typedef struct {
    const char *name;
    const char *params;
    size_t len;
} curve;

#define CURVE(name, bytes)                                                                                   \
    {                                                                                                        \
        name, bytes, sizeof(bytes) - 1                                                                       \
    }

/* RFC 5480, SEC 2 and RFC 8410: the curves' object identifiers in DER. */
static const curve curves[] = {
    CURVE("P-256", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    CURVE("P-384", "\x06\x05\x2b\x81\x04\x00\x22"),
    CURVE("P-521", "\x06\x05\x2b\x81\x04\x00\x23"),
    CURVE("secp256k1", "\x06\x05\x2b\x81\x04\x00\x0a"),
    CURVE("Ed25519", "\x06\x03\x2b\x65\x70"),
    CURVE("Ed448", "\x06\x03\x2b\x65\x71"),
    CURVE("X25519", "\x06\x03\x2b\x65\x6e"),
    CURVE("X448", "\x06\x03\x2b\x65\x6f"),
    /* PrintableString, the curveName choice (PKCS #11 3.0 mechanisms, section 2.3.3): what SoftHSM 2.6 takes
     */
    CURVE("Ed25519 by name", "\x13\x0c"
                             "edwards25519"),
};

const unsigned char *keys_curve(const char *name, size_t *ret_len)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(curves[i].name, name) == 0) {
            *ret_len = curves[i].len;
            return (const unsigned char *)curves[i].params;
        }
    *ret_len = 0;
    return NULL;
}

pair keys_rsa(suite *s, CK_ULONG bits)
{
    suite_needs(s, CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR);
    CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    unsigned char exponent[] = {1, 0, 1};
    CK_ATTRIBUTE public[] = {
        ATTR(CKA_MODULUS_BITS, bits), {CKA_PUBLIC_EXPONENT, exponent, 3}, YES(CKA_VERIFY), YES(CKA_ENCRYPT)};
    CK_ATTRIBUTE private[] = {YES(CKA_SIGN), YES(CKA_DECRYPT), YES(CKA_SENSITIVE), NO(CKA_EXTRACTABLE)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &m, public, 4, private, 4, &p.public_key, &p.private_key));
    return p;
}

static pair generate_curve(suite *s, CK_MECHANISM_TYPE type, const char *name, CK_ATTRIBUTE_TYPE public_use,
    CK_ATTRIBUTE_TYPE private_use)
{
    suite_needs(s, type, CKF_GENERATE_KEY_PAIR);
    CK_MECHANISM m = {type, NULL, 0};
    size_t len;
    const unsigned char *params = keys_curve(name, &len);
    CK_ATTRIBUTE public[] = {
        {CKA_EC_PARAMS, (void *)(size_t)params, len}, {public_use, (void *)(size_t)&yes, sizeof yes}};
    CK_ATTRIBUTE private[] = {YES(CKA_SENSITIVE), {private_use, (void *)(size_t)&yes, sizeof yes}};
    pair p;
    CK_RV rv = s->f->C_GenerateKeyPair(
        s->session, &m, public, public_use == CKA_DERIVE ? 1 : 2, private, 2, &p.public_key, &p.private_key);
    if (rv == CKR_CURVE_NOT_SUPPORTED || rv == CKR_DOMAIN_PARAMS_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID)
        suite_absent(s, name);
    OK(rv);
    return p;
}

pair keys_ec(suite *s, const char *name)
{
    return generate_curve(s, CKM_EC_KEY_PAIR_GEN, name, CKA_VERIFY, CKA_SIGN);
}

pair keys_edwards(suite *s, const char *name)
{
    return generate_curve(s, CKM_EC_EDWARDS_KEY_PAIR_GEN, name, CKA_VERIFY, CKA_SIGN);
}

pair keys_montgomery(suite *s, const char *name)
{
    return generate_curve(s, CKM_EC_MONTGOMERY_KEY_PAIR_GEN, name, CKA_DERIVE, CKA_DERIVE);
}

CK_OBJECT_HANDLE keys_aes(suite *s, CK_ULONG len)
{
    suite_needs(s, CKM_AES_KEY_GEN, CKF_GENERATE);
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE template[] = {ATTR(CKA_VALUE_LEN, len), YES(CKA_ENCRYPT), YES(CKA_DECRYPT), YES(CKA_SIGN),
        YES(CKA_VERIFY), NO(CKA_SENSITIVE), YES(CKA_EXTRACTABLE)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &m, template, 7, &key));
    return key;
}

CK_OBJECT_HANDLE keys_generic(suite *s, CK_ULONG len)
{
    suite_needs(s, CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE);
    CK_MECHANISM m = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE template[] = {ATTR(CKA_VALUE_LEN, len), YES(CKA_SIGN), YES(CKA_VERIFY), YES(CKA_DERIVE),
        NO(CKA_SENSITIVE), YES(CKA_EXTRACTABLE)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &m, template, 6, &key));
    return key;
}

CK_OBJECT_HANDLE keys_secret(suite *s, CK_KEY_TYPE type, const void *value, size_t len)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    bool cipher = type == CKK_AES || type == CKK_CHACHA20 || type == CKK_AES_XTS;
    CK_ATTRIBUTE template[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type),
        {CKA_VALUE, (void *)(size_t)value, len}, NO(CKA_SENSITIVE), YES(CKA_EXTRACTABLE), YES(CKA_SIGN),
        YES(CKA_VERIFY), {cipher ? CKA_ENCRYPT : CKA_DERIVE, (void *)(size_t)&yes, sizeof yes},
        YES(CKA_DECRYPT)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_CreateObject(s->session, template, cipher ? 9 : 8, &key));
    return key;
}
