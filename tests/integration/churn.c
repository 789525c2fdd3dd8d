/* Changes a standalone partition without a pause until something fails, and writes down what it was told is
 * done: churn MODULE TOKEN PIN SO_PIN FILE objects|pins|token. Each line of FILE is written before (try …) or
 * after (did …):
 *
 *   objects   did make LABEL HANDLE; try gone LABEL; did gone LABEL   key pairs and data objects
 *   pins      try pin PIN; did pin PIN                                C_SetPIN, from PIN on
 *   token     try token N; did token N                                C_InitToken, C_InitPIN, and an object
 * LABEL tN
 *
 * What an earlier run left in FILE is gone on from. Exit status 0 where the end was that the daemon went. */
#include "pkcs11_client.h"

#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

static client c;
static CK_SLOT_ID slot;
static FILE *file;

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(file, format, arguments);
    va_end(arguments);
    (void)fputc('\n', file);
    (void)fflush(file);
}

/* The daemon is gone; anything else is a failure of the test. */
static void check(const char *what, CK_RV rv)
{
    if (rv == CKR_OK)
        return;
    (void)printf("%s: %s\n", what, client_name(rv));
    exit(rv == CKR_DEVICE_ERROR || rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_SLOT_ID_INVALID ? 0 : 1);
}

static void find_slot(const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    check("C_GetSlotList", c.f->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        check("C_GetTokenInfo", c.f->C_GetTokenInfo(slots[i], &info));
        if (strncmp((const char *)info.label, label, strlen(label)) == 0) {
            slot = slots[i];
            return;
        }
    }
    (void)printf("no token %s\n", label);
    exit(1);
}

static void enter(CK_USER_TYPE user, char *pin)
{
    check("C_OpenSession",
        c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &c.session));
    check("C_Login", c.f->C_Login(c.session, user, (unsigned char *)pin, strlen(pin)));
}

static CK_OBJECT_HANDLE make(char *label, bool pair)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BYTE yes = CK_TRUE;
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE public[] = {
        {CKA_EC_PARAMS, p256, sizeof p256}, {CKA_LABEL, label, strlen(label)}, {CKA_TOKEN, &yes, 1}};
    CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, 1}, {CKA_LABEL, label, strlen(label)}, {CKA_TOKEN, &yes, 1}};
    CK_ATTRIBUTE data[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}, {CKA_TOKEN, &yes, 1}};
    CK_OBJECT_HANDLE handle = 0;
    CK_OBJECT_HANDLE other;
    if (pair)
        check("C_GenerateKeyPair",
            c.f->C_GenerateKeyPair(c.session, &mechanism, public, 3, private, 3, &other, &handle));
    else
        check("C_CreateObject", c.f->C_CreateObject(c.session, data, 3, &handle));
    return handle;
}

static void objects(char *pin)
{
    enter(CKU_USER, pin);
    for (int i = 0;; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "%c-%d-%d", i % 3 == 0 ? 'k' : 'd', (int)getpid(), i);
        CK_OBJECT_HANDLE handle = make(label, i % 3 == 0);
        note("did make %s %lu", label, handle);
        if (i % 3 != 2)
            continue;
        note("try gone %s", label);
        check("C_DestroyObject", c.f->C_DestroyObject(c.session, handle));
        note("did gone %s", label);
    }
}

static void pins(char *pin)
{
    char old[32];
    (void)snprintf(old, sizeof old, "%s", pin);
    check("C_OpenSession",
        c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &c.session));
    for (int i = 0;; i++) {
        char new[32];
        (void)snprintf(new, sizeof new, "pin-%d-%d", (int)getpid(), i);
        note("try pin %s", new);
        check("C_SetPIN",
            c.f->C_SetPIN(c.session, (unsigned char *)old, strlen(old), (unsigned char *)new, strlen(new)));
        note("did pin %s", new);
        memcpy(old, new, sizeof old);
    }
}

static void token(char *label, char *pin, char *so_pin)
{
    unsigned char padded[32];
    memset(padded, ' ', sizeof padded);
    memcpy(padded, label, strlen(label));
    for (int i = 0;; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "t-%d-%d", (int)getpid(), i);
        note("try token %s", name);
        check("C_InitToken", c.f->C_InitToken(slot, (unsigned char *)so_pin, strlen(so_pin), padded));
        enter(CKU_SO, so_pin);
        check("C_InitPIN", c.f->C_InitPIN(c.session, (unsigned char *)pin, strlen(pin)));
        check("C_CloseSession", c.f->C_CloseSession(c.session));
        enter(CKU_USER, pin);
        for (int k = 0; k < 5; k++)
            (void)make(name, k == 0);
        check("C_CloseSession", c.f->C_CloseSession(c.session));
        note("did token %s", name);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7 || !(file = fopen(argv[5], "a"))) {
        (void)fprintf(stderr, "usage: churn MODULE TOKEN PIN SO_PIN FILE objects|pins|token\n");
        return 125;
    }
    client_load(&c, argv[1]);
    find_slot(argv[2]);
    if (strcmp(argv[6], "objects") == 0)
        objects(argv[3]);
    else if (strcmp(argv[6], "pins") == 0)
        pins(argv[3]);
    else
        token(argv[2], argv[3], argv[4]);
    return 0;
}
