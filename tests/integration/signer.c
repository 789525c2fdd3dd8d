/* An application that keeps its session and signs when it is told to: signer MODULE LABEL. For each line of
 * standard input it looks the key up, signs 32 bytes with CKM_ECDSA, and prints
 *
 *   ok LEASE        the lease's id, "-" where the module tells none
 *   0xRV CALL       what was returned, and by which call
 *
 * "end" or the end of input ends it. With MODULE LABEL COUNT it does so COUNT times without being told. */
#include "leasehold/leasehold.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST *p11;

static CK_FUNCTION_LIST *load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    CK_FUNCTION_LIST *list = NULL;
    if (get == NULL || get(&list) != CKR_OK || list->C_Initialize(NULL) != CKR_OK) {
        (void)fprintf(stderr, "signer: cannot load %s\n", path);
        exit(1);
    }
    return list;
}

static bool bad(CK_RV rv, const char *call)
{
    if (rv != CKR_OK)
        (void)printf("0x%lx %s\n", rv, call);
    return rv != CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, char *label, CK_OBJECT_HANDLE *ret)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(session, wanted, 2);
    if (rv == CKR_OK)
        rv = p11->C_FindObjects(session, ret, 1, &count);
    if (rv == CKR_OK)
        rv = p11->C_FindObjectsFinal(session);
    return rv == CKR_OK && count == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

static void print_lease(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    unsigned char id[16];
    CK_ATTRIBUTE lease = {CKA_LEASEHOLD_LEASE_ID, id, sizeof id};
    CK_RV rv = p11->C_GetAttributeValue(session, key, &lease, 1);
    (void)printf("ok ");
    for (CK_ULONG i = 0; rv == CKR_OK && lease.ulValueLen == sizeof id && i < sizeof id; i++)
        (void)printf("%02x", id[i]);
    (void)printf("%s\n", rv == CKR_OK && lease.ulValueLen == sizeof id ? "" : "-");
}

static void sign(CK_SESSION_HANDLE *session, char *label)
{
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = CKR_SESSION_HANDLE_INVALID;
    if (*session != 0)
        rv = find(*session, label, &key);
    CK_SLOT_ID slots[1];
    CK_ULONG count = 1;
    if (rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT) {
        if (bad(p11->C_GetSlotList(CK_FALSE, slots, &count), "C_GetSlotList") ||
            bad(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, session), "C_OpenSession"))
            return;
        rv = find(*session, label, &key);
    }
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    unsigned char digest[32] = {1, 2, 3};
    unsigned char signature[128];
    CK_ULONG len = sizeof signature;
    if (bad(rv, "C_FindObjects") || bad(p11->C_SignInit(*session, &mechanism, key), "C_SignInit") ||
        bad(p11->C_Sign(*session, digest, sizeof digest, signature, &len), "C_Sign"))
        return;
    print_lease(*session, key);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4)
        return 2;
    p11 = load(argv[1]);
    CK_SESSION_HANDLE session = 0;
    char line[64];
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4) {
        for (long n = strtol(argv[3], NULL, 10); n > 0; n--)
            sign(&session, argv[2]);
        return 0;
    }
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0)
        sign(&session, argv[2]);
    return 0;
}
