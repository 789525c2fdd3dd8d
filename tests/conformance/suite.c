/* What all cases need: initialising, slots, sessions, names of answers. */
#include "suite.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void suite_initialize(suite *s)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    OK(s->f->C_Initialize(&args));
}

CK_SLOT_ID suite_find_slot(suite *s, const char *label)
{
    CK_SLOT_ID slots[256];
    CK_ULONG count = 256;
    char padded[32];
    memset(padded, ' ', sizeof padded);
    memcpy(padded, label, strlen(label) < 32 ? strlen(label) : 32);
    OK(s->f->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (s->f->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, padded, 32) == 0)
            return slots[i];
    }
    suite_fail(s, __FILE__, __LINE__, "no token is called %s", label);
}

CK_SESSION_HANDLE suite_open(suite *s, CK_FLAGS flags)
{
    CK_SESSION_HANDLE session = 0;
    OK(s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION | flags, NULL, NULL, &session));
    return session;
}

void suite_login(suite *s, CK_SESSION_HANDLE session)
{
    char pin[256];
    (void)snprintf(pin, sizeof pin, "%s", s->pin);
    OK(s->f->C_Login(session, CKU_USER, (unsigned char *)pin, strlen(pin)));
}

bool suite_offers(suite *s, CK_MECHANISM_TYPE type, CK_FLAGS flags, CK_MECHANISM_INFO *ret)
{
    CK_MECHANISM_INFO info;
    if (s->f->C_GetMechanismInfo(s->slot, type, &info) != CKR_OK || (info.flags & flags) != flags)
        return false;
    if (ret)
        *ret = info;
    return true;
}

void suite_needs(suite *s, CK_MECHANISM_TYPE type, CK_FLAGS flags)
{
    char what[64];
    (void)snprintf(what, sizeof what, "mechanism 0x%lx", type);
    if (!suite_offers(s, type, flags, NULL))
        suite_absent(s, what);
}

static void *interface(suite *s, unsigned char major, unsigned char minor)
{
    void *symbol = dlsym(s->library, "C_GetInterface");
    if (!symbol)
        return NULL;
    CK_C_GetInterface get;
    memcpy(&get, &symbol, sizeof get);
    CK_VERSION version = {major, minor};
    CK_INTERFACE *found = NULL;
    char name[] = "PKCS 11";
    return get((unsigned char *)name, &version, &found, 0) == CKR_OK && found ? found->pFunctionList : NULL;
}

CK_FUNCTION_LIST_3_0 *suite_v30(suite *s)
{
    CK_FUNCTION_LIST_3_0 *list = interface(s, 3, 0);
    if (!list)
        suite_absent(s, "interface 3.0");
    return list;
}

CK_FUNCTION_LIST_3_2 *suite_v32(suite *s)
{
    CK_FUNCTION_LIST_3_2 *list = interface(s, 3, 2);
    if (!list)
        suite_absent(s, "interface 3.2");
    return list;
}

size_t attribute_bytes(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *out, size_t size)
{
    CK_ATTRIBUTE a = {type, out, size};
    OK(s->f->C_GetAttributeValue(s->session, object, &a, 1));
    return a.ulValueLen;
}

CK_ULONG attribute_ulong(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_ULONG value = 0;
    CHECK(attribute_bytes(s, object, type, &value, sizeof value) == sizeof value);
    return value;
}

bool attribute_bool(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = 7;
    CHECK(attribute_bytes(s, object, type, &value, sizeof value) == 1);
    CHECK(value == CK_TRUE || value == CK_FALSE);
    return value;
}

CK_ULONG find_count(suite *s, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *ret_first)
{
    OK(s->f->C_FindObjectsInit(s->session, template, count));
    CK_ULONG total = 0;
    for (;;) {
        CK_OBJECT_HANDLE found[16];
        CK_ULONG n = 0;
        OK(s->f->C_FindObjects(s->session, found, 16, &n));
        if (n == 0)
            break;
        if (total == 0 && ret_first)
            *ret_first = found[0];
        total += n;
    }
    OK(s->f->C_FindObjectsFinal(s->session));
    return total;
}

const char *suite_rv_name(CK_RV rv)
{
#define NAME(x)                                                                                              \
    case x: return #x
    static char number[32];
    switch (rv) {
        NAME(CKR_OK);
        NAME(CKR_CANCEL);
        NAME(CKR_HOST_MEMORY);
        NAME(CKR_SLOT_ID_INVALID);
        NAME(CKR_GENERAL_ERROR);
        NAME(CKR_FUNCTION_FAILED);
        NAME(CKR_ARGUMENTS_BAD);
        NAME(CKR_ATTRIBUTE_READ_ONLY);
        NAME(CKR_ATTRIBUTE_SENSITIVE);
        NAME(CKR_ATTRIBUTE_TYPE_INVALID);
        NAME(CKR_ATTRIBUTE_VALUE_INVALID);
        NAME(CKR_DATA_INVALID);
        NAME(CKR_DATA_LEN_RANGE);
        NAME(CKR_DEVICE_ERROR);
        NAME(CKR_DEVICE_MEMORY);
        NAME(CKR_DEVICE_REMOVED);
        NAME(CKR_ENCRYPTED_DATA_INVALID);
        NAME(CKR_ENCRYPTED_DATA_LEN_RANGE);
        NAME(CKR_FUNCTION_NOT_SUPPORTED);
        NAME(CKR_KEY_HANDLE_INVALID);
        NAME(CKR_KEY_SIZE_RANGE);
        NAME(CKR_KEY_TYPE_INCONSISTENT);
        NAME(CKR_KEY_INDIGESTIBLE);
        NAME(CKR_KEY_FUNCTION_NOT_PERMITTED);
        NAME(CKR_KEY_NOT_WRAPPABLE);
        NAME(CKR_KEY_UNEXTRACTABLE);
        NAME(CKR_MECHANISM_INVALID);
        NAME(CKR_MECHANISM_PARAM_INVALID);
        NAME(CKR_OBJECT_HANDLE_INVALID);
        NAME(CKR_OPERATION_ACTIVE);
        NAME(CKR_OPERATION_NOT_INITIALIZED);
        NAME(CKR_PIN_INCORRECT);
        NAME(CKR_PIN_INVALID);
        NAME(CKR_PIN_LEN_RANGE);
        NAME(CKR_PIN_LOCKED);
        NAME(CKR_SESSION_COUNT);
        NAME(CKR_SESSION_HANDLE_INVALID);
        NAME(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        NAME(CKR_SESSION_READ_ONLY);
        NAME(CKR_SESSION_EXISTS);
        NAME(CKR_SESSION_READ_ONLY_EXISTS);
        NAME(CKR_SESSION_READ_WRITE_SO_EXISTS);
        NAME(CKR_SIGNATURE_INVALID);
        NAME(CKR_SIGNATURE_LEN_RANGE);
        NAME(CKR_TEMPLATE_INCOMPLETE);
        NAME(CKR_TEMPLATE_INCONSISTENT);
        NAME(CKR_TOKEN_NOT_PRESENT);
        NAME(CKR_TOKEN_WRITE_PROTECTED);
        NAME(CKR_UNWRAPPING_KEY_HANDLE_INVALID);
        NAME(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT);
        NAME(CKR_USER_ALREADY_LOGGED_IN);
        NAME(CKR_USER_NOT_LOGGED_IN);
        NAME(CKR_USER_PIN_NOT_INITIALIZED);
        NAME(CKR_USER_TYPE_INVALID);
        NAME(CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
        NAME(CKR_WRAPPED_KEY_INVALID);
        NAME(CKR_WRAPPED_KEY_LEN_RANGE);
        NAME(CKR_WRAPPING_KEY_HANDLE_INVALID);
        NAME(CKR_WRAPPING_KEY_TYPE_INCONSISTENT);
        NAME(CKR_DOMAIN_PARAMS_INVALID);
        NAME(CKR_BUFFER_TOO_SMALL);
        NAME(CKR_SAVED_STATE_INVALID);
        NAME(CKR_STATE_UNSAVEABLE);
        NAME(CKR_CRYPTOKI_NOT_INITIALIZED);
        NAME(CKR_CRYPTOKI_ALREADY_INITIALIZED);
        NAME(CKR_ACTION_PROHIBITED);
        NAME(CKR_FUNCTION_NOT_PARALLEL);
        NAME(CKR_NO_EVENT);
    default: (void)snprintf(number, sizeof number, "0x%lx", rv); return number;
    }
#undef NAME
}
