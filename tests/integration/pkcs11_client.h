/* A small application of PKCS#11: loads the module, opens a session, finds, signs. */
#ifndef LH_TEST_PKCS11_CLIENT_H
#define LH_TEST_PKCS11_CLIENT_H

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
} client;

static inline const char *client_name(CK_RV rv)
{
    static char number[32];
    switch (rv) {
    case CKR_OK: return "CKR_OK";
    case CKR_ACTION_PROHIBITED: return "CKR_ACTION_PROHIBITED";
    case CKR_KEY_HANDLE_INVALID: return "CKR_KEY_HANDLE_INVALID";
    case CKR_OBJECT_HANDLE_INVALID: return "CKR_OBJECT_HANDLE_INVALID";
    case CKR_MECHANISM_INVALID: return "CKR_MECHANISM_INVALID";
    case CKR_KEY_FUNCTION_NOT_PERMITTED: return "CKR_KEY_FUNCTION_NOT_PERMITTED";
    case CKR_DEVICE_ERROR: return "CKR_DEVICE_ERROR";
    case CKR_DEVICE_REMOVED: return "CKR_DEVICE_REMOVED";
    case CKR_TOKEN_NOT_PRESENT: return "CKR_TOKEN_NOT_PRESENT";
    case CKR_SESSION_HANDLE_INVALID: return "CKR_SESSION_HANDLE_INVALID";
    case CKR_ATTRIBUTE_TYPE_INVALID: return "CKR_ATTRIBUTE_TYPE_INVALID";
    case CKR_SIGNATURE_INVALID: return "CKR_SIGNATURE_INVALID";
    case CKR_FUNCTION_FAILED: return "CKR_FUNCTION_FAILED";
    case CKR_GENERAL_ERROR: return "CKR_GENERAL_ERROR";
    default: (void)snprintf(number, sizeof number, "0x%08lx", rv); return number;
    }
}

static inline void client_check(const char *what, CK_RV rv)
{
    if (rv == CKR_OK)
        return;
    (void)printf("%s: %s\n", what, client_name(rv));
    exit(125);
}

static inline void client_load(client *c, const char *module)
{
    void *library = module ? dlopen(module, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get = NULL;
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!symbol) {
        (void)printf("cannot load %s\n", module ? module : "(no module)");
        exit(125);
    }
    memcpy(&get, &symbol, sizeof get);
    client_check("C_GetFunctionList", get(&c->f));
    client_check("C_Initialize", c->f->C_Initialize(NULL));
    CK_SLOT_ID slots[64] = {0};
    CK_ULONG count = 64;
    client_check("C_GetSlotList", c->f->C_GetSlotList(CK_TRUE, slots, &count));
    client_check("C_OpenSession", c->f->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &c->session));
}

/* The first object of a label and class; 0: none. */
static inline CK_RV client_find(client *c, const char *label, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *ret)
{
    char copy[256];
    (void)snprintf(copy, sizeof copy, "%s", label);
    CK_ATTRIBUTE template[] = {{CKA_LABEL, copy, strlen(copy)}, {CKA_CLASS, &class, sizeof class}};
    CK_ULONG count = 0;
    CK_RV rv = c->f->C_FindObjectsInit(c->session, template, 2);
    if (rv != CKR_OK)
        return rv;
    *ret = 0;
    rv = c->f->C_FindObjects(c->session, ret, 1, &count);
    CK_RV final = c->f->C_FindObjectsFinal(c->session);
    return rv == CKR_OK ? final : rv;
}

/* What is signed: 32 bytes, so that it may be a digest. */
#define CLIENT_DATA ((unsigned char[32]){1, 2, 3})
#define CLIENT_DATA_LEN 32

static inline CK_RV client_sign(
    client *c, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type, unsigned char *signature, CK_ULONG *len)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_RV rv = c->f->C_SignInit(c->session, &mechanism, key);
    return rv == CKR_OK ? c->f->C_Sign(c->session, CLIENT_DATA, CLIENT_DATA_LEN, signature, len) : rv;
}

#endif
