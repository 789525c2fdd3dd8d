/* Slots of standalone partitions: lists, token information, sessions, logins, PINs, what waits for a quorum,
 * events, restarts of the daemon and fork. */
#include "fake_daemon.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    daemon_.control->version = 2;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
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

static CK_SESSION_HANDLE open_on(CK_SLOT_ID slot, CK_FLAGS flags)
{
    CK_SESSION_HANDLE session = 0;
    assert_int_equal(C_OpenSession(slot, CKF_SERIAL_SESSION | flags, NULL, NULL, &session), CKR_OK);
    return session;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
    unsigned char copy[64];
    memcpy(copy, pin, strlen(pin) + 1);
    return C_Login(session, user, copy, strlen(pin));
}

static CK_STATE state_of(CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info;
    assert_int_equal(C_GetSessionInfo(session, &info), CKR_OK);
    return info.state;
}

static void slots_in_the_daemons_order(void **state)
{
    (void)state;
    CK_SLOT_ID slots[4] = {9, 9, 9, 9};
    CK_ULONG n = 0;
    assert_int_equal(C_GetSlotList(1, NULL, &n), CKR_OK);
    assert_int_equal(n, 3);
    n = 2;
    assert_int_equal(C_GetSlotList(1, slots, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 3);
    assert_int_equal(C_GetSlotList(1, slots, &n), CKR_OK);
    assert_true(slots[0] == 1 && slots[1] == 2 && slots[2] == 0);
    CK_SLOT_INFO info;
    assert_int_equal(C_GetSlotInfo(2, &info), CKR_OK);
    assert_true(info.flags & CKF_TOKEN_PRESENT);
    assert_int_equal(C_GetSlotInfo(3, &info), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_GetSlotInfo(~0UL, &info), CKR_SLOT_ID_INVALID);
    /* Sealed, and gone: the slots stay, their tokens do not. */
    daemon_.control->state = LH_TOKEN_SEALED;
    for (int gone = 0; gone < 2; gone++) {
        n = 4;
        assert_int_equal(C_GetSlotList(0, slots, &n), CKR_OK);
        assert_int_equal(n, 3);
        assert_int_equal(C_GetSlotList(1, NULL, &n), CKR_OK);
        assert_int_equal(n, 0);
        assert_int_equal(C_GetSlotInfo(1, &info), CKR_OK);
        assert_int_equal(info.flags & CKF_TOKEN_PRESENT, 0);
        CK_TOKEN_INFO token;
        assert_int_equal(C_GetTokenInfo(1, &token), CKR_TOKEN_NOT_PRESENT);
        CK_SESSION_HANDLE s;
        assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_TOKEN_NOT_PRESENT);
        if (gone == 0)
            fake_kill(&daemon_);
    }
    fake_start(&daemon_);
}

static void an_older_daemon_has_slot_0_alone(void **state)
{
    (void)state;
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4;
    CK_SESSION_HANDLE s;
    CK_MECHANISM_TYPE list[128];
    CK_TOKEN_INFO token;
    daemon_.control->version = 1;
    assert_int_equal(C_GetSlotList(1, slots, &n), CKR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(slots[0], 0);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_GetTokenInfo(1, &token), CKR_SLOT_ID_INVALID);
    n = 128;
    assert_int_equal(C_GetMechanismList(0, list, &n), CKR_OK);
    assert_true(n > 0);
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_OK);
    assert_int_equal(C_FindObjectsInit(s, NULL, 0), CKR_OK);
    for (unsigned call = LH_CALL_SLOTS; call < FAKE_CALLS; call++)
        assert_int_equal(daemon_.control->calls[call], 0);
}

static void token_information(void **state)
{
    (void)state;
    CK_TOKEN_INFO info;
    open_on(1, 0);
    open_on(1, CKF_RW_SESSION);
    assert_int_equal(C_GetTokenInfo(1, &info), CKR_OK);
    assert_memory_equal(info.label, "one                             ", 32);
    assert_memory_equal(info.serialNumber, "1111111111111111", 16);
    CK_FLAGS flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_RNG |
                     CKF_DUAL_CRYPTO_OPERATIONS | CKF_CLOCK_ON_TOKEN | CKF_ASYNC_SESSION_SUPPORTED;
    assert_int_equal(info.flags & flags, flags);
    assert_int_equal(info.flags & (CKF_WRITE_PROTECTED | CKF_PROTECTED_AUTHENTICATION_PATH), 0);
    assert_int_equal(info.ulMinPinLen, 4);
    assert_int_equal(info.ulMaxPinLen, 255);
    assert_int_equal(info.ulSessionCount, 2);
    assert_int_equal(info.ulRwSessionCount, 1);
    assert_int_equal(info.ulMaxRwSessionCount, 4096);
    char now[17];
    char text[17];
    memcpy(text, info.utcTime, 16);
    text[16] = '\0';
    time_t t = time(NULL);
    strftime(now, sizeof(now), "%Y%m%d%H%M", gmtime(&t));
    assert_memory_equal(text, now, 8);
    assert_memory_equal(text + 14, "00", 2);
    assert_int_equal(C_GetTokenInfo(2, &info), CKR_OK);
    assert_int_equal(info.flags & (CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED), 0);
    CK_SESSION_HANDLE s;
    assert_int_equal(C_OpenSession(2, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_TOKEN_NOT_RECOGNIZED);
}

static void mechanisms_of_a_slot(void **state)
{
    (void)state;
    static CK_MECHANISM_TYPE list[512];
    CK_ULONG n = 512;
    assert_int_equal(C_GetMechanismList(1, list, &n), CKR_OK);
    assert_int_equal(n, lh_mechanism_count());
    CK_MECHANISM_INFO info;
    unsigned asked = daemon_.control->calls[LH_CALL_MECHANISMS];
    for (CK_ULONG i = 0; i < n; i++)
        assert_int_equal(C_GetMechanismInfo(1, list[i], &info), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_MECHANISMS], asked);
    assert_int_equal(C_GetMechanismInfo(1, CKM_RSA_PKCS_KEY_PAIR_GEN, &info), CKR_OK);
    assert_true(info.flags & CKF_GENERATE_KEY_PAIR);
    assert_int_equal(C_GetMechanismInfo(0, CKM_RSA_PKCS_KEY_PAIR_GEN, &info), CKR_MECHANISM_INVALID);
    assert_int_equal(C_GetMechanismInfo(1, 0x7fffffff, &info), CKR_MECHANISM_INVALID);
}

static void logins(void **state)
{
    (void)state;
    CK_SESSION_HANDLE ro = open_on(1, 0);
    CK_SESSION_HANDLE rw = open_on(1, CKF_RW_SESSION);
    assert_int_equal(C_Logout(rw), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(C_Login(rw, CKU_USER, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_Login(rw, CKU_USER, NULL, 4), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_Login(rw, CKU_USER, TEXT("1234"), ~0UL), CKR_PIN_INCORRECT);
    assert_int_equal(C_Login(rw, 7, TEXT("1234"), 4), CKR_USER_TYPE_INVALID);
    assert_int_equal(login(rw, CKU_USER, "wrong"), CKR_PIN_INCORRECT);
    assert_int_equal(state_of(rw), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(login(rw, CKU_SO, "so-pin"), CKR_SESSION_READ_ONLY_EXISTS);
    assert_int_equal(login(rw, CKU_USER, "1234"), CKR_OK);
    assert_int_equal(state_of(rw), CKS_RW_USER_FUNCTIONS);
    assert_int_equal(state_of(ro), CKS_RO_USER_FUNCTIONS);
    assert_int_equal(state_of(open_on(1, 0)), CKS_RO_USER_FUNCTIONS);
    assert_int_equal(login(ro, CKU_USER, "1234"), CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(login(rw, CKU_SO, "so-pin"), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
    assert_int_equal(login(rw, CKU_CONTEXT_SPECIFIC, "1234"), CKR_OPERATION_NOT_INITIALIZED);
    /* The leased slot has nothing to do with it. */
    CK_SESSION_HANDLE leased = open_on(0, CKF_RW_SESSION);
    assert_int_equal(state_of(leased), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(login(leased, CKU_USER, "anything"), CKR_OK);
    assert_int_equal(C_Logout(rw), CKR_OK);
    assert_int_equal(state_of(rw), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(state_of(leased), CKS_RW_USER_FUNCTIONS);
    /* The last session's end is a logout. */
    assert_int_equal(C_LoginUser(rw, CKU_USER, TEXT("1234"), 4, TEXT("ann"), 3), CKR_OK);
    unsigned logouts = daemon_.control->calls[LH_CALL_LOGOUT];
    assert_int_equal(C_CloseAllSessions(1), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_LOGOUT], logouts + 1);
    rw = open_on(1, CKF_RW_SESSION);
    assert_int_equal(state_of(rw), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(login(rw, CKU_SO, "so-pin"), CKR_OK);
    assert_int_equal(state_of(rw), CKS_RW_SO_FUNCTIONS);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_SESSION_READ_WRITE_SO_EXISTS);
}

static void tokens_and_pins(void **state)
{
    (void)state;
    unsigned char label[32];
    memset(label, ' ', 32);
    memcpy(label, "fresh", 5);
    assert_int_equal(C_InitToken(0, TEXT("so-pin"), 6, label), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(C_InitToken(9, TEXT("so-pin"), 6, label), CKR_SLOT_ID_INVALID);
    assert_int_equal(C_InitToken(2, NULL, 0, label), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_InitToken(2, TEXT("so-pin"), 6, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_InitToken(2, TEXT("so-pin"), ~0UL, label), CKR_PIN_INCORRECT);
    assert_int_equal(C_InitToken(2, TEXT("so"), 2, label), CKR_PIN_INCORRECT);
    assert_int_equal(C_InitToken(2, TEXT("secret"), 6, label), CKR_OK);
    assert_int_equal(C_InitToken(2, TEXT("another"), 7, label), CKR_PIN_INCORRECT);
    CK_SESSION_HANDLE s = open_on(2, CKF_RW_SESSION);
    assert_int_equal(C_InitToken(2, TEXT("secret"), 6, label), CKR_SESSION_EXISTS);
    assert_int_equal(login(s, CKU_USER, "1234"), CKR_USER_PIN_NOT_INITIALIZED);
    assert_int_equal(C_InitPIN(s, TEXT("1234"), 4), CKR_USER_NOT_LOGGED_IN);
    CK_SESSION_HANDLE ro = open_on(2, 0);
    assert_int_equal(C_InitPIN(ro, TEXT("1234"), 4), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_CloseSession(ro), CKR_OK);
    assert_int_equal(login(s, CKU_SO, "secret"), CKR_OK);
    assert_int_equal(C_InitPIN(s, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_InitPIN(s, TEXT("1234"), 256), CKR_PIN_LEN_RANGE);
    assert_int_equal(C_InitPIN(s, TEXT("1234"), 4), CKR_OK);
    assert_int_equal(C_SetPIN(s, TEXT("secret"), 6, TEXT("changed"), 7), CKR_OK);
    assert_int_equal(C_Logout(s), CKR_OK);
    assert_int_equal(login(s, CKU_SO, "secret"), CKR_PIN_INCORRECT);
    assert_int_equal(login(s, CKU_USER, "1234"), CKR_OK);
    assert_int_equal(C_SetPIN(s, TEXT("wrong"), 5, TEXT("4321"), 4), CKR_PIN_INCORRECT);
    assert_int_equal(C_SetPIN(s, TEXT("1234"), 4, NULL, 4), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SetPIN(s, TEXT("1234"), 4, TEXT("4321"), ~0UL), CKR_PIN_LEN_RANGE);
    assert_int_equal(C_SetPIN(open_on(2, 0), TEXT("1234"), 4, TEXT("4321"), 4), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_SetPIN(s, TEXT("1234"), 4, TEXT("4321"), 4), CKR_OK);
}

static void a_pin_waits_for_its_quorum(void **state)
{
    (void)state;
    CK_ULONG id = 0;
    CK_ASYNC_DATA data = {.ulVersion = 9};
    daemon_.control->quorum = 1;
    CK_SESSION_HANDLE plain = open_on(1, CKF_RW_SESSION);
    assert_int_equal(login(plain, CKU_SO, "so-pin"), CKR_OK);
    assert_int_equal(C_InitPIN(plain, TEXT("1234"), 4), CKR_ACTION_PROHIBITED);
    assert_int_equal(C_AsyncComplete(plain, TEXT("C_InitPIN"), &data), CKR_SESSION_ASYNC_NOT_SUPPORTED);
    CK_SESSION_HANDLE s = open_on(1, CKF_RW_SESSION | CKF_ASYNC_SESSION);
    CK_SESSION_INFO info;
    assert_int_equal(C_GetSessionInfo(s, &info), CKR_OK);
    assert_true(info.flags & CKF_ASYNC_SESSION);
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), &data), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_AsyncGetID(s, TEXT("C_InitPIN"), &id), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_InitPIN(s, TEXT("1234"), 4), CKR_PENDING);
    assert_int_equal(C_InitPIN(s, TEXT("1234"), 4), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_AsyncComplete(s, TEXT("C_Sign"), &data), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_AsyncComplete(s, NULL, &data), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), &data), CKR_PENDING);
    assert_int_equal(data.ulVersion, 9);
    assert_int_equal(C_AsyncGetID(s, TEXT("C_InitPIN"), NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_AsyncGetID(s, TEXT("C_InitPIN"), &id), CKR_OK);
    assert_int_equal(id, 77);
    /* Another instance takes it up. */
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    s = open_on(1, CKF_RW_SESSION | CKF_ASYNC_SESSION);
    assert_int_equal(C_AsyncJoin(s, TEXT("C_InitPIN"), 78, NULL, 0), CKR_SAVED_STATE_INVALID);
    assert_int_equal(C_AsyncJoin(s, TEXT("C_Sign"), 77, NULL, 0), CKR_SAVED_STATE_INVALID);
    assert_int_equal(C_AsyncJoin(s, TEXT("C_InitPIN"), 77, NULL, 0), CKR_OK);
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), &data), CKR_PENDING);
    daemon_.control->pending_state = LH_PENDING_DONE;
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), &data), CKR_OK);
    assert_int_equal(data.ulVersion, 0);
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), &data), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_AsyncJoin(s, TEXT("C_InitPIN"), 77, NULL, 0), CKR_OK);
    daemon_.control->pending_state = LH_PENDING_REFUSED;
    assert_int_equal(C_AsyncComplete(s, TEXT("C_InitPIN"), NULL), CKR_ACTION_PROHIBITED);
}

static void a_login_outlives_the_daemon(void **state)
{
    (void)state;
    CK_SESSION_HANDLE s = open_on(1, CKF_RW_SESSION);
    assert_int_equal(login(s, CKU_USER, "1234"), CKR_OK);
    fake_kill(&daemon_);
    fake_start(&daemon_);
    assert_int_equal(C_FindObjectsInit(s, NULL, 0), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_RESUME], 1);
    assert_int_equal(daemon_.control->calls[LH_CALL_LOGIN], 1);
    assert_int_equal(state_of(s), CKS_RW_USER_FUNCTIONS);
    /* Where the ticket is no good any more, it is gone. */
    daemon_.control->no_resume = 1;
    fake_kill(&daemon_);
    fake_start(&daemon_);
    assert_int_equal(C_FindObjectsFinal(s), CKR_OK);
    assert_int_equal(C_FindObjectsInit(s, NULL, 0), CKR_OK);
    assert_int_equal(state_of(s), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(login(s, CKU_USER, "1234"), CKR_OK);
}

/* The child has the sessions, and shows a PIN itself. */
static void a_child_is_not_logged_in(void **state)
{
    (void)state;
    CK_SESSION_HANDLE s = open_on(1, CKF_RW_SESSION);
    assert_int_equal(login(s, CKU_USER, "1234"), CKR_OK);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        CK_SESSION_INFO info;
        int bad = C_GetSessionInfo(s, &info) != CKR_OK || info.state != CKS_RW_PUBLIC_SESSION;
        bad |= (C_FindObjectsInit(s, NULL, 0) != CKR_OK) << 1;
        bad |= (daemon_.control->calls[LH_CALL_RESUME] != 0) << 2;
        bad |= (login(s, CKU_USER, "1234") != CKR_OK) << 3;
        _exit(bad);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(state_of(s), CKS_RW_USER_FUNCTIONS);
    assert_int_equal(C_Logout(s), CKR_OK);
}

static void *wait_for_event(void *arg)
{
    CK_SLOT_ID slot = 99;
    CK_RV rv = C_WaitForSlotEvent(0, &slot, NULL);
    *(CK_SLOT_ID *)arg = slot;
    return (void *)rv; /* NOLINT */
}

static void events(void **state)
{
    (void)state;
    CK_SLOT_ID slot;
    CK_ULONG n;
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &n), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetSlotList(0, NULL, &n), CKR_OK);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    daemon_.control->more_slots = 1;
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
    assert_int_equal(slot, 3);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    /* Sealed: every slot's token goes, one after the other. */
    daemon_.control->state = LH_TOKEN_SEALED;
    unsigned seen = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
        seen |= 1u << slot;
    }
    assert_int_equal(seen, 15);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    /* Blocking, in another thread, while this one goes on. */
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_event, &slot), 0);
    assert_int_equal(C_GetSlotList(0, NULL, &n), CKR_OK);
    daemon_.control->state = LH_TOKEN_OPEN;
    pthread_join(thread, &result);
    assert_ptr_equal(result, (void *)CKR_OK);
    assert_true(slot <= 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
    /* C_Finalize ends it. */
    assert_int_equal(pthread_create(&thread, NULL, wait_for_event, &slot), 0);
    usleep(100000);
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    pthread_join(thread, &result);
    assert_int_equal((CK_RV)result, CKR_CRYPTOKI_NOT_INITIALIZED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(slots_in_the_daemons_order), T(an_older_daemon_has_slot_0_alone),
        T(token_information), T(mechanisms_of_a_slot), T(logins), T(tokens_and_pins),
        T(a_pin_waits_for_its_quorum), T(a_login_outlives_the_daemon), T(a_child_is_not_logged_in),
        T(events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
