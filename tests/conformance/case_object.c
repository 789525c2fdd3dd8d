/* Creating, finding, copying, changing and destroying objects. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }
#define TEXT(type, text)                                                                                     \
    {                                                                                                        \
        (type), (void *)(size_t)(text), sizeof(text) - 1                                                     \
    }

static CK_RV make(suite *s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    return s->f->C_CreateObject(s->session, t, n, ret);
}

static void data(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "a label"),
        TEXT(CKA_APPLICATION, "an application"), TEXT(CKA_OBJECT_ID, "\x06\x03\x55\x04\x03"),
        TEXT(CKA_VALUE, "the value")};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 5, &object));
    char out[64];
    CHECK(attribute_bytes(s, object, CKA_VALUE, out, sizeof out) == 9 && memcmp(out, "the value", 9) == 0);
    CHECK(attribute_bytes(s, object, CKA_APPLICATION, out, sizeof out) == 14);
    CHECK(attribute_ulong(s, object, CKA_CLASS) == CKO_DATA);
    CHECK(!attribute_bool(s, object, CKA_TOKEN));
    CHECK(attribute_bool(s, object, CKA_MODIFIABLE));
    CK_ULONG size = 0;
    IS_EITHER(CKR_OK, CKR_INFORMATION_SENSITIVE, s->f->C_GetObjectSize(s->session, object, &size));
    CHECK(size > 0);
    OK(s->f->C_DestroyObject(s->session, object));
    IS(CKR_OBJECT_HANDLE_INVALID, s->f->C_DestroyObject(s->session, object));
    IS(CKR_OBJECT_HANDLE_INVALID, s->f->C_GetObjectSize(s->session, object, &size));
}

static void certificate(suite *s)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    unsigned char der[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_CERTIFICATE_TYPE, type), TEXT(CKA_LABEL, "cert"),
        TEXT(CKA_ID, "\x01\x02"), TEXT(CKA_SUBJECT, "\x30\x00"), {CKA_VALUE, der, sizeof der}};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 6, &object));
    unsigned char out[64];
    CHECK(attribute_bytes(s, object, CKA_VALUE, out, sizeof out) == sizeof der);
    CHECK(memcmp(out, der, sizeof der) == 0);
    CHECK(!attribute_bool(s, object, CKA_TRUSTED));
    IS(CKR_TEMPLATE_INCOMPLETE, make(s, t, 1, &object));
}

static void public_keys(suite *s)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE rsa = CKK_RSA;
    CK_KEY_TYPE ec = CKK_EC;
    unsigned char exponent[] = {1, 0, 1};
    pair p = keys_rsa(s, 2048);
    unsigned char modulus[256];
    CHECK(attribute_bytes(s, p.public_key, CKA_MODULUS, modulus, sizeof modulus) == 256);
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, rsa), {CKA_MODULUS, modulus, 256},
        {CKA_PUBLIC_EXPONENT, exponent, 3}, BOOL(CKA_VERIFY, yes)};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 5, &object));
    CHECK(!attribute_bool(s, object, CKA_LOCAL));
    CHECK(attribute_ulong(s, object, CKA_MODULUS_BITS) == 2048);
    pair e = keys_ec(s, "P-256");
    unsigned char point[256];
    size_t point_len = attribute_bytes(s, e.public_key, CKA_EC_POINT, point, sizeof point);
    CHECK(point_len == 67 && point[0] == 4 && point[1] == 65 && point[2] == 4); /* DER OCTET STRING */
    size_t params_len;
    const unsigned char *params = keys_curve("P-256", &params_len);
    CK_ATTRIBUTE u[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, ec),
        {CKA_EC_PARAMS, (void *)(size_t)params, params_len}, {CKA_EC_POINT, point, point_len}};
    OK(make(s, u, 4, &object));
    point[40] ^= 1; /* not on the curve any more */
    REFUSED(make(s, u, 4, &object));
    IS(CKR_TEMPLATE_INCOMPLETE, make(s, u, 3, &object));
}

static void find(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_OBJECT_HANDLE objects[20];
    for (int i = 0; i < 20; i++) {
        char label[32];
        int n = snprintf(label, sizeof label, "find-%d", i % 2);
        unsigned char value = (unsigned char)i;
        CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), {CKA_LABEL, label, (CK_ULONG)n}, {CKA_VALUE, &value, 1}};
        OK(make(s, t, 3, &objects[i]));
    }
    CK_ATTRIBUTE by_label[] = {TEXT(CKA_LABEL, "find-1")};
    CHECK(find_count(s, by_label, 1, NULL) == 10);
    CK_ATTRIBUTE by_two[] = {TEXT(CKA_LABEL, "find-1"), TEXT(CKA_VALUE, "\x03")};
    CK_OBJECT_HANDLE found = 0;
    CHECK(find_count(s, by_two, 2, &found) == 1 && found == objects[3]);
    CK_ATTRIBUTE none[] = {TEXT(CKA_LABEL, "find-1"), TEXT(CKA_VALUE, "\x02")};
    CHECK(find_count(s, none, 2, NULL) == 0);
    CK_ATTRIBUTE prefix[] = {TEXT(CKA_LABEL, "find")};
    CHECK(find_count(s, prefix, 1, NULL) == 0);
    CHECK(find_count(s, NULL, 0, NULL) >= 20);
    for (int i = 0; i < 20; i++)
        OK(s->f->C_DestroyObject(s->session, objects[i]));
    CHECK(find_count(s, by_label, 1, NULL) == 0);
}

static void find_rules(suite *s)
{
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_FindObjects(s->session, found, 4, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_FindObjectsFinal(s->session));
    OK(s->f->C_FindObjectsInit(s->session, NULL, 0));
    IS(CKR_OPERATION_ACTIVE, s->f->C_FindObjectsInit(s->session, NULL, 0));
    OK(s->f->C_FindObjects(s->session, found, 0, &n));
    CHECK(n == 0);
    OK(s->f->C_FindObjectsFinal(s->session));
    IS(CKR_ARGUMENTS_BAD, s->f->C_FindObjectsInit(s->session, NULL, 3));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_FindObjectsInit(0x7fffffff, NULL, 0));
}

/* One call for several attributes: the good ones are filled, the others marked, and the answer tells. */
static void get_several(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "several"), TEXT(CKA_VALUE, "0123456789")};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 3, &object));
    char label[32];
    char small[4];
    CK_ULONG modulus;
    CK_ATTRIBUTE get[] = {
        {CKA_LABEL, label, sizeof label}, {CKA_MODULUS, &modulus, sizeof modulus}, {CKA_VALUE, NULL, 0}};
    IS(CKR_ATTRIBUTE_TYPE_INVALID, s->f->C_GetAttributeValue(s->session, object, get, 3));
    CHECK(get[0].ulValueLen == 7 && memcmp(label, "several", 7) == 0);
    CHECK(get[1].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    CHECK(get[2].ulValueLen == 10);
    CK_ATTRIBUTE tight[] = {{CKA_VALUE, small, sizeof small}, {CKA_LABEL, label, sizeof label}};
    IS(CKR_BUFFER_TOO_SMALL, s->f->C_GetAttributeValue(s->session, object, tight, 2));
    CHECK(tight[0].ulValueLen == CK_UNAVAILABLE_INFORMATION || tight[0].ulValueLen == 10);
    CHECK(tight[1].ulValueLen == 7);
    OK(s->f->C_DestroyObject(s->session, object));
}

static void change(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "before"), TEXT(CKA_VALUE, "v")};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 3, &object));
    CK_ATTRIBUTE label = TEXT(CKA_LABEL, "afterwards");
    OK(s->f->C_SetAttributeValue(s->session, object, &label, 1));
    CHECK(find_count(s, &label, 1, NULL) == 1);
    CK_ATTRIBUTE old = TEXT(CKA_LABEL, "before");
    CHECK(find_count(s, &old, 1, NULL) == 0);
    CK_OBJECT_CLASS other = CKO_CERTIFICATE;
    CK_ATTRIBUTE read_only = ATTR(CKA_CLASS, other);
    IS(CKR_ATTRIBUTE_READ_ONLY, s->f->C_SetAttributeValue(s->session, object, &read_only, 1));
    CK_ATTRIBUTE token = BOOL(CKA_TOKEN, yes);
    IS(CKR_ATTRIBUTE_READ_ONLY, s->f->C_SetAttributeValue(s->session, object, &token, 1));
    OK(s->f->C_DestroyObject(s->session, object));
    CK_ATTRIBUTE fixed[] = {ATTR(CKA_CLASS, class), BOOL(CKA_MODIFIABLE, no), TEXT(CKA_LABEL, "before")};
    OK(make(s, fixed, 3, &object));
    IS_EITHER(CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY,
        s->f->C_SetAttributeValue(s->session, object, &label, 1));
    CK_ATTRIBUTE kept[] = {ATTR(CKA_CLASS, class), BOOL(CKA_DESTROYABLE, no)};
    OK(make(s, kept, 2, &object));
    IS(CKR_ACTION_PROHIBITED, s->f->C_DestroyObject(s->session, object));
}

static void copy(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "original"), TEXT(CKA_VALUE, "value")};
    CK_OBJECT_HANDLE object;
    CK_OBJECT_HANDLE other;
    OK(make(s, t, 3, &object));
    OK(s->f->C_CopyObject(s->session, object, NULL, 0, &other)); /* an empty template, as NSS has it */
    CHECK(other != object);
    char out[32];
    CHECK(attribute_bytes(s, other, CKA_VALUE, out, sizeof out) == 5);
    CK_ATTRIBUTE to_token[] = {BOOL(CKA_TOKEN, yes), TEXT(CKA_LABEL, "kept")};
    OK(s->f->C_CopyObject(s->session, object, to_token, 2, &other)); /* as keytool does */
    CHECK(attribute_bool(s, other, CKA_TOKEN));
    CHECK(attribute_bytes(s, other, CKA_LABEL, out, sizeof out) == 4);
    OK(s->f->C_DestroyObject(s->session, other));
    CK_ATTRIBUTE value = TEXT(CKA_CLASS, "12345678");
    REFUSED(s->f->C_CopyObject(s->session, object, &value, 1, &other));
    CK_ATTRIBUTE fixed[] = {ATTR(CKA_CLASS, class), BOOL(CKA_COPYABLE, no)};
    OK(make(s, fixed, 2, &object));
    IS(CKR_ACTION_PROHIBITED, s->f->C_CopyObject(s->session, object, NULL, 0, &other));
}

static void template_rules(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE twice[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "one"), TEXT(CKA_LABEL, "two")};
    REFUSED(make(s, twice, 3, &object));
    CK_ATTRIBUTE unknown[] = {ATTR(CKA_CLASS, class), TEXT(0x12345, "x")};
    IS_EITHER(CKR_ATTRIBUTE_TYPE_INVALID, CKR_TEMPLATE_INCONSISTENT, make(s, unknown, 2, &object));
    CK_ATTRIBUTE no_class[] = {TEXT(CKA_LABEL, "x")};
    IS(CKR_TEMPLATE_INCOMPLETE, make(s, no_class, 1, &object));
    CK_ATTRIBUTE wrong_bool[] = {ATTR(CKA_CLASS, class), TEXT(CKA_TOKEN, "abc")};
    IS(CKR_ATTRIBUTE_VALUE_INVALID, make(s, wrong_bool, 2, &object));
    CK_OBJECT_CLASS strange = 0x7777;
    CK_ATTRIBUTE wrong_class[] = {ATTR(CKA_CLASS, strange)};
    REFUSED(make(s, wrong_class, 1, &object));
    IS(CKR_ARGUMENTS_BAD, s->f->C_CreateObject(s->session, NULL, 2, &object));
    IS(CKR_ARGUMENTS_BAD, s->f->C_CreateObject(s->session, no_class, 1, NULL));
    /* What the token alone sets. */
    CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
    CK_KEY_TYPE aes = CKK_AES;
    CK_ATTRIBUTE local[] = {ATTR(CKA_CLASS, secret), ATTR(CKA_KEY_TYPE, aes),
        TEXT(CKA_VALUE, "0123456789abcdef"), BOOL(CKA_LOCAL, yes)};
    REFUSED(make(s, local, 4, &object));
    local[3] = (CK_ATTRIBUTE)BOOL(CKA_ALWAYS_SENSITIVE, yes);
    REFUSED(make(s, local, 4, &object));
    local[3] = (CK_ATTRIBUTE)BOOL(CKA_NEVER_EXTRACTABLE, yes);
    REFUSED(make(s, local, 4, &object));
    local[3] = (CK_ATTRIBUTE)BOOL(CKA_TRUSTED, yes); /* the security officer's to say */
    REFUSED(make(s, local, 4, &object));
    CK_ATTRIBUTE length[] = {
        ATTR(CKA_CLASS, secret), ATTR(CKA_KEY_TYPE, aes), TEXT(CKA_VALUE, "0123456789abcde")};
    IS_EITHER(CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, make(s, length, 3, &object));
}

static void secret_key(suite *s)
{
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_AES, "0123456789abcdef", 16);
    CHECK(!attribute_bool(s, key, CKA_LOCAL) && !attribute_bool(s, key, CKA_ALWAYS_SENSITIVE) &&
          !attribute_bool(s, key, CKA_NEVER_EXTRACTABLE));
    CHECK(attribute_ulong(s, key, CKA_VALUE_LEN) == 16);
    unsigned char value[32];
    CHECK(attribute_bytes(s, key, CKA_VALUE, value, sizeof value) == 16);
    unsigned char check[3];
    CHECK(attribute_bytes(s, key, CKA_CHECK_VALUE, check, 3) == 3);
}

static void trusted_by_officer(suite *s)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_CERTIFICATE_TYPE, type), BOOL(CKA_TOKEN, yes),
        BOOL(CKA_PRIVATE, no), TEXT(CKA_LABEL, "trusted"), TEXT(CKA_SUBJECT, "\x30\x00"),
        TEXT(CKA_VALUE, "\x30\x03\x02\x01\x05"), BOOL(CKA_TRUSTED, yes)};
    CK_OBJECT_HANDLE object;
    REFUSED(make(s, t, 8, &object));
    OK(make(s, t, 7, &object));
    CK_ATTRIBUTE trusted = BOOL(CKA_TRUSTED, yes);
    REFUSED(s->f->C_SetAttributeValue(s->session, object, &trusted, 1));
    OK(s->f->C_Logout(s->session));
    OK(s->f->C_Login(s->session, CKU_SO, (unsigned char *)(size_t)s->so_pin, strlen(s->so_pin)));
    OK(s->f->C_SetAttributeValue(s->session, object, &trusted, 1));
    CHECK(attribute_bool(s, object, CKA_TRUSTED));
    OK(s->f->C_DestroyObject(s->session, object));
}

/* A key made in one process is there in another, under the same handle's attributes. */
static void token_objects_last(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), BOOL(CKA_TOKEN, yes), TEXT(CKA_LABEL, "lasts")};
    CK_OBJECT_HANDLE object;
    OK(make(s, t, 3, &object));
    OK(s->f->C_Finalize(NULL));
    suite_initialize(s);
    s->slot = suite_find_slot(s, s->label);
    s->session = suite_open(s, CKF_RW_SESSION);
    suite_login(s, s->session);
    CHECK(find_count(s, t, 3, &object) >= 1);
    OK(s->f->C_DestroyObject(s->session, object));
}

static void many(suite *s)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_OBJECT_HANDLE object;
    for (int i = 0; i < 500; i++) {
        CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), TEXT(CKA_LABEL, "one of many")};
        OK(make(s, t, 2, &object));
    }
    CK_ATTRIBUTE t = TEXT(CKA_LABEL, "one of many");
    CHECK(find_count(s, &t, 1, NULL) == 500);
}

const conformance_case cases_object[] = {
    {"object.data", "C_CreateObject C_GetAttributeValue C_GetObjectSize C_DestroyObject", 0, data},
    {"object.certificate", "C_CreateObject", 0, certificate},
    {"object.public-keys", "C_CreateObject", 0, public_keys},
    {"object.secret-key", "C_CreateObject C_GetAttributeValue", 0, secret_key},
    {"object.find", "C_FindObjectsInit C_FindObjects C_FindObjectsFinal", 0, find},
    {"object.find-rules", "C_FindObjectsInit C_FindObjects C_FindObjectsFinal", 0, find_rules},
    {"object.get-several", "C_GetAttributeValue", 0, get_several},
    {"object.change", "C_SetAttributeValue", 0, change},
    {"object.copy", "C_CopyObject", 0, copy},
    {"object.template-rules", "C_CreateObject", 0, template_rules},
    {"object.trusted", "C_SetAttributeValue C_Login", 0, trusted_by_officer},
    {"object.lasts", "C_Finalize C_FindObjects", 0, token_objects_last},
    {"object.many", "C_FindObjects", 0, many},
    {0},
};
