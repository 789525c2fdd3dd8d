/* Arguments that no careful application gives: the right answer, and no crash. */
#include "suite.h"

#include <string.h>

#define BAD_HANDLE 0x7fffffff

static void null_arguments(suite *s)
{
    CK_FUNCTION_LIST *f = s->f;
    CK_ULONG n = 0;
    unsigned char byte = 0;
    IS(CKR_ARGUMENTS_BAD, f->C_GetSessionInfo(s->session, NULL));
    OK(f->C_FindObjectsInit(s->session, NULL, 0));
    IS(CKR_ARGUMENTS_BAD, f->C_FindObjects(s->session, NULL, 3, &n));
    (void)f->C_FindObjectsFinal(s->session);
    IS(CKR_ARGUMENTS_BAD, f->C_GetObjectSize(s->session, keys_aes(s, 16), NULL));
    IS(CKR_ARGUMENTS_BAD, f->C_EncryptInit(s->session, NULL, 1));
    IS(CKR_ARGUMENTS_BAD, f->C_SignInit(s->session, NULL, 1));
    IS(CKR_ARGUMENTS_BAD, f->C_VerifyInit(s->session, NULL, 1));
    IS(CKR_ARGUMENTS_BAD, f->C_DecryptInit(s->session, NULL, 1));
    IS(CKR_ARGUMENTS_BAD, f->C_GenerateKeyPair(s->session, NULL, NULL, 0, NULL, 0, NULL, NULL));
    IS(CKR_ARGUMENTS_BAD, f->C_DeriveKey(s->session, NULL, 1, NULL, 0, NULL));
    IS(CKR_ARGUMENTS_BAD, f->C_WrapKey(s->session, NULL, 1, 1, &byte, &n));
    IS(CKR_ARGUMENTS_BAD, f->C_UnwrapKey(s->session, NULL, 1, &byte, 1, NULL, 0, NULL));
    IS(CKR_ARGUMENTS_BAD, f->C_CopyObject(s->session, keys_aes(s, 16), NULL, 0, NULL));
    REFUSED(f->C_GetAttributeValue(s->session, keys_aes(s, 16), NULL, 2));
    REFUSED(f->C_SetAttributeValue(s->session, keys_aes(s, 16), NULL, 2));
    REFUSED(f->C_Login(s->session, CKU_USER, NULL, 12));
    REFUSED(f->C_SetPIN(s->session, NULL, 4, NULL, 4));
    REFUSED(f->C_SeedRandom(s->session, NULL, 7));
    REFUSED(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL));
}

static void bad_handles(suite *s)
{
    CK_FUNCTION_LIST *f = s->f;
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    CK_MECHANISM aes = {CKM_AES_ECB, NULL, 0};
    static const CK_OBJECT_HANDLE handles[] = {
        0, BAD_HANDLE, 1UL << 61, 1UL << 62, 3UL << 61, 1UL << 63, ~0UL};
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
        CK_OBJECT_HANDLE h = handles[i];
        CK_OBJECT_HANDLE out;
        CK_ULONG n = 0;
        CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};
        IS(CKR_KEY_HANDLE_INVALID, f->C_SignInit(s->session, &ecdsa, h));
        IS(CKR_KEY_HANDLE_INVALID, f->C_VerifyInit(s->session, &ecdsa, h));
        IS(CKR_KEY_HANDLE_INVALID, f->C_EncryptInit(s->session, &aes, h));
        IS(CKR_KEY_HANDLE_INVALID, f->C_DecryptInit(s->session, &aes, h));
        IS(CKR_OBJECT_HANDLE_INVALID, f->C_GetAttributeValue(s->session, h, &a, 1));
        IS(CKR_OBJECT_HANDLE_INVALID, f->C_SetAttributeValue(s->session, h, &a, 1));
        IS(CKR_OBJECT_HANDLE_INVALID, f->C_CopyObject(s->session, h, NULL, 0, &out));
        IS(CKR_OBJECT_HANDLE_INVALID, f->C_DestroyObject(s->session, h));
        IS(CKR_OBJECT_HANDLE_INVALID, f->C_GetObjectSize(s->session, h, &n));
    }
    IS(CKR_SESSION_HANDLE_INVALID, f->C_SignInit(0, &ecdsa, 1));
    IS(CKR_SESSION_HANDLE_INVALID, f->C_SignInit(~0UL, &ecdsa, 1));
    IS(CKR_SESSION_HANDLE_INVALID, f->C_Logout(~0UL));
}

static void huge_lengths(suite *s)
{
    CK_FUNCTION_LIST *f = s->f;
    unsigned char byte = 0;
    CK_ULONG n = 1;
    static const CK_ULONG lengths[] = {~0UL, ~0UL - 1, ~0UL - 15, ~0UL - 31, 1UL << 63, 1UL << 62, 1UL << 40};
    CK_OBJECT_CLASS class = CKO_DATA;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CK_ULONG len = lengths[i];
        CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), {CKA_VALUE, &byte, len}};
        CK_OBJECT_HANDLE object;
        REFUSED(f->C_CreateObject(s->session, t, 2, &object));
        REFUSED(f->C_CreateObject(s->session, t, len, &object));
        REFUSED(f->C_FindObjectsInit(s->session, t, len));
        REFUSED(f->C_SetPIN(s->session, &byte, len, &byte, len));
        CK_MECHANISM m = {CKM_AES_CBC, &byte, len};
        REFUSED(f->C_EncryptInit(s->session, &m, keys_aes(s, 16)));
        CK_MECHANISM sha = {CKM_SHA256, NULL, 0};
        OK(f->C_DigestInit(s->session, &sha));
        /* a length only, so that nothing past the byte is read */
        CK_RV rv = f->C_Digest(s->session, NULL, len, &byte, &n);
        CHECK(rv != CKR_OK);
        (void)f->C_DigestFinal(s->session, NULL, &n);
    }
}

/* Templates within templates, a hundred deep. */
static void nested_templates(suite *s)
{
    static CK_ATTRIBUTE levels[100];
    CK_BBOOL yes = CK_TRUE;
    levels[99] = (CK_ATTRIBUTE)ATTR(CKA_SENSITIVE, yes);
    for (int i = 98; i >= 0; i--)
        levels[i] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, &levels[i + 1], sizeof levels[0]};
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), levels[0]};
    CK_OBJECT_HANDLE key;
    REFUSED(s->f->C_GenerateKey(s->session, &m, t, 2, &key));
    /* and one that holds itself */
    CK_ATTRIBUTE circle = {CKA_WRAP_TEMPLATE, &circle, sizeof circle};
    CK_ATTRIBUTE u[] = {ATTR(CKA_VALUE_LEN, len), circle};
    REFUSED(s->f->C_GenerateKey(s->session, &m, u, 2, &key));
    CK_ATTRIBUTE odd = {CKA_WRAP_TEMPLATE, levels, sizeof levels[0] + 1};
    CK_ATTRIBUTE v[] = {ATTR(CKA_VALUE_LEN, len), odd};
    REFUSED(s->f->C_GenerateKey(s->session, &m, v, 2, &key));
}

static void large_templates(suite *s)
{
    static CK_ATTRIBUTE many[5000];
    static unsigned char big[300000];
    CK_OBJECT_CLASS class = CKO_DATA;
    for (size_t i = 0; i < 5000; i++)
        many[i] = (CK_ATTRIBUTE){CKA_VENDOR_DEFINED + i, big, 1};
    CK_OBJECT_HANDLE object;
    REFUSED(s->f->C_CreateObject(s->session, many, 5000, &object));
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), {CKA_VALUE, big, sizeof big}};
    CK_RV rv = s->f->C_CreateObject(s->session, t, 2, &object);
    CHECK(rv == CKR_OK || rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_DEVICE_MEMORY ||
          rv == CKR_HOST_MEMORY);
    t[1].ulValueLen = 8000; /* of a size that certificates have */
    OK(s->f->C_CreateObject(s->session, t, 2, &object));
    CHECK(attribute_bytes(s, object, CKA_VALUE, big, sizeof big) == 8000);
}

/* Operations in the wrong order. */
static void wrong_order(suite *s)
{
    CK_FUNCTION_LIST *f = s->f;
    unsigned char b[64] = {0};
    CK_ULONG n = sizeof b;
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_Sign(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_SignUpdate(s->session, b, 1));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_SignFinal(s->session, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_Verify(s->session, b, 1, b, 1));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_VerifyFinal(s->session, b, 1));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_Encrypt(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_EncryptUpdate(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_EncryptFinal(s->session, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_Decrypt(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_DecryptFinal(s->session, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_DigestKey(s->session, 1));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_SignRecover(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_VerifyRecover(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_DigestEncryptUpdate(s->session, b, 1, b, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_DecryptVerifyUpdate(s->session, b, 1, b, &n));
    suite_needs(s, CKM_SHA256_HMAC, CKF_SIGN);
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    CK_OBJECT_HANDLE key = keys_generic(s, 32);
    OK(f->C_SignInit(s->session, &m, key));
    OK(f->C_SignUpdate(s->session, b, 1));
    REFUSED(f->C_Sign(s->session, b, 1, b, &n)); /* after a part, not in one */
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_Verify(s->session, b, 1, b, 1));
}

static void destroyed_key(suite *s)
{
    CK_OBJECT_HANDLE key = keys_aes(s, 16);
    CK_MECHANISM m = {CKM_AES_ECB, NULL, 0};
    unsigned char b[16] = {0};
    CK_ULONG n = sizeof b;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    CK_SESSION_HANDLE other = suite_open(s, CKF_RW_SESSION);
    OK(s->f->C_DestroyObject(other, key));
    CK_RV rv = s->f->C_Encrypt(s->session, b, sizeof b, b, &n);
    CHECK(rv == CKR_OK || rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OPERATION_NOT_INITIALIZED);
    IS(CKR_KEY_HANDLE_INVALID, s->f->C_EncryptInit(other, &m, key));
}

const conformance_case cases_hostile[] = {
    {"hostile.null", "C_GetSessionInfo C_GetObjectSize", 0, null_arguments},
    {"hostile.handles", "C_SignInit C_EncryptInit C_DestroyObject", 0, bad_handles},
    {"hostile.lengths", "C_CreateObject C_Digest", 0, huge_lengths},
    {"hostile.nested-templates", "C_GenerateKey", 0, nested_templates},
    {"hostile.large-templates", "C_CreateObject", 0, large_templates},
    {"hostile.wrong-order", "C_Sign C_Encrypt", 0, wrong_order},
    {"hostile.destroyed-key", "C_DestroyObject", 0, destroyed_key},
    {0},
};
