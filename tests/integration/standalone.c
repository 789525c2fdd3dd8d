/* An application of two standalone partitions, "one" and "two" with the PIN 1234, and a blank one, through
 * the 3.2 interface: what the conformance suite, which knows one token, does not see. Each step that does not
 * do as it should ends it with its line. usage: standalone MODULE */
#include <dlfcn.h>
#include <leasehold/pkcs11-3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_FUNCTION_LIST_3_2 *p11;
static CK_BBOOL yes = CK_TRUE;

#define TEXT(s) ((unsigned char[]){s})
#define STEP(condition) step((condition), #condition, __LINE__)
#define RV(call, rv) answered((call), (rv), #call, __LINE__)

static void step(bool right, const char *what, int line)
{
    if (right)
        return;
    (void)printf("standalone.c:%d: %s\n", line, what);
    exit(1);
}

static void answered(CK_RV rv, CK_RV wanted, const char *what, int line)
{
    if (rv == wanted)
        return;
    (void)printf("standalone.c:%d: %s: 0x%lx, not 0x%lx\n", line, what, rv, wanted);
    exit(1);
}

static void load(const char *module)
{
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    STEP(library != NULL);
    void *symbol = dlsym(library, "C_GetInterface");
    CK_C_GetInterface get;
    CK_INTERFACE *interface = NULL;
    STEP(symbol != NULL);
    memcpy(&get, &symbol, sizeof(get));
    RV(get(TEXT("PKCS 11"), &(CK_VERSION){3, 2}, &interface, CKF_INTERFACE_FORK_SAFE), CKR_OK);
    p11 = interface->pFunctionList;
    RV(p11->C_Initialize(NULL), CKR_OK);
}

/* The slots' numbers by label; the blank one's has none. */
static CK_SLOT_ID slot_of(const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    RV(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        RV(p11->C_GetTokenInfo(slots[i], &info), CKR_OK);
        bool blank = !(info.flags & CKF_TOKEN_INITIALIZED);
        if (label ? !blank && memcmp(info.label, label, strlen(label)) == 0 : blank)
            return slots[i];
    }
    step(false, "a slot that was expected", __LINE__);
    return 0;
}

static CK_SESSION_HANDLE open_on(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE s = 0;
    RV(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), CKR_OK);
    return s;
}

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s, bool token, const char *label)
{
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_BBOOL on_token = token;
    unsigned char copy[32];
    memcpy(copy, label, strlen(label) + 1);
    CK_ATTRIBUTE a[] = {{CKA_VALUE_LEN, &len, sizeof(len)}, {CKA_TOKEN, &on_token, 1},
        {CKA_LABEL, copy, strlen(label)}, {CKA_ENCRYPT, &yes, 1}};
    CK_OBJECT_HANDLE h = 0;
    RV(p11->C_GenerateKey(s, &m, a, 4, &h), CKR_OK);
    return h;
}

static CK_ULONG count_of(CK_SESSION_HANDLE s, const char *label)
{
    unsigned char copy[32];
    memcpy(copy, label, strlen(label) + 1);
    CK_ATTRIBUTE a = {CKA_LABEL, copy, strlen(label)};
    CK_OBJECT_HANDLE found[8];
    CK_ULONG n = 0;
    RV(p11->C_FindObjectsInit(s, &a, 1), CKR_OK);
    RV(p11->C_FindObjects(s, found, 8, &n), CKR_OK);
    RV(p11->C_FindObjectsFinal(s), CKR_OK);
    return n;
}

/* Nothing of one partition is seen in the other, and each has its own login. */
static void partitions_apart(CK_SESSION_HANDLE one, CK_SESSION_HANDLE two)
{
    CK_SESSION_INFO info;
    RV(p11->C_Login(one, CKU_USER, TEXT("1234"), 4), CKR_OK);
    RV(p11->C_GetSessionInfo(two, &info), CKR_OK);
    STEP(info.state == CKS_RW_PUBLIC_SESSION);
    CK_OBJECT_HANDLE key = make_key(one, true, "kept");
    STEP(count_of(one, "kept") == 1);
    STEP(count_of(two, "kept") == 0);
    RV(p11->C_Login(two, CKU_USER, TEXT("1234"), 4), CKR_OK);
    STEP(count_of(two, "kept") == 0);
    RV(p11->C_Logout(one), CKR_OK);
    STEP(count_of(one, "kept") == 0);
    CK_ULONG size;
    RV(p11->C_GetObjectSize(one, key, &size), CKR_OBJECT_HANDLE_INVALID);
    RV(p11->C_GetSessionInfo(two, &info), CKR_OK);
    STEP(info.state == CKS_RW_USER_FUNCTIONS);
    RV(p11->C_Login(one, CKU_USER, TEXT("1234"), 4), CKR_OK);
    RV(p11->C_GetObjectSize(one, key, &size), CKR_OK);
    /* A leased handle is none here, and the other way round. */
    CK_SESSION_HANDLE leased = open_on(0);
    RV(p11->C_GetObjectSize(leased, key, &size), CKR_OBJECT_HANDLE_INVALID);
}

/* Two more keys of one derivation, written where the parameter says; session objects of different sessions.
 */
static void keys_of_one_derivation(CK_SESSION_HANDLE one)
{
    CK_SP800_108_COUNTER_FORMAT counter = {CK_FALSE, 32};
    CK_PRF_DATA_PARAM fields[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof(counter)},
        {CK_SP800_108_BYTE_ARRAY, TEXT("label"), 5}};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ULONG len = 16;
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_VALUE_LEN, &len, sizeof(len)}};
    CK_OBJECT_HANDLE h[3] = {0, 0, 0};
    CK_DERIVED_KEY further[] = {{a, 3, &h[1]}, {a, 3, &h[2]}};
    CK_SP800_108_KDF_PARAMS p = {CKM_SHA256_HMAC, 2, fields, 2, further};
    CK_MECHANISM m = {CKM_SP800_108_COUNTER_KDF, &p, sizeof(p)};
    CK_SESSION_HANDLE s = 0;
    CK_MECHANISM generic = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE base_template[] = {{CKA_VALUE_LEN, &len, sizeof(len)}, {CKA_DERIVE, &yes, 1}};
    CK_OBJECT_HANDLE base = 0;
    RV(p11->C_GenerateKey(one, &generic, base_template, 2, &base), CKR_OK);
    s = open_on(slot_of("one"));
    RV(p11->C_DeriveKey(s, &m, base, a, 3, &h[0]), CKR_OK);
    STEP(h[0] && h[1] && h[2] && h[0] != h[1] && h[1] != h[2]);
    CK_ULONG size;
    for (int i = 0; i < 3; i++)
        RV(p11->C_GetObjectSize(one, h[i], &size), CKR_OK);
    RV(p11->C_CloseSession(s), CKR_OK);
    for (int i = 0; i < 3; i++)
        RV(p11->C_GetObjectSize(one, h[i], &size), CKR_OBJECT_HANDLE_INVALID);
    RV(p11->C_GetObjectSize(one, base, &size), CKR_OK);
}

/* A child is not logged in, shows a PIN itself, and takes nothing from its parent. */
static void children(CK_SESSION_HANDLE one)
{
    CK_OBJECT_HANDLE mine = make_key(one, false, "volatile");
    pid_t pid = fork();
    STEP(pid >= 0);
    if (pid == 0) {
        CK_ULONG size;
        STEP(count_of(one, "kept") == 0);
        RV(p11->C_GetObjectSize(one, mine, &size), CKR_OBJECT_HANDLE_INVALID);
        RV(p11->C_Login(one, CKU_USER, TEXT("1234"), 4), CKR_OK);
        STEP(count_of(one, "kept") == 1);
        RV(p11->C_Finalize(NULL), CKR_OK);
        _exit(0);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    STEP(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    STEP(count_of(one, "volatile") == 1);
}

/* The blank slot becomes a token, and a new blank one comes: an event. */
static void an_event(void)
{
    CK_SLOT_ID blank = slot_of(NULL);
    CK_SLOT_ID slot = 0;
    unsigned char label[32];
    memset(label, ' ', sizeof(label));
    memcpy(label, "third", 5);
    CK_SESSION_HANDLE s;
    RV(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    RV(p11->C_OpenSession(blank, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_TOKEN_NOT_RECOGNIZED);
    RV(p11->C_InitToken(blank, TEXT("12345678"), 8, label), CKR_OK);
    RV(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    STEP(slot == slot_of(NULL));
    STEP(slot != blank && slot_of("third") == blank);
}

static void *sign_often(void *arg)
{
    CK_SESSION_HANDLE s = open_on(*(CK_SLOT_ID *)arg);
    CK_OBJECT_HANDLE key = make_key(s, false, "thread");
    CK_BYTE iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC, iv, 16};
    for (int i = 0; i < 100; i++) {
        CK_BYTE out[16];
        CK_ULONG len = 16;
        RV(p11->C_EncryptInit(s, &m, key), CKR_OK);
        RV(p11->C_Encrypt(s, iv, 16, out, &len), CKR_OK);
    }
    RV(p11->C_CloseSession(s), CKR_OK);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    load(argv[1]);
    CK_SLOT_ID slots[2] = {slot_of("one"), slot_of("two")};
    CK_SESSION_HANDLE one = open_on(slots[0]);
    CK_SESSION_HANDLE two = open_on(slots[1]);
    partitions_apart(one, two);
    keys_of_one_derivation(one);
    children(one);
    an_event();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        STEP(pthread_create(&threads[i], NULL, sign_often, &slots[i % 2]) == 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    RV(p11->C_Finalize(NULL), CKR_OK);
    (void)printf("ok\n");
    return 0;
}
