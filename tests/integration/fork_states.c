/* Forks in every state of the module. In each the child calls C_Initialize, logs in by itself, signs, and
 * ends by exit() or _exit(); then the parent goes on with what it was about. One line for each state.
 *
 * usage: fork_states MODULE TOKEN PIN states KEY CIPHER   KEY: a P-256 pair's label, CIPHER: an AES key's;
 * PIN and CIPHER "-": there is none fork_states MODULE TOKEN PIN worker UID KEY      the child becomes UID
 * before it uses the token, as servers' workers do, and signs */
#include "pkcs11_client.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) check(#what, __LINE__, what)

static client c;
static const char *token_label;
static char *pin;
static const char *key_label;
static const char *cipher_label;
static CK_OBJECT_HANDLE key;
static CK_OBJECT_HANDLE cipher;

static void check(const char *what, int line, bool good)
{
    if (good)
        return;
    (void)printf("line %d in pid %d: %s\n", line, (int)getpid(), what);
    (void)fflush(stdout);
    _exit(9);
}

static bool ok(CK_RV rv)
{
    if (rv != CKR_OK)
        (void)printf("%s: ", client_name(rv));
    return rv == CKR_OK;
}

static bool find_slot(CK_SLOT_ID *ret)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CHECK(ok(c.f->C_GetSlotList(CK_TRUE, slots, &count)));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (c.f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, token_label, strlen(token_label)) == 0) {
            *ret = slots[i];
            return true;
        }
    }
    return false;
}

static void open_session(void)
{
    CK_SLOT_ID slot = 0;
    CHECK(find_slot(&slot));
    CHECK(ok(c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &c.session)));
}

static void login(void)
{
    if (strcmp(pin, "-") != 0)
        CHECK(ok(c.f->C_Login(c.session, CKU_USER, (unsigned char *)pin, strlen(pin))));
    CHECK(ok(client_find(&c, key_label, CKO_PRIVATE_KEY, &key)) && key != 0);
    if (strcmp(cipher_label, "-") != 0)
        CHECK(ok(client_find(&c, cipher_label, CKO_SECRET_KEY, &cipher)) && cipher != 0);
}

static CK_RV sign_once(void)
{
    unsigned char signature[256];
    CK_ULONG len = sizeof signature;
    return client_sign(&c, key, CKM_ECDSA, signature, &len);
}

/* --- what the child does --- */

static void child_as_new(void)
{
    CHECK(ok(c.f->C_Initialize(NULL)));
    CHECK(c.f->C_Initialize(NULL) == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    CK_SESSION_INFO info;
    CHECK(c.f->C_GetSessionInfo(c.session, &info) == CKR_SESSION_HANDLE_INVALID);
    open_session();
    if (strcmp(pin, "-") != 0) { /* the parent's login is not ours */
        CHECK(ok(c.f->C_GetSessionInfo(c.session, &info)) && info.state == CKS_RW_PUBLIC_SESSION);
        CK_OBJECT_HANDLE none = 0;
        CHECK(ok(client_find(&c, key_label, CKO_PRIVATE_KEY, &none)) && none == 0);
    }
    login();
    CHECK(ok(sign_once()));
}

/* Without C_Initialize: sessions are there, the login is not. */
static void child_as_it_is(void)
{
    CK_SESSION_INFO info;
    CHECK(ok(c.f->C_GetSessionInfo(c.session, &info)));
    if (strcmp(pin, "-") != 0) {
        CHECK(info.state == CKS_RW_PUBLIC_SESSION);
        CHECK(sign_once() != CKR_OK);
    }
    login();
    CHECK(ok(sign_once()));
}

static void child_uses_only(void)
{
    open_session(); /* initialized already */
    login();
    CHECK(ok(sign_once()));
}

typedef void act(void);

static void in_child(act *child, bool quick)
{
    (void)fflush(stdout);
    const CK_SESSION_HANDLE session = c.session;
    const CK_OBJECT_HANDLE keys[] = {key, cipher};
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child();
        (void)fflush(stdout);
        if (quick)
            _exit(0);
        exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(c.session == session && key == keys[0] && cipher == keys[1]);
}

static void both_ends(act *child)
{
    in_child(child, false);
    in_child(child, true);
}

/* --- states of the parent --- */

static void state_signing(void)
{
    CK_MECHANISM mechanism = {CKM_ECDSA_SHA256, NULL, 0};
    unsigned char signature[256];
    CK_ULONG len = sizeof signature;
    CK_OBJECT_HANDLE public = 0;
    CHECK(ok(c.f->C_SignInit(c.session, &mechanism, key)));
    both_ends(child_as_new);
    CHECK(ok(c.f->C_SignUpdate(c.session, CLIENT_DATA, 16)));
    both_ends(child_as_new);
    CHECK(ok(c.f->C_SignUpdate(c.session, CLIENT_DATA + 16, 16)));
    CHECK(ok(c.f->C_SignFinal(c.session, signature, &len)));
    CHECK(ok(client_find(&c, key_label, CKO_PUBLIC_KEY, &public)) && public != 0);
    CHECK(ok(c.f->C_VerifyInit(c.session, &mechanism, public)));
    CHECK(ok(c.f->C_Verify(c.session, CLIENT_DATA, 32, signature, len)));
}

/* Encryption in parts is under way at the daemon: the parent's goes on; a child that took it over as it is
 * learns that it has none of its own. */
static void child_has_no_stream(void)
{
    unsigned char out[128];
    CK_ULONG len = sizeof out;
    CHECK(c.f->C_EncryptUpdate(c.session, CLIENT_DATA, 32, out, &len) == CKR_DEVICE_ERROR);
}

static void state_encrypting(void)
{
    CK_AES_CTR_PARAMS params = {128, {0}};
    CK_MECHANISM mechanism = {CKM_AES_CTR, &params, sizeof params};
    unsigned char parts[64];
    unsigned char whole[64];
    unsigned char data[64] = {1, 2, 3};
    CK_ULONG len = 32;
    CHECK(ok(c.f->C_EncryptInit(c.session, &mechanism, cipher)));
    both_ends(child_as_new);
    CHECK(ok(c.f->C_EncryptUpdate(c.session, data, 32, parts, &len)) && len == 32);
    both_ends(child_as_new);
    in_child(child_has_no_stream, true);
    CHECK(ok(c.f->C_EncryptUpdate(c.session, data + 32, 32, parts + 32, &len)) && len == 32);
    CHECK(ok(c.f->C_EncryptFinal(c.session, whole, &len)) && len == 0);
    len = sizeof whole;
    CHECK(ok(c.f->C_EncryptInit(c.session, &mechanism, cipher)));
    CHECK(ok(c.f->C_Encrypt(c.session, data, 64, whole, &len)) && memcmp(parts, whole, 64) == 0);
}

static void state_finding(void)
{
    CK_OBJECT_HANDLE found[2] = {0};
    CK_ULONG count = 0;
    CK_ATTRIBUTE label = {CKA_LABEL, NULL, 0};
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", key_label);
    label.pValue = copy;
    label.ulValueLen = strlen(copy);
    CHECK(ok(c.f->C_FindObjectsInit(c.session, &label, 1)));
    CHECK(ok(c.f->C_FindObjects(c.session, &found[0], 1, &count)) && count == 1);
    both_ends(child_as_new);
    CHECK(ok(c.f->C_FindObjects(c.session, &found[1], 1, &count)) && count == 1 && found[0] != found[1]);
    CHECK(ok(c.f->C_FindObjectsFinal(c.session)));
}

static CK_OBJECT_HANDLE session_key;

static void child_sees_no_session_object(void)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    child_as_new();
    CHECK(c.f->C_SignInit(c.session, &mechanism, session_key) == CKR_KEY_HANDLE_INVALID);
    CHECK(c.f->C_DestroyObject(c.session, session_key) == CKR_OBJECT_HANDLE_INVALID);
}

static void state_session_objects(void)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BYTE yes = CK_TRUE;
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256}};
    CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, 1}};
    CK_OBJECT_HANDLE other = 0;
    unsigned char signature[256];
    CK_ULONG len = sizeof signature;
    CHECK(ok(c.f->C_GenerateKeyPair(c.session, &mechanism, public, 1, private, 1, &other, &session_key)));
    both_ends(child_sees_no_session_object);
    CHECK(ok(client_sign(&c, session_key, CKM_ECDSA, signature, &len)));
    CHECK(ok(c.f->C_DestroyObject(c.session, session_key)));
}

static volatile bool stop;

static void *sign_on(void *arg)
{
    unsigned long *count = arg;
    unsigned char signature[256];
    client own = c;
    CK_SESSION_INFO info;
    CHECK(ok(c.f->C_GetSessionInfo(c.session, &info)));
    CHECK(ok(c.f->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &own.session)));
    for (; !stop; (*count)++) {
        CK_ULONG len = sizeof signature;
        CHECK(ok(client_sign(&own, key, CKM_ECDSA, signature, &len)));
    }
    CHECK(ok(c.f->C_CloseSession(own.session)));
    return NULL;
}

/* Forked at any moment of another thread's calls, the child can always begin anew. */
static void state_threads(void)
{
    pthread_t threads[3];
    unsigned long counts[3] = {0};
    stop = false;
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, sign_on, &counts[i]) == 0);
    for (int i = 0; i < 20; i++)
        in_child(child_as_new, i % 2 == 0);
    stop = true;
    for (size_t i = 0; i < 3; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(counts[i] > 0);
    }
}

static bool at_fork;

static void initialize_at_fork(void)
{
    if (at_fork)
        CHECK(ok(c.f->C_Initialize(NULL)));
}

static void child_with_child(void)
{
    child_as_new();
    in_child(child_as_new, true);
    CHECK(ok(sign_once()));
}

static void state(const char *name, act *what)
{
    what();
    CHECK(ok(sign_once())); /* the parent is as it was */
    (void)printf("%s\n", name);
}

static void as_new(void)
{
    both_ends(child_as_new);
}

static void as_it_is(void)
{
    both_ends(child_as_it_is);
}

static void with_child(void)
{
    both_ends(child_with_child);
}

static void by_handler(void)
{
    at_fork = true;
    both_ends(child_uses_only);
    at_fork = false;
}

static void child_finalizes(void)
{
    CHECK(ok(c.f->C_Finalize(NULL)));
    child_as_new();
    CHECK(ok(c.f->C_Finalize(NULL)));
}

static void finalized(void)
{
    both_ends(child_finalizes);
}

static void states(void)
{
    both_ends(child_as_new);
    (void)printf("before C_Initialize\n");
    CHECK(ok(c.f->C_Initialize(NULL)));
    both_ends(child_as_new);
    (void)printf("initialized\n");
    open_session();
    both_ends(child_as_new);
    (void)printf("with a session\n");
    login();
    CHECK(pthread_atfork(NULL, NULL, initialize_at_fork) == 0);
    state("logged in", as_new);
    state("without C_Initialize in the child", as_it_is);
    state("with C_Initialize in a handler of pthread_atfork", by_handler);
    state("a child that finalizes", finalized);
    state("a child that forks", with_child);
    state("while it signs", state_signing);
    if (strcmp(cipher_label, "-") != 0)
        state("while it encrypts", state_encrypting);
    state("while it searches", state_finding);
    if (strcmp(pin, "-") != 0)
        state("with session objects", state_session_objects);
    state("while other threads are in calls", state_threads);
    CHECK(ok(c.f->C_Finalize(NULL)));
    both_ends(child_as_new);
    (void)printf("after C_Finalize\n");
}

static void worker(uid_t uid)
{
    CK_SLOT_ID slot = 0;
    CHECK(ok(c.f->C_Initialize(NULL)));
    bool parent = find_slot(&slot);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(uid, uid, uid) == 0);
        CHECK(ok(c.f->C_Initialize(NULL)));
        CHECK(find_slot(&slot));
        open_session();
        CHECK(ok(c.f->C_Login(c.session, CKU_USER, (unsigned char *)pin, strlen(pin))));
        CHECK(ok(client_find(&c, key_label, CKO_PRIVATE_KEY, &key)) && key != 0);
        CHECK(ok(sign_once()));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(parent == find_slot(&slot));
    (void)printf("worker ok, parent %s\n", parent ? "sees it" : "none");
}

static void child_guesses(void)
{
    CHECK(ok(c.f->C_Initialize(NULL)));
    open_session();
    CHECK(c.f->C_Login(c.session, CKU_USER, (unsigned char *)pin, strlen(pin)) == CKR_PIN_INCORRECT);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 125;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get;
    if (!symbol)
        return 125;
    memcpy(&get, &symbol, sizeof get);
    CHECK(ok(get(&c.f)));
    token_label = argv[2];
    pin = argv[3];
    key_label = argv[5];
    cipher_label = argc > 6 ? argv[6] : "-";
    if (strcmp(argv[4], "worker") == 0) {
        key_label = cipher_label;
        worker((uid_t)strtoul(argv[5], NULL, 10));
    } else if (strcmp(argv[4], "guess") == 0) {
        CHECK(ok(c.f->C_Initialize(NULL)));
        for (unsigned long i = strtoul(argv[5], NULL, 10); i > 0; i--)
            in_child(child_guesses, true);
    } else {
        states();
    }
    return 0;
}
