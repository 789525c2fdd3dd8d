/* What attributes may become, and what they tell. */
#include "suite.h"

#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }

static CK_RV set_bool(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_BBOOL b = value;
    CK_ATTRIBUTE a = ATTR(type, b);
    return s->f->C_SetAttributeValue(s->session, object, &a, 1);
}

static CK_OBJECT_HANDLE generate_aes(suite *s, CK_ATTRIBUTE *extra, CK_ULONG n)
{
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[8] = {ATTR(CKA_VALUE_LEN, len)};
    memcpy(t + 1, extra, n * sizeof *extra);
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &m, t, 1 + n, &key));
    return key;
}

static void sensitive(suite *s)
{
    CK_ATTRIBUTE t[] = {BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE key = generate_aes(s, t, 2);
    unsigned char value[32];
    CHECK(attribute_bytes(s, key, CKA_VALUE, value, sizeof value) == 32);
    OK(set_bool(s, key, CKA_SENSITIVE, true));
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    IS(CKR_ATTRIBUTE_SENSITIVE, s->f->C_GetAttributeValue(s->session, key, &a, 1));
    CHECK(a.ulValueLen == CK_UNAVAILABLE_INFORMATION);
    IS(CKR_ATTRIBUTE_READ_ONLY, set_bool(s, key, CKA_SENSITIVE, false));
    CHECK(!attribute_bool(s, key, CKA_ALWAYS_SENSITIVE)); /* it was not, once */
    OK(set_bool(s, key, CKA_EXTRACTABLE, false));
    IS(CKR_ATTRIBUTE_READ_ONLY, set_bool(s, key, CKA_EXTRACTABLE, true));
    CHECK(!attribute_bool(s, key, CKA_NEVER_EXTRACTABLE));
}

static void unextractable(suite *s)
{
    CK_ATTRIBUTE t[] = {BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, no)};
    CK_OBJECT_HANDLE key = generate_aes(s, t, 2);
    unsigned char value[32];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    IS(CKR_ATTRIBUTE_SENSITIVE, s->f->C_GetAttributeValue(s->session, key, &a, 1));
    CHECK(attribute_bool(s, key, CKA_NEVER_EXTRACTABLE));
}

static void history(suite *s)
{
    CK_ATTRIBUTE t[] = {BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, no)};
    CK_OBJECT_HANDLE key = generate_aes(s, t, 2);
    CHECK(attribute_bool(s, key, CKA_LOCAL) && attribute_bool(s, key, CKA_ALWAYS_SENSITIVE) &&
          attribute_bool(s, key, CKA_NEVER_EXTRACTABLE));
    CHECK(attribute_ulong(s, key, CKA_KEY_GEN_MECHANISM) == CKM_AES_KEY_GEN);
    CK_OBJECT_HANDLE copy;
    OK(s->f->C_CopyObject(s->session, key, NULL, 0, &copy));
    CHECK(attribute_bool(s, copy, CKA_SENSITIVE) && attribute_bool(s, copy, CKA_ALWAYS_SENSITIVE) &&
          attribute_bool(s, copy, CKA_NEVER_EXTRACTABLE) && !attribute_bool(s, copy, CKA_EXTRACTABLE));
    CK_ATTRIBUTE weaker[] = {BOOL(CKA_SENSITIVE, no)};
    REFUSED(s->f->C_CopyObject(s->session, key, weaker, 1, &copy));
    weaker[0] = (CK_ATTRIBUTE)BOOL(CKA_EXTRACTABLE, yes);
    REFUSED(s->f->C_CopyObject(s->session, key, weaker, 1, &copy));
}

static void pair_history(suite *s)
{
    pair p = keys_ec(s, "P-256");
    CHECK(attribute_bool(s, p.private_key, CKA_LOCAL) && attribute_bool(s, p.public_key, CKA_LOCAL));
    CHECK(attribute_ulong(s, p.private_key, CKA_KEY_GEN_MECHANISM) == CKM_EC_KEY_PAIR_GEN);
    CHECK(attribute_bool(s, p.private_key, CKA_SENSITIVE));
    unsigned char value[128];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    IS(CKR_ATTRIBUTE_SENSITIVE, s->f->C_GetAttributeValue(s->session, p.private_key, &a, 1));
}

static void unique_id(suite *s)
{
    pair p = keys_ec(s, "P-256");
    char one[256];
    char two[256];
    CK_ATTRIBUTE a = {CKA_UNIQUE_ID, one, sizeof one};
    if (s->f->C_GetAttributeValue(s->session, p.public_key, &a, 1) != CKR_OK)
        suite_absent(s, "CKA_UNIQUE_ID");
    size_t n = a.ulValueLen;
    size_t m = attribute_bytes(s, p.private_key, CKA_UNIQUE_ID, two, sizeof two);
    CHECK(n > 0 && m > 0 && (n != m || memcmp(one, two, n) != 0));
    CK_ATTRIBUTE mine = {CKA_UNIQUE_ID, one, n};
    IS(CKR_ATTRIBUTE_READ_ONLY, s->f->C_SetAttributeValue(s->session, p.private_key, &mine, 1));
    CK_OBJECT_HANDLE copy;
    OK(s->f->C_CopyObject(s->session, p.public_key, NULL, 0, &copy));
    m = attribute_bytes(s, copy, CKA_UNIQUE_ID, two, sizeof two);
    CHECK(n != m || memcmp(one, two, n) != 0);
}

static void public_key_info(suite *s)
{
    pair p = keys_ec(s, "P-256");
    unsigned char info[256];
    CK_ATTRIBUTE a = {CKA_PUBLIC_KEY_INFO, info, sizeof info};
    if (s->f->C_GetAttributeValue(s->session, p.private_key, &a, 1) != CKR_OK)
        suite_absent(s, "CKA_PUBLIC_KEY_INFO");
    CHECK(a.ulValueLen == 91 && info[0] == 0x30); /* RFC 5480: SubjectPublicKeyInfo of P-256 */
    unsigned char point[128];
    CHECK(attribute_bytes(s, p.public_key, CKA_EC_POINT, point, sizeof point) == 67);
    CHECK(memcmp(info + 26, point + 2, 65) == 0);
}

static CK_RV try_aes(suite *s, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type)
{
    unsigned char iv[16] = {0};
    unsigned char data[16] = {0};
    unsigned char out[64];
    CK_ULONG len = sizeof out;
    CK_MECHANISM m = {type, type == CKM_AES_ECB ? NULL : iv, type == CKM_AES_ECB ? 0 : 16};
    CK_RV rv = s->f->C_EncryptInit(s->session, &m, key);
    return rv == CKR_OK ? s->f->C_Encrypt(s->session, data, sizeof data, out, &len) : rv;
}

static void allowed_mechanisms(suite *s)
{
    suite_needs(s, CKM_AES_CBC, CKF_ENCRYPT);
    CK_MECHANISM_TYPE only = CKM_AES_CBC;
    CK_ATTRIBUTE t[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_ALLOWED_MECHANISMS, only)};
    CK_OBJECT_HANDLE key = generate_aes(s, t, 2);
    OK(try_aes(s, key, CKM_AES_CBC));
    IS_EITHER(CKR_MECHANISM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED, try_aes(s, key, CKM_AES_ECB));
}

static void uses(suite *s)
{
    CK_ATTRIBUTE t[] = {BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, yes)};
    CK_OBJECT_HANDLE key = generate_aes(s, t, 2);
    IS(CKR_KEY_FUNCTION_NOT_PERMITTED, try_aes(s, key, CKM_AES_ECB));
    pair p = keys_ec(s, "P-256");
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    REFUSED(s->f->C_DecryptInit(s->session, &ecb, keys_generic(s, 16)));
    REFUSED(s->f->C_SignInit(s->session, &m, p.public_key));
    REFUSED(s->f->C_SignInit(s->session, &m, key));
}

static CK_DATE date(const char *text)
{
    CK_DATE d;
    memcpy(&d, text, sizeof d);
    return d;
}

static void dates(suite *s)
{
    CK_DATE past = date("20010101");
    CK_DATE future = date("20990101");
    CK_ATTRIBUTE over[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_START_DATE, past), ATTR(CKA_END_DATE, past)};
    REFUSED(try_aes(s, generate_aes(s, over, 3), CKM_AES_ECB));
    CK_ATTRIBUTE not_yet[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_START_DATE, future)};
    REFUSED(try_aes(s, generate_aes(s, not_yet, 2), CKM_AES_ECB));
    CK_ATTRIBUTE now[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_START_DATE, past), ATTR(CKA_END_DATE, future)};
    OK(try_aes(s, generate_aes(s, now, 3), CKM_AES_ECB));
    CK_DATE nonsense = date("20991399");
    CK_ATTRIBUTE bad[] = {ATTR(CKA_END_DATE, nonsense)};
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), bad[0]};
    CK_OBJECT_HANDLE key;
    IS(CKR_ATTRIBUTE_VALUE_INVALID, s->f->C_GenerateKey(s->session, &m, t, 2, &key));
}

static void set_date(suite *s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, const char *text, CK_RV expected)
{
    CK_DATE d = date(text);
    CK_ATTRIBUTE t = {type, &d, text[0] ? sizeof d : 0};
    IS(expected, s->f->C_SetAttributeValue(s->session, key, &t, 1));
    CK_OBJECT_HANDLE copy;
    IS(expected, s->f->C_CopyObject(s->session, key, &t, 1, &copy));
}

/* What has ended stays so; dates that were set only come closer to each other. */
static void dates_narrow(suite *s)
{
    const CK_RV refused = CKR_ATTRIBUTE_READ_ONLY;
    CK_DATE end = date("20010101");
    CK_ATTRIBUTE over[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_END_DATE, end)};
    CK_OBJECT_HANDLE key = generate_aes(s, over, 2);
    set_date(s, key, CKA_END_DATE, "20990101", refused);
    set_date(s, key, CKA_END_DATE, "20010102", refused);
    set_date(s, key, CKA_END_DATE, "\0       ", refused);
    REFUSED(try_aes(s, key, CKM_AES_ECB));
    set_date(s, key, CKA_END_DATE, "20001231", CKR_OK);
    CK_DATE start = date("20980101");
    CK_ATTRIBUTE not_yet[] = {BOOL(CKA_ENCRYPT, yes), ATTR(CKA_START_DATE, start)};
    key = generate_aes(s, not_yet, 2);
    set_date(s, key, CKA_START_DATE, "20010101", refused);
    set_date(s, key, CKA_START_DATE, "20971231", refused);
    REFUSED(try_aes(s, key, CKM_AES_ECB));
    set_date(s, key, CKA_START_DATE, "20980102", CKR_OK);
    CK_ATTRIBUTE free[] = {BOOL(CKA_ENCRYPT, yes)};
    key = generate_aes(s, free, 1);
    set_date(s, key, CKA_START_DATE, "20010101", CKR_OK);
    set_date(s, key, CKA_END_DATE, "20010101", CKR_OK);
    REFUSED(try_aes(s, key, CKM_AES_ECB));
}

static void always_authenticate(suite *s)
{
    size_t len;
    const unsigned char *params = keys_curve("P-256", &len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, len}};
    CK_ATTRIBUTE private[] = {
        BOOL(CKA_SIGN, yes), BOOL(CKA_PRIVATE, yes), BOOL(CKA_ALWAYS_AUTHENTICATE, yes)};
    CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 1, private, 3, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    unsigned char data[32] = {1};
    unsigned char out[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_Sign(s->session, data, sizeof data, out, &n));
    for (int i = 0; i < 2; i++) {
        n = sizeof out;
        IS_EITHER(CKR_OK, CKR_OPERATION_ACTIVE, s->f->C_SignInit(s->session, &m, p.private_key));
        OK(s->f->C_Login(s->session, CKU_CONTEXT_SPECIFIC, (unsigned char *)(size_t)s->pin, strlen(s->pin)));
        OK(s->f->C_Sign(s->session, data, sizeof data, out, &n));
    }
    OK(s->f->C_SignInit(s->session, &m, p.private_key)); /* once each */
    n = sizeof out;
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_Sign(s->session, data, sizeof data, out, &n));
}

static void id_and_label(suite *s)
{
    pair p = keys_ec(s, "P-256");
    unsigned char id[] = {9, 8, 7};
    char label[] = "a new label";
    CK_ATTRIBUTE t[] = {{CKA_ID, id, sizeof id}, {CKA_LABEL, label, sizeof label - 1}};
    OK(s->f->C_SetAttributeValue(s->session, p.private_key, t, 2));
    OK(s->f->C_SetAttributeValue(s->session, p.public_key, t, 2));
    CHECK(find_count(s, t, 2, NULL) == 2);
}

const conformance_case cases_attribute[] = {
    {"attribute.sensitive", "C_SetAttributeValue C_GetAttributeValue", 0, sensitive},
    {"attribute.unextractable", "C_GetAttributeValue", 0, unextractable},
    {"attribute.history", "C_GenerateKey C_CopyObject CKM_AES_KEY_GEN", 0, history},
    {"attribute.pair-history", "C_GenerateKeyPair CKM_EC_KEY_PAIR_GEN", 0, pair_history},
    {"attribute.unique-id", "C_GetAttributeValue", 0, unique_id},
    {"attribute.public-key-info", "C_GetAttributeValue", 0, public_key_info},
    {"attribute.allowed-mechanisms", "C_EncryptInit", 0, allowed_mechanisms},
    {"attribute.uses", "C_EncryptInit C_SignInit C_DecryptInit", 0, uses},
    {"attribute.dates", "C_EncryptInit", 0, dates},
    {"attribute.dates-narrow", "C_SetAttributeValue C_CopyObject", 0, dates_narrow},
    {"attribute.always-authenticate", "C_Login C_Sign", 0, always_authenticate},
    {"attribute.id-and-label", "C_SetAttributeValue", 0, id_and_label},
    {0},
};
