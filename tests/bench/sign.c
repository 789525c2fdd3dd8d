/* How many signatures a PKCS#11 module makes: MODULE LABEL [SECONDS [PIN]]. One session, ECDSA over 32 bytes,
 * C_SignInit and C_Sign in a loop. Prints signatures per second and the median and 99th percentile of one in
 * microseconds. Knows nothing of any module, so that peers are measured with the same program in the same
 * run. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES_MAX 2000000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(CK_RV rv, const char *what)
{
    if (rv == CKR_OK)
        return;
    fprintf(stderr, "%s: 0x%lx\n", what, rv);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static CK_FUNCTION_LIST *load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    if (module)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    CK_FUNCTION_LIST *p11 = NULL;
    if (!get || get(&p11) != CKR_OK) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
        exit(1);
    }
    return p11;
}

static CK_SESSION_HANDLE open_session(CK_FUNCTION_LIST *p11, char *pin)
{
    check(p11->C_Initialize(NULL), "C_Initialize");
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    check(p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    CK_SESSION_HANDLE session = 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        check(p11->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (!(info.flags & CKF_TOKEN_INITIALIZED))
            continue;
        check(p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
        if (pin)
            check(p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "C_Login");
        return session;
    }
    fprintf(stderr, "no initialised token\n");
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODULE LABEL [SECONDS [PIN]]\n", argv[0]);
        return 2;
    }
    double seconds = argc > 3 ? atof(argv[3]) : 3;
    CK_FUNCTION_LIST *p11 = load(argv[1]);
    CK_SESSION_HANDLE session = open_session(p11, argc > 4 ? argv[4] : NULL);
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, argv[2], strlen(argv[2])}};
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG found = 0;
    check(p11->C_FindObjectsInit(session, template, 2), "C_FindObjectsInit");
    check(p11->C_FindObjects(session, &key, 1, &found), "C_FindObjects");
    check(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (found != 1) {
        fprintf(stderr, "no private key %s\n", argv[2]);
        return 1;
    }
    float *samples = calloc(SAMPLES_MAX, sizeof(*samples));
    size_t n = 0;
    double begin = 0;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE data[32] = {1};
    for (int warm = 1; samples && n < SAMPLES_MAX; warm = 0) {
        double before = now();
        CK_BYTE signature[256];
        CK_ULONG len = sizeof(signature);
        check(p11->C_SignInit(session, &mechanism, key), "C_SignInit");
        check(p11->C_Sign(session, data, sizeof(data), signature, &len), "C_Sign");
        double after = now();
        if (warm) {
            begin = after;
            continue;
        }
        samples[n++] = (float)((after - before) * 1e6);
        if (after - begin >= seconds)
            break;
    }
    double elapsed = now() - begin;
    qsort(samples, n, sizeof(*samples), compare);
    printf("%.0f signatures/s, median %.1f us, p99 %.1f us\n", (double)n / elapsed, (double)samples[n / 2],
        (double)samples[n * 99 / 100]);
    free(samples);
    p11->C_Finalize(NULL);
    return 0;
}
