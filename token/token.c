/* Invariants:
 * 1. The state is touched only with the lock held, by the process that the state belongs to.
 * 2. A connection belongs to the process that opened it: a child closes what it inherited before anything
 *    else and opens its own when it needs one. Sessions and operations are copied by fork, as
 *    CKF_INTERFACE_FORK_SAFE promises (PKCS#11 3.0 section 3.5, CK_INTERFACE). Logins to standalone
 *    partitions are not: a child is another process, and shows a PIN itself.
 * 3. `changing` is set while the state may be half changed, and clear while its lock's owner waits for the
 *    daemon; a child that was forked by another thread during that wait can use what it inherited. One that
 * was forked within a change starts uninitialized.
 */
#include "token.h"

#include "wire/path.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define OWNER_BUSY (-1)
#define SLOW_CALL_MS 600000 /* for making a key: RSA of 8192 bits on a busy machine */

static struct {
    _Atomic pid_t owner; /* the process that the state belongs to; 0 before first use */
    atomic_bool changing;
    pthread_mutex_t lock;
    lh_token token;
} module = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In the child, by one thread: make the inherited state this process's. */
static void adopt(void)
{
    lh_token *token = &module.token;
    bool held = pthread_mutex_trylock(&module.lock) != 0;
    bool usable = !held || !atomic_load(&module.changing);
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    memcpy(&module.lock, &fresh, sizeof(fresh));
    if (held)
        lh_client_abandon(token->client);
    else
        lh_client_close(token->client);
    token->client = NULL;
    token->inherited = token->initialized;
    if (usable)
        lh_token_forget_logins(token);
    else
        memset(token, 0, sizeof(*token));
    atomic_store(&module.changing, false);
}

static void claim(void)
{
    pid_t self = getpid();
    pid_t owner = atomic_load(&module.owner);
    while (owner != self) {
        if (owner == OWNER_BUSY) {
            sched_yield();
            owner = atomic_load(&module.owner);
            continue;
        }
        if (!atomic_compare_exchange_strong(&module.owner, &owner, OWNER_BUSY))
            continue;
        if (owner != 0)
            adopt();
        atomic_store(&module.owner, self);
        owner = self;
    }
}

static lh_token *lock(void)
{
    claim();
    pthread_mutex_lock(&module.lock);
    atomic_store(&module.changing, true);
    return &module.token;
}

CK_RV lh_token_leave(lh_token *token, CK_RV rv)
{
    (void)token;
    atomic_store(&module.changing, false);
    pthread_mutex_unlock(&module.lock);
    return rv;
}

CK_RV lh_token_enter(lh_token **ret)
{
    lh_token *token = lock();
    if (!token->initialized)
        return lh_token_leave(token, CKR_CRYPTOKI_NOT_INITIALIZED);
    *ret = token;
    return CKR_OK;
}

CK_RV lh_token_enter_session(CK_SESSION_HANDLE handle, lh_token **ret, lh_token_session **ret_session)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    lh_token_session *session = lh_token_session_find(token, handle);
    if (!session)
        return lh_token_leave(token, CKR_SESSION_HANDLE_INVALID);
    *ret = token;
    *ret_session = session;
    return CKR_OK;
}

static void clear(lh_token *token)
{
    lh_token_sessions_close(token, 0, true, false);
    lh_client_close(token->client);
    token->client = NULL;
    lh_token_slots_clear(token);
    lh_token_objects_clear(token, true);
    token->inherited = false;
    token->watched = false;
}

CK_RV C_Initialize(void *init_args)
{
    const CK_C_INITIALIZE_ARGS *args = init_args;
    if (args) {
        bool all = args->CreateMutex && args->DestroyMutex && args->LockMutex && args->UnlockMutex;
        bool any = args->CreateMutex || args->DestroyMutex || args->LockMutex || args->UnlockMutex;
        if (args->pReserved || any != all)
            return CKR_ARGUMENTS_BAD;
        /* Whatever the flags and functions: the module locks with its own mutex and starts no thread, and
         * calls nothing of the application's while it holds it, so that functions given without
         * CKF_OS_LOCKING_OK (section 5.4, third case) have nothing to add: it locks always. */
    }
    lh_token *token = lock();
    if (token->initialized && !token->inherited)
        return lh_token_leave(token, CKR_CRYPTOKI_ALREADY_INITIALIZED);
    clear(token);
    token->initialized = true;
    token->lives++;
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_Finalize(void *reserved)
{
    if (reserved)
        return CKR_ARGUMENTS_BAD;
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    clear(token);
    token->initialized = false;
    return lh_token_leave(token, CKR_OK);
}

static lh_err connect_lazily(lh_token *token)
{
    if (token->client)
        return LH_SUCCESS;
    char path[LH_LIMIT_PATH];
    LH_TRY(lh_path_socket(path, sizeof(path)));
    lh_client *client = NULL;
    atomic_store(&module.changing, false);
    lh_err err = lh_client_open(path, LH_KIND_TOKEN, &client);
    atomic_store(&module.changing, true);
    if (!lh_ok(err))
        return err;
    token->client = client;
    token->generation++;
    return lh_token_resume(token);
}

unsigned lh_token_version(lh_token *token)
{
    return lh_ok(connect_lazily(token)) ? lh_client_version(token->client) : 0;
}

static lh_err call_once(lh_token *token, const lh_call_row *row, const void *request, void *ret_reply)
{
    if (lh_client_version(token->client) < row->min_version)
        return LH_REFUSE(LH_E_UNSUPPORTED, "call-version", "the daemon is older than standalone partitions");
    bool slow = row->call == LH_CALL_GENERATE || row->call == LH_CALL_DERIVE;
    lh_client_set_timeout(token->client, slow ? SLOW_CALL_MS : LH_CLIENT_CALL_MS);
    atomic_store(&module.changing, false);
    lh_err err = lh_client_call(token->client, row->call, request, ret_reply);
    atomic_store(&module.changing, true);
    return err;
}

lh_err lh_token_call(
    lh_token *token, enum lh_call call, const void *request, void *ret_reply, uint64_t generation)
{
    const lh_call_row *row = lh_call_find(call);
    for (unsigned attempt = 0;; attempt++) {
        if (generation != 0 && (!token->client || token->generation != generation))
            return LH_REFUSE(
                LH_E_GONE, "connection-closed", "the connection that had this operation has ended");
        LH_TRY(connect_lazily(token));
        lh_err err = call_once(token, row, request, ret_reply);
        if (!lh_client_broken(token->client))
            return err;
        bool again = err.code == LH_E_GONE && generation == 0 && attempt == 0 &&
                     (lh_client_undelivered(token->client) || row->repeatable);
        /* Closing raises nothing: lh_err_last() still tells of err. */
        lh_client_close(token->client);
        token->client = NULL;
        lh_token_objects_clear(token, false);
        if (!again)
            return err;
    }
}
