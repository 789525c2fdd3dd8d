/* How long signatures take, and what makes others' take long: latency MODULE TOKEN PIN sign COUNT prints the
 * 50th and 99th of a hundred of the times, in microseconds; latency MODULE TOKEN PIN generate BITS makes one
 * pair of RSA keys. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static CK_FUNCTION_LIST *p11;

static void check(const char *what, CK_RV rv)
{
    if (rv == CKR_OK)
        return;
    (void)fprintf(stderr, "latency: %s: 0x%lx\n", what, rv);
    exit(1);
}

static CK_SESSION_HANDLE open_token(const char *label, char *pin)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    check("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        CK_SESSION_HANDLE session;
        size_t len = strlen(label);
        if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK || memcmp(info.label, label, len) != 0)
            continue;
        check("C_OpenSession",
            p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
        check("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)));
        return session;
    }
    (void)fprintf(stderr, "latency: no token %s\n", label);
    exit(1);
}

static CK_OBJECT_HANDLE make_pair(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type, CK_ULONG bits)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256}};
    CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, sizeof yes}};
    if (bits != 0)
    public[0] = (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof bits};
    CK_OBJECT_HANDLE handles[2];
    check("C_GenerateKeyPair",
        p11->C_GenerateKeyPair(session, &mechanism, public, 1, private, 1, &handles[0], &handles[1]));
    return handles[1];
}

static int compare(const void *a, const void *b)
{
    long x = *(const long *)a;
    long y = *(const long *)b;
    return (x > y) - (x < y);
}

static void sign(CK_SESSION_HANDLE session, size_t count)
{
    CK_OBJECT_HANDLE key = make_pair(session, CKM_EC_KEY_PAIR_GEN, 0);
    long *times = calloc(count, sizeof *times);
    if (times == NULL)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
        CK_BYTE digest[32] = {1};
        CK_BYTE signature[64];
        CK_ULONG len = sizeof signature;
        struct timespec from;
        struct timespec to;
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        check("C_SignInit", p11->C_SignInit(session, &mechanism, key));
        check("C_Sign", p11->C_Sign(session, digest, sizeof digest, signature, &len));
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        times[i] = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
    }
    qsort(times, count, sizeof *times, compare);
    (void)printf("%ld %ld\n", times[count / 2], times[count * 99 / 100]);
    free(times);
}

int main(int argc, char **argv)
{
    void *module = argc == 6 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get = NULL;
    if (module != NULL)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (get == NULL || get(&p11) != CKR_OK) {
        (void)fprintf(stderr, "usage: latency MODULE TOKEN PIN sign COUNT | generate BITS\n");
        return 1;
    }
    check("C_Initialize", p11->C_Initialize(NULL));
    CK_SESSION_HANDLE session = open_token(argv[2], argv[3]);
    unsigned long number = strtoul(argv[5], NULL, 10);
    if (strcmp(argv[4], "sign") == 0)
        sign(session, number);
    else
        (void)make_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, number);
    return 0;
}
