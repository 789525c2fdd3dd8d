/* Initialising, information, slots, mechanisms, random numbers. */
#include "suite.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void initialize_twice(suite *s)
{
    OK(s->f->C_Initialize(NULL));
    IS(CKR_CRYPTOKI_ALREADY_INITIALIZED, s->f->C_Initialize(NULL));
    OK(s->f->C_Finalize(NULL));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_Finalize(NULL));
    OK(s->f->C_Initialize(NULL));
}

static void initialize_arguments(suite *s)
{
    int reserved = 0;
    CK_C_INITIALIZE_ARGS args = {.pReserved = &reserved};
    IS(CKR_ARGUMENTS_BAD, s->f->C_Initialize(&args));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_Finalize(NULL));
    args = (CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS};
    OK(s->f->C_Initialize(&args));
    IS(CKR_ARGUMENTS_BAD, s->f->C_Finalize(&reserved));
}

static CK_RV mutex_create(void **mutex)
{
    static int one;
    *mutex = &one;
    return CKR_OK;
}

static CK_RV mutex_do(void *mutex)
{
    return mutex ? CKR_OK : CKR_GENERAL_ERROR;
}

static void initialize_mutexes(suite *s)
{
    CK_C_INITIALIZE_ARGS args = {.CreateMutex = mutex_create,
        .DestroyMutex = mutex_do,
        .LockMutex = mutex_do,
        .UnlockMutex = mutex_do,
        .flags = CKF_OS_LOCKING_OK};
    OK(s->f->C_Initialize(&args));
    OK(s->f->C_Finalize(NULL));
    args.UnlockMutex = NULL; /* all four or none */
    IS(CKR_ARGUMENTS_BAD, s->f->C_Initialize(&args));
}

static void not_initialized(suite *s)
{
    CK_INFO info;
    CK_ULONG count = 0;
    CK_SESSION_HANDLE session;
    unsigned char byte;
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_GetInfo(&info));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_GetSlotList(CK_FALSE, NULL, &count));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_GenerateRandom(1, &byte, 1));
    IS(CKR_CRYPTOKI_NOT_INITIALIZED, s->f->C_Finalize(NULL));
}

static void info(suite *s)
{
    CK_INFO i;
    OK(s->f->C_GetInfo(&i));
    CHECK(i.cryptokiVersion.major >= 2);
    CHECK(i.flags == 0);
    CHECK(memchr(i.manufacturerID, 0, 32) == NULL && memchr(i.libraryDescription, 0, 32) == NULL);
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetInfo(NULL));
}

static void function_list(suite *s)
{
    CHECK(s->f->version.major == 2 && s->f->version.minor == 40);
    CK_FUNCTION_LIST *again = NULL;
    OK(s->f->C_GetFunctionList(&again));
    CHECK(again == s->f);
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetFunctionList(NULL));
    void *const *functions = (void *const *)(const void *)&s->f->C_Initialize;
    size_t count = (sizeof *s->f - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(void *);
    for (size_t i = 0; i < count; i++)
        CHECK(functions[i] != NULL);
}

static void slot_list(suite *s)
{
    CK_SLOT_ID slots[64];
    CK_ULONG all = 0;
    CK_ULONG present = 0;
    OK(s->f->C_GetSlotList(CK_FALSE, NULL, &all));
    OK(s->f->C_GetSlotList(CK_TRUE, NULL, &present));
    CHECK(all >= present && present >= 1);
    CK_ULONG few = present - 1;
    IS(CKR_BUFFER_TOO_SMALL, s->f->C_GetSlotList(CK_TRUE, slots, &few));
    CHECK(few == present);
    CK_ULONG count = 64;
    OK(s->f->C_GetSlotList(CK_TRUE, slots, &count));
    CHECK(count == present);
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetSlotList(CK_TRUE, slots, NULL));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_SLOT_INFO i2;
        OK(s->f->C_GetSlotInfo(slots[i], &i2));
        CHECK(i2.flags & CKF_TOKEN_PRESENT);
        for (CK_ULONG j = 0; j < i; j++)
            CHECK(slots[i] != slots[j]);
    }
    CK_SLOT_INFO i3;
    IS(CKR_SLOT_ID_INVALID, s->f->C_GetSlotInfo(0x7ffffffe, &i3));
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetSlotInfo(slots[0], NULL));
}

static void token_info(suite *s)
{
    CK_TOKEN_INFO t;
    OK(s->f->C_GetTokenInfo(s->slot, &t));
    CHECK((t.flags & CKF_TOKEN_INITIALIZED) && (t.flags & CKF_USER_PIN_INITIALIZED));
    CHECK((t.flags & CKF_LOGIN_REQUIRED) && (t.flags & CKF_RNG));
    CHECK(!(t.flags & (CKF_USER_PIN_LOCKED | CKF_SO_PIN_LOCKED | CKF_USER_PIN_COUNT_LOW)));
    CHECK(t.ulMinPinLen <= 4 && t.ulMaxPinLen >= 64);
    CHECK(memchr(t.serialNumber, 0, 16) == NULL);
    IS(CKR_SLOT_ID_INVALID, s->f->C_GetTokenInfo(0x7ffffffe, &t));
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetTokenInfo(s->slot, NULL));
}

static void token_session_counts(suite *s)
{
    CK_TOKEN_INFO t;
    CK_SESSION_HANDLE one = suite_open(s, 0);
    CK_SESSION_HANDLE two = suite_open(s, CKF_RW_SESSION);
    OK(s->f->C_GetTokenInfo(s->slot, &t));
    CHECK(t.ulSessionCount == CK_UNAVAILABLE_INFORMATION || t.ulSessionCount == 2);
    CHECK(t.ulRwSessionCount == CK_UNAVAILABLE_INFORMATION || t.ulRwSessionCount == 1);
    OK(s->f->C_CloseSession(one));
    OK(s->f->C_CloseSession(two));
}

static void mechanisms(suite *s)
{
    CK_MECHANISM_TYPE types[512];
    CK_ULONG count = 0;
    OK(s->f->C_GetMechanismList(s->slot, NULL, &count));
    CHECK(count > 0 && count <= 512);
    CK_ULONG few = count - 1;
    IS(CKR_BUFFER_TOO_SMALL, s->f->C_GetMechanismList(s->slot, types, &few));
    OK(s->f->C_GetMechanismList(s->slot, types, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_MECHANISM_INFO m;
        OK(s->f->C_GetMechanismInfo(s->slot, types[i], &m));
        CHECK(m.ulMinKeySize <= m.ulMaxKeySize);
        CHECK(m.flags != 0);
        for (CK_ULONG j = 0; j < i; j++)
            CHECK(types[i] != types[j]);
    }
    CK_MECHANISM_INFO m;
    IS(CKR_MECHANISM_INVALID, s->f->C_GetMechanismInfo(s->slot, 0x7ffffff0, &m));
    IS(CKR_ARGUMENTS_BAD, s->f->C_GetMechanismInfo(s->slot, types[0], NULL));
    IS(CKR_SLOT_ID_INVALID, s->f->C_GetMechanismInfo(0x7ffffffe, types[0], &m));
}

static void refused_mechanisms(suite *s)
{
    static const CK_MECHANISM_TYPE weak[] = {CKM_DES_CBC, CKM_DES3_CBC, CKM_DES3_KEY_GEN, CKM_RC4,
        CKM_MD5_RSA_PKCS, CKM_MD2_RSA_PKCS, CKM_RC2_CBC};
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++)
        CHECK(!suite_offers(s, weak[i], 0, NULL));
    CK_MECHANISM_INFO m;
    CHECK(suite_offers(s, CKM_RSA_PKCS, CKF_SIGN, &m) && m.ulMinKeySize >= 2048);
}

static void random_bytes(suite *s)
{
    unsigned char a[100000];
    unsigned char b[64];
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    OK(s->f->C_GenerateRandom(s->session, a, sizeof a));
    OK(s->f->C_GenerateRandom(s->session, b, sizeof b));
    CHECK(memcmp(a, b, sizeof b) != 0);
    CHECK(memcmp(a, a + sizeof a - 64, 64) != 0);
    IS(CKR_ARGUMENTS_BAD, s->f->C_GenerateRandom(s->session, NULL, 16));
    IS(CKR_SESSION_HANDLE_INVALID, s->f->C_GenerateRandom(0x7fffffff, b, 16));
    IS_EITHER(CKR_OK, CKR_RANDOM_SEED_NOT_SUPPORTED, s->f->C_SeedRandom(s->session, b, sizeof b));
}

static void not_parallel(suite *s)
{
    IS(CKR_FUNCTION_NOT_PARALLEL, s->f->C_GetFunctionStatus(s->session));
    IS(CKR_FUNCTION_NOT_PARALLEL, s->f->C_CancelFunction(s->session));
}

static void slot_event(suite *s)
{
    CK_SLOT_ID slot;
    IS(CKR_NO_EVENT, s->f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
}

static void fork_then_initialize(suite *s)
{
    pid_t pid = fork();
    if (pid == 0) {
        CK_SESSION_HANDLE session = 0;
        if (s->f->C_Initialize(NULL) != CKR_OK)
            _exit(1);
        if (s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
            _exit(2);
        unsigned char r[8];
        if (s->f->C_GenerateRandom(session, r, sizeof r) != CKR_OK)
            _exit(3);
        _exit(s->f->C_Finalize(NULL) == CKR_OK ? 0 : 4);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CK_SESSION_INFO i; /* the parent's session is untouched */
    OK(s->f->C_GetSessionInfo(s->session, &i));
    CHECK(i.state == CKS_RW_USER_FUNCTIONS);
}

/* What a child has of its parent is no way round the PIN. */
static void fork_no_login(suite *s)
{
    pid_t pid = fork();
    if (pid == 0) {
        CK_SESSION_HANDLE session = 0;
        CK_SESSION_INFO i;
        if (s->f->C_Initialize(NULL) != CKR_OK ||
            s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK ||
            s->f->C_GetSessionInfo(session, &i) != CKR_OK)
            _exit(1);
        _exit(i.state == CKS_RO_PUBLIC_SESSION ? 0 : 2);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

const conformance_case cases_general[] = {
    {"general.initialize-twice", "C_Initialize C_Finalize", CASE_BARE, initialize_twice},
    {"general.initialize-arguments", "C_Initialize C_Finalize", CASE_BARE, initialize_arguments},
    {"general.initialize-mutexes", "C_Initialize", CASE_BARE, initialize_mutexes},
    {"general.not-initialized", "C_Initialize C_GetInfo C_GetSlotList", CASE_BARE, not_initialized},
    {"general.info", "C_GetInfo", CASE_NO_LOGIN, info},
    {"general.function-list", "C_GetFunctionList", CASE_NO_LOGIN, function_list},
    {"general.slot-list", "C_GetSlotList C_GetSlotInfo", CASE_NO_LOGIN, slot_list},
    {"general.token-info", "C_GetTokenInfo", CASE_NO_LOGIN, token_info},
    {"general.session-counts", "C_GetTokenInfo C_OpenSession", CASE_NO_LOGIN, token_session_counts},
    {"general.mechanisms", "C_GetMechanismList C_GetMechanismInfo", CASE_NO_LOGIN, mechanisms},
    {"general.refused-mechanisms", "C_GetMechanismInfo", CASE_NO_LOGIN, refused_mechanisms},
    {"general.random", "C_GenerateRandom C_SeedRandom", 0, random_bytes},
    {"general.not-parallel", "C_GetFunctionStatus C_CancelFunction", 0, not_parallel},
    {"general.slot-event", "C_WaitForSlotEvent", CASE_NO_LOGIN, slot_event},
    {"general.fork", "C_Initialize", 0, fork_then_initialize},
    {"general.fork-no-login", "C_Initialize C_Login", 0, fork_no_login},
    {0},
};
