/* Entry points, slots, sessions, login, refusals, daemon restarts and fork. */
#include "fake_daemon.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    CK_RV rv = C_Finalize(NULL);
    assert_true(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED);
    fake_close(&daemon_);
    return 0;
}

static CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session = 0;
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    return session;
}

static CK_RV sign(CK_SESSION_HANDLE session)
{
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE sig[64];
    CK_ULONG len = 64;
    CK_RV rv = C_SignInit(session, &m, FAKE_EC);
    return rv == CKR_OK ? C_Sign(session, TEXT("abc"), 3, sig, &len) : rv;
}

/* Open descriptors that are sockets. */
static unsigned count_sockets(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir));) {
        char target[64] = "";
        n += readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1) > 0 &&
             strncmp(target, "socket:", 7) == 0;
    }
    closedir(dir);
    return n;
}

/* Run fn in a child; its exit status. A hang is ended by an alarm. */
static int in_child(int (*fn)(CK_SESSION_HANDLE), CK_SESSION_HANDLE session)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(fn(session));
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void initialize_does_no_io(void **state)
{
    (void)state;
    CK_ULONG n;
    assert_int_equal(C_GetSlotList(0, NULL, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    unsigned before = count_sockets();
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    CK_INFO info;
    assert_int_equal(C_GetInfo(&info), CKR_OK);
    assert_int_equal(info.cryptokiVersion.major, 2);
    assert_int_equal(info.cryptokiVersion.minor, 40);
    assert_int_equal(daemon_.control->hellos, 0);
    assert_int_equal(count_sockets(), before);
    assert_int_equal(C_GetSlotList(0, NULL, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(C_Finalize(&n), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_Finalize(NULL), CKR_OK);

    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS};
    assert_int_equal(C_Initialize(&args), CKR_OK);
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    args.pReserved = &n;
    assert_int_equal(C_Initialize(&args), CKR_ARGUMENTS_BAD);
    args = (CK_C_INITIALIZE_ARGS){.CreateMutex = (CK_CREATEMUTEX)C_Finalize};
    assert_int_equal(C_Initialize(&args), CKR_ARGUMENTS_BAD);
}

static void interfaces(void **state)
{
    (void)state;
    CK_FUNCTION_LIST *list;
    assert_int_equal(C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetFunctionList(&list), CKR_OK);
    assert_int_equal(list->version.major, 2);
    assert_int_equal(list->version.minor, 40);
    void *const *functions = (void *const *)(const void *)&list->C_Initialize;
    const void *end = list + 1;
    for (; (const void *)functions < end; functions++)
        assert_non_null(*functions);
    CK_INTERFACE all[4];
    CK_INTERFACE *i;
    CK_ULONG n = 0;
    assert_int_equal(C_GetInterfaceList(NULL, &n), CKR_OK);
    assert_int_equal(n, 4);
    n = 3;
    assert_int_equal(C_GetInterfaceList(all, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_GetInterfaceList(all, &n), CKR_OK);
    assert_int_equal(C_GetInterfaceList(all, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(
        C_GetInterface(TEXT("PKCS 11"), &(CK_VERSION){2, 40}, &i, CKF_INTERFACE_FORK_SAFE), CKR_OK);
    assert_ptr_equal(i->pFunctionList, list);
    static const struct {
        CK_VERSION version;
        size_t size;
    } newer[] = {{{3, 2}, sizeof(CK_FUNCTION_LIST_3_2)}, {{3, 1}, sizeof(CK_FUNCTION_LIST_3_0)},
        {{3, 0}, sizeof(CK_FUNCTION_LIST_3_0)}};
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    for (size_t v = 0; v < 3; v++) {
        CK_VERSION version = newer[v].version;
        CK_INFO info;
        assert_int_equal(C_GetInterface(TEXT("PKCS 11"), &version, &i, CKF_INTERFACE_FORK_SAFE), CKR_OK);
        CK_FUNCTION_LIST_3_0 *functions_3 = i->pFunctionList;
        assert_memory_equal(&functions_3->version, &version, sizeof(version));
        for (functions = (void *const *)(const void *)&functions_3->C_Initialize;
             (const char *)functions < (const char *)i->pFunctionList + newer[v].size; functions++)
            assert_non_null(*functions);
        assert_int_equal(functions_3->C_GetInfo(&info), CKR_OK);
        assert_memory_equal(&info.cryptokiVersion, &version, sizeof(version));
    }
    assert_int_equal(C_GetInterface(NULL, NULL, &i, 0), CKR_OK);
    assert_int_equal(((CK_VERSION *)i->pFunctionList)->minor, 2);
    /* NSS asks so: no version, for use after fork. The newest list begins as the older ones do. */
    assert_int_equal(C_GetInterface(TEXT("PKCS 11"), NULL, &i, CKF_INTERFACE_FORK_SAFE), CKR_OK);
    assert_int_equal(((CK_VERSION *)i->pFunctionList)->major, 3);
    assert_int_equal(((CK_VERSION *)i->pFunctionList)->minor, 2);
    assert_int_equal(i->flags, CKF_INTERFACE_FORK_SAFE);
    assert_int_equal(offsetof(CK_FUNCTION_LIST_3_2, C_EncapsulateKey), sizeof(CK_FUNCTION_LIST_3_0));
    assert_int_equal(C_GetInterface(TEXT("PKCS 11"), &(CK_VERSION){4, 0}, &i, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(C_GetInterface(TEXT("Vendor"), NULL, &i, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(C_GetInterface(NULL, NULL, &i, 2), CKR_FUNCTION_FAILED);
    assert_int_equal(C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
}

static void a_sealed_vault_is_no_token(void **state)
{
    (void)state;
    CK_SLOT_ID slot = 9;
    CK_ULONG n = 1;
    CK_SLOT_INFO info;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE s;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_GetSlotList(1, &slot, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(slot, 0);
    n = 0;
    assert_int_equal(C_GetSlotList(1, &slot, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 1);
    assert_int_equal(C_GetTokenInfo(0, &token), CKR_OK);
    assert_memory_equal(token.label, "fake vault                      ", 32);
    assert_int_equal(token.flags & CKF_LOGIN_REQUIRED, 0);
    assert_int_equal(token.flags & CKF_WRITE_PROTECTED, 0);
    assert_true(token.flags & CKF_TOKEN_INITIALIZED && token.flags & CKF_RNG);
    for (int sealed = LH_TOKEN_SEALED; sealed <= LH_TOKEN_FOUNDING; sealed++) {
        daemon_.control->state = sealed;
        assert_int_equal(C_GetSlotList(1, NULL, &n), CKR_OK);
        assert_int_equal(n, 0);
        assert_int_equal(C_GetSlotInfo(0, &info), CKR_OK);
        assert_int_equal(info.flags & CKF_TOKEN_PRESENT, 0);
        assert_int_equal(C_GetTokenInfo(0, &token), CKR_TOKEN_NOT_PRESENT);
        assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_TOKEN_NOT_PRESENT);
    }
    daemon_.control->state = LH_TOKEN_OPEN;
    assert_int_equal(C_GetSlotInfo(0, &info), CKR_OK);
    assert_true(info.flags & CKF_TOKEN_PRESENT);
    fake_kill(&daemon_);
    assert_int_equal(C_GetSlotList(1, NULL, &n), CKR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(C_GetTokenInfo(0, &token), CKR_TOKEN_NOT_PRESENT);
    fake_start(&daemon_);
    assert_int_equal(C_GetTokenInfo(0, &token), CKR_OK);
    assert_int_equal(C_GetTokenInfo(1, &token), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_GetTokenInfo(0, NULL), CKR_ARGUMENTS_BAD);
}

static void mechanisms_come_from_the_table(void **state)
{
    (void)state;
    CK_MECHANISM_TYPE list[64];
    CK_MECHANISM_INFO info;
    CK_ULONG n = 0;
    size_t rows = 0;
    for (size_t i = 0; i < lh_mechanism_count(); i++)
        rows += lh_mechanism_is_leased(lh_mechanism_at(i));
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_GetMechanismList(0, NULL, &n), CKR_OK);
    assert_int_equal(n, rows);
    n = 1;
    assert_int_equal(C_GetMechanismList(0, list, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_GetMechanismList(0, list, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++) {
        assert_int_equal(C_GetMechanismInfo(0, list[i], &info), CKR_OK);
        assert_int_not_equal(info.flags, 0);
    }
    assert_int_equal(C_GetMechanismInfo(0, CKM_ECDSA, &info), CKR_OK);
    assert_int_equal(info.ulMinKeySize, 256);
    assert_true((info.flags & (CKF_SIGN | CKF_VERIFY)) == (CKF_SIGN | CKF_VERIFY));
    /* A leased key neither wraps nor is of a size that no policy names. */
    assert_int_equal(C_GetMechanismInfo(0, CKM_AES_GCM, &info), CKR_OK);
    assert_int_equal(info.flags & (CKF_WRAP | CKF_UNWRAP | CKF_ENCRYPT), CKF_ENCRYPT);
    assert_int_equal(info.ulMinKeySize, 32);
    assert_int_equal(C_GetMechanismInfo(0, 0x99999, &info), CKR_MECHANISM_INVALID);
    assert_int_equal(C_GetMechanismInfo(5, CKM_ECDSA, &info), CKR_SLOT_ID_INVALID);
}

static void sessions_and_login(void **state)
{
    (void)state;
    CK_SESSION_HANDLE s;
    CK_SESSION_INFO info;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_OpenSession(0, 0, NULL, NULL, &s), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    assert_int_equal(C_OpenSession(3, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
    s = open_session();
    CK_SESSION_HANDLE ro;
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_OK);
    assert_int_equal(C_GetSessionInfo(s, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_PUBLIC_SESSION);
    assert_int_equal(C_Login(s, CKU_SO, TEXT("1234"), 4), CKR_USER_TYPE_INVALID);
    assert_int_equal(C_Login(s, CKU_CONTEXT_SPECIFIC, TEXT("1234"), 4), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_Login(s, CKU_USER, NULL, 3), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_Login(s, CKU_USER, TEXT("anything"), 8), CKR_OK);
    assert_int_equal(C_Login(s, CKU_USER, NULL, 0), CKR_OK);
    assert_int_equal(C_GetSessionInfo(ro, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_USER_FUNCTIONS);
    assert_int_equal(C_Logout(s), CKR_OK);
    assert_int_equal(C_Logout(s), CKR_OK);
    assert_int_equal(C_CloseSession(s), CKR_OK);
    assert_int_equal(C_CloseSession(s), CKR_SESSION_HANDLE_INVALID);
    CK_SESSION_HANDLE again = open_session();
    assert_int_not_equal(again, s);
    assert_int_equal(C_CloseAllSessions(0), CKR_OK);
    assert_int_equal(C_GetSessionInfo(ro, &info), CKR_SESSION_HANDLE_INVALID);
    for (unsigned i = 0; i < 4096; i++)
        open_session();
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SESSION_COUNT);
}

static void what_a_lease_does_not_give(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE h;
    CK_ULONG n = 0;
    CK_SLOT_ID slot;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    CK_SESSION_HANDLE ro;
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_OK);
    assert_int_equal(C_InitToken(0, TEXT("1234"), 4, TEXT("label")), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(C_InitToken(1, NULL, 0, NULL), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_InitPIN(s, NULL, 0), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(C_SetPIN(s, NULL, 0, NULL, 0), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_CreateObject(s, NULL, 0, &h), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_CopyObject(s, FAKE_EC, NULL, 0, &h), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_DestroyObject(s, FAKE_EC), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_DestroyObject(ro, FAKE_EC), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_SetAttributeValue(s, FAKE_EC, NULL, 0), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_GenerateKey(s, &m, NULL, 0, &h), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_GenerateKeyPair(s, &m, NULL, 0, NULL, 0, &h, &h), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_WrapKey(s, &m, 1, 2, NULL, &n), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(C_UnwrapKey(s, &m, 1, NULL, 0, NULL, 0, &h), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(C_DeriveKey(s, &m, 1, NULL, 0, &h), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(C_SignRecoverInit(s, &m, 1), CKR_MECHANISM_INVALID);
    assert_int_equal(C_VerifyRecover(s, NULL, 0, NULL, &n), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_EncapsulateKey(s, &m, 1, NULL, 0, NULL, &n, &h), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(C_WrapKeyAuthenticated(s, &m, 1, 2, NULL, 0, NULL, &n), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(C_DigestEncryptUpdate(s, NULL, 0, NULL, &n), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_GetOperationState(s, NULL, &n), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_SetOperationState(s, NULL, 0, 0, 0), CKR_SAVED_STATE_INVALID);
    assert_int_equal(C_GetFunctionStatus(s), CKR_FUNCTION_NOT_PARALLEL);
    assert_int_equal(C_CancelFunction(s), CKR_FUNCTION_NOT_PARALLEL);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION | CKF_ASYNC_SESSION, NULL, NULL, &ro),
        CKR_SESSION_ASYNC_NOT_SUPPORTED);
    assert_int_equal(C_CreateObject(999, NULL, 0, &h), CKR_SESSION_HANDLE_INVALID);
}

static void survives_a_restart(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    assert_int_equal(sign(s), CKR_OK);
    /* Between requests: nobody notices. */
    fake_kill(&daemon_);
    fake_start(&daemon_);
    assert_int_equal(sign(s), CKR_OK);
    assert_int_equal(daemon_.control->hellos, 2);
    /* In flight: that one fails, the next works; it is not sent twice. */
    daemon_.control->calls[LH_CALL_SIGN] = 0;
    daemon_.control->die_at = LH_CALL_SIGN;
    assert_int_equal(sign(s), CKR_DEVICE_ERROR);
    assert_int_equal(daemon_.control->calls[LH_CALL_SIGN], 1);
    waitpid(daemon_.pid, NULL, 0);
    assert_int_equal(sign(s), CKR_DEVICE_ERROR); /* nobody there */
    fake_start(&daemon_);
    assert_int_equal(sign(s), CKR_OK);
    /* A stream of the old connection is lost, and no other connection's is fed in its place. */
    CK_MECHANISM m = {CKM_AES_CTR, &(CK_AES_CTR_PARAMS){128, {0}}, sizeof(CK_AES_CTR_PARAMS)};
    CK_BYTE out[64];
    CK_ULONG len = sizeof(out);
    assert_int_equal(C_EncryptInit(s, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_EncryptUpdate(s, TEXT("abc"), 3, out, &len), CKR_OK);
    fake_kill(&daemon_);
    fake_start(&daemon_);
    len = sizeof(out);
    assert_int_equal(C_EncryptUpdate(s, TEXT("abc"), 3, out, &len), CKR_DEVICE_ERROR);
    assert_int_equal(C_EncryptInit(s, &m, FAKE_AES), CKR_OK);
}

/* A signature that the daemon died at is not, though another daemon waits already. */
static void does_not_repeat_a_signature(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    daemon_.control->die_at = LH_CALL_SIGN;
    pid_t first = daemon_.pid;
    fake_start(&daemon_);
    assert_int_equal(sign(s), CKR_DEVICE_ERROR);
    assert_int_equal(daemon_.control->calls[LH_CALL_SIGN], 1);
    assert_int_equal(sign(s), CKR_OK);
    waitpid(first, NULL, 0);
}

/* Two streams with one number, on an old connection and on a new one: the old one's parts go nowhere. */
static void streams_are_not_mixed_up(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_CTR, &(CK_AES_CTR_PARAMS){128, {0}}, sizeof(CK_AES_CTR_PARAMS)};
    CK_BYTE out[64];
    CK_ULONG len = sizeof(out);
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE old = open_session();
    CK_SESSION_HANDLE new = open_session();
    assert_int_equal(C_EncryptInit(old, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_EncryptUpdate(old, TEXT("abc"), 3, out, &len), CKR_OK);
    fake_kill(&daemon_);
    fake_start(&daemon_);
    len = sizeof(out);
    assert_int_equal(sign(new), CKR_OK);
    assert_int_equal(C_EncryptInit(new, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_EncryptUpdate(new, TEXT("abc"), 3, out, &len), CKR_OK);
    unsigned updates = daemon_.control->calls[LH_CALL_OP_UPDATE];
    len = sizeof(out);
    assert_int_equal(C_EncryptUpdate(old, TEXT("abc"), 3, out, &len), CKR_DEVICE_ERROR);
    assert_int_equal(daemon_.control->calls[LH_CALL_OP_UPDATE], updates);
    assert_int_equal(daemon_.control->calls[LH_CALL_OP_CANCEL], 0);
    len = sizeof(out);
    assert_int_equal(C_EncryptFinal(new, out, &len), CKR_OK);
}

/* A search that the daemon died at is asked again, once, by itself. */
static void repeats_what_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    daemon_.control->die_at = LH_CALL_FIND;
    pid_t first = daemon_.pid;
    /* The next daemon waits on the same path before the first one dies. */
    fake_start(&daemon_);
    assert_int_equal(C_FindObjectsInit(s, NULL, 0), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_FIND], 2);
    waitpid(first, NULL, 0);
}

static void bad_daemons_are_errors(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    daemon_.control->garbage_at = LH_CALL_SIGN;
    assert_int_equal(sign(s), CKR_DEVICE_ERROR);
    daemon_.control->garbage_at = 0;
    assert_int_equal(sign(s), CKR_OK);
    daemon_.control->challenge = 1;
    assert_int_equal(sign(s), CKR_OK);
    assert_int_equal(daemon_.control->answers, 1);
    daemon_.control->challenge = 0;
    setenv("LEASEHOLD_SOCKET", "/nonexistent/vault.sock", 1);
    fake_kill(&daemon_);
    CK_ULONG n;
    assert_int_equal(C_GetSlotList(1, NULL, &n), CKR_OK);
    assert_int_equal(n, 0);
    setenv("LEASEHOLD_SOCKET", daemon_.path, 1);
    fake_start(&daemon_);
    assert_int_equal(sign(s), CKR_OK);
}

static int child_of_uninitialized(CK_SESSION_HANDLE s)
{
    (void)s;
    return C_Initialize(NULL) == CKR_OK && sign(open_session()) == CKR_OK ? 0 : 1;
}

/* The inherited session works, over a connection of the child's own; C_Initialize answers OK, once. */
static int child_goes_on(CK_SESSION_HANDLE s)
{
    unsigned hellos = daemon_.control->hellos;
    if (sign(s) != CKR_OK)
        return 1;
    if (daemon_.control->hellos != hellos + 1)
        return 2;
    return C_Finalize(NULL) == CKR_OK ? 0 : 3;
}

static int child_initializes(CK_SESSION_HANDLE s)
{
    CK_SESSION_INFO info;
    unsigned sockets = count_sockets();
    if (C_Initialize(NULL) != CKR_OK)
        return 1;
    if (C_Initialize(NULL) != CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return 2;
    if (count_sockets() != sockets - 1)
        return 3; /* the parent's connection stayed open */
    if (C_GetSessionInfo(s, &info) != CKR_SESSION_HANDLE_INVALID)
        return 4;
    if (sign(open_session()) != CKR_OK)
        return 5;
    return C_Finalize(NULL) == CKR_OK ? 0 : 6;
}

static int child_forks(CK_SESSION_HANDLE s)
{
    return in_child(child_goes_on, s) + in_child(child_initializes, s);
}

static int child_finishes(CK_SESSION_HANDLE s)
{
    CK_BYTE sig[64];
    CK_ULONG len = 64;
    return C_SignFinal(s, sig, &len) == CKR_OK ? 0 : 1;
}

static void forks_in_every_state(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_of_uninitialized, 0), 0);
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    assert_int_equal(sign(s), CKR_OK);
    assert_int_equal(in_child(child_goes_on, s), 0);
    assert_int_equal(in_child(child_initializes, s), 0);
    assert_int_equal(in_child(child_forks, s), 0);
    /* In the middle of an operation: both finish it. */
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    assert_int_equal(C_SignInit(s, &m, FAKE_EC), CKR_OK);
    assert_int_equal(C_SignUpdate(s, TEXT("abc"), 3), CKR_OK);
    assert_int_equal(in_child(child_finishes, s), 0);
    assert_int_equal(child_finishes(s), 0);
    /* The parent never noticed. */
    unsigned hellos = daemon_.control->hellos;
    assert_int_equal(sign(s), CKR_OK);
    assert_int_equal(daemon_.control->hellos, hellos);
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    assert_int_equal(in_child(child_of_uninitialized, 0), 0);
}

static void *sign_and_wait(void *arg)
{
    CK_SESSION_HANDLE s = *(CK_SESSION_HANDLE *)arg;
    return sign(s) == CKR_DEVICE_ERROR ? NULL : arg;
}

/* A child forked while another thread waits for the daemon, with the lock held. */
static void forks_while_another_thread_waits(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE s = open_session();
    CK_SESSION_HANDLE other = open_session();
    assert_int_equal(sign(s), CKR_OK);
    daemon_.control->hang_at = LH_CALL_SIGN;
    unsigned before = daemon_.control->calls[LH_CALL_SIGN];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sign_and_wait, &other), 0);
    while (daemon_.control->calls[LH_CALL_SIGN] == before)
        usleep(1000);
    daemon_.control->hang_at = 0;
    assert_int_equal(in_child(child_goes_on, s), 0);
    assert_int_equal(in_child(child_initializes, s), 0);
    fake_kill(&daemon_);
    void *result;
    pthread_join(thread, &result);
    assert_null(result);
    fake_start(&daemon_);
    assert_int_equal(sign(s), CKR_OK);
}

static void *sign_often(void *arg)
{
    CK_SESSION_HANDLE s = open_session();
    for (unsigned i = 0; i < 200; i++)
        if (sign(s) != CKR_OK)
            return arg;
    return C_CloseSession(s) == CKR_OK ? NULL : arg;
}

static void threads_share_the_module(void **state)
{
    (void)state;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &daemon_), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(daemon_.control->calls[LH_CALL_SIGN], 800);
    assert_int_equal(daemon_.control->hellos, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(initialize_does_no_io), T(interfaces), T(a_sealed_vault_is_no_token),
        T(mechanisms_come_from_the_table), T(sessions_and_login), T(what_a_lease_does_not_give),
        T(survives_a_restart), T(does_not_repeat_a_signature), T(streams_are_not_mixed_up),
        T(repeats_what_changes_nothing), T(bad_daemons_are_errors), T(forks_in_every_state),
        T(forks_while_another_thread_waits), T(threads_share_the_module)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
