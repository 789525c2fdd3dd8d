/* Many applications at once. Each process loads the module by itself, opens its sessions, and when all have,
 * signs.
 *
 * usage: crowd MODULE TOKEN KEY PIN PROCESSES SESSIONS SIGNATURES [--recover|--go-on SECONDS]
 *   PIN: "-" for a token that wants none. --recover: go on signing for so long, or until SIGTERM; after an
 * error close, open and log in again, as applications do, and count what went wrong. --go-on: the same, but
 * after an error just go on. Prints "ready" when all sessions are open,
 * then "signed N errors N processes N", then each kind of error and how often. Exit status 0 where every
 * process signed at least once and, with either option, once after its last error; without one nothing
 * failed. */
#include "pkcs11_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KINDS 32
#define SESSIONS_MAX 4096

typedef struct {
    unsigned long signed_;
    unsigned long errors;
    unsigned long processes; /* that signed */
    unsigned long ready;
    bool stop;
    struct {
        CK_RV rv;
        unsigned long count;
    } kinds[KINDS];
} tally;

static tally *all;
static const char *token_label;
static const char *key_label;
static const char *pin;
static unsigned sessions;
static bool reopens; /* after errors */
static CK_SESSION_HANDLE handles[SESSIONS_MAX];

static void count_error(CK_RV rv)
{
    __atomic_fetch_add(&all->errors, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < KINDS; i++) {
        CK_RV none = 0;
        if (all->kinds[i].rv == rv || __atomic_compare_exchange_n(&all->kinds[i].rv, &none, rv, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            __atomic_fetch_add(&all->kinds[i].count, 1, __ATOMIC_RELAXED);
            return;
        }
    }
}

static CK_RV find_slot(CK_FUNCTION_LIST *f, CK_SLOT_ID *ret)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, token_label, strlen(token_label)) == 0) {
            *ret = slots[i];
            return CKR_OK;
        }
    }
    return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

static CK_RV open_all(client *c, CK_OBJECT_HANDLE *ret_key)
{
    CK_SLOT_ID slot = 0;
    CK_RV rv = find_slot(c->f, &slot);
    for (unsigned i = 0; rv == CKR_OK && i < sessions; i++)
        rv = c->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &handles[i]);
    if (rv != CKR_OK)
        return rv;
    c->session = handles[0];
    if (strcmp(pin, "-") != 0) {
        char copy[64];
        (void)snprintf(copy, sizeof copy, "%s", pin);
        rv = c->f->C_Login(c->session, CKU_USER, (unsigned char *)copy, strlen(copy));
        if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
            return rv;
    }
    rv = client_find(c, key_label, CKO_PRIVATE_KEY, ret_key);
    return rv == CKR_OK && *ret_key == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

static CK_RV sign(client *c, CK_OBJECT_HANDLE key, unsigned turn)
{
    unsigned char signature[256];
    CK_ULONG len = sizeof signature;
    c->session = handles[turn % sessions];
    return client_sign(c, key, CKM_ECDSA, signature, &len);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void recover(client *c, CK_OBJECT_HANDLE *key)
{
    (void)usleep(20000);
    if (!reopens)
        return;
    CK_SLOT_ID slot = 0;
    if (find_slot(c->f, &slot) == CKR_OK)
        (void)c->f->C_CloseAllSessions(slot);
    if (open_all(c, key) != CKR_OK)
        *key = 0;
}

static int work(const char *module, unsigned long signatures, double seconds, int go)
{
    client c = {0};
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get;
    if (!symbol)
        return 2;
    memcpy(&get, &symbol, sizeof get);
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = get(&c.f);
    if (rv == CKR_OK)
        rv = c.f->C_Initialize(NULL);
    if (rv == CKR_OK)
        rv = open_all(&c, &key);
    if (rv != CKR_OK)
        count_error(rv);
    __atomic_fetch_add(&all->ready, 1, __ATOMIC_RELAXED);
    struct pollfd wait_for = {.fd = go, .events = POLLIN};
    (void)poll(&wait_for, 1, -1); /* until the parent closes its end */
    if (rv != CKR_OK && seconds <= 0)
        return 1;
    unsigned long done = 0;
    double end = now() + seconds;
    bool last_good = false;
    for (unsigned turn = 0;
         seconds > 0 ? now() < end && !__atomic_load_n(&all->stop, __ATOMIC_RELAXED) : turn < signatures;
         turn++) {
        rv = key != 0 ? sign(&c, key, turn) : CKR_KEY_HANDLE_INVALID;
        last_good = rv == CKR_OK;
        if (last_good) {
            done++;
            if (seconds > 0)
                (void)usleep(5000); /* the machine has other work */
            continue;
        }
        count_error(rv);
        if (seconds > 0)
            recover(&c, &key);
    }
    __atomic_fetch_add(&all->signed_, done, __ATOMIC_RELAXED);
    if (done > 0)
        __atomic_fetch_add(&all->processes, 1, __ATOMIC_RELAXED);
    (void)c.f->C_Finalize(NULL);
    return last_good ? 0 : 1;
}

static void on_term(int signal_number)
{
    (void)signal_number;
    __atomic_store_n(&all->stop, true, __ATOMIC_RELAXED);
}

int main(int argc, char **argv)
{
    if (argc != 8 && argc != 10) {
        (void)fprintf(stderr,
            "usage: crowd MODULE TOKEN KEY PIN PROCESSES SESSIONS SIGNATURES [--recover|--go-on SECONDS]\n");
        return 2;
    }
    token_label = argv[2];
    key_label = argv[3];
    pin = argv[4];
    unsigned long processes = strtoul(argv[5], NULL, 10);
    sessions = (unsigned)strtoul(argv[6], NULL, 10);
    double seconds = argc == 10 ? strtod(argv[9], NULL) : 0;
    reopens = argc == 10 && strcmp(argv[8], "--recover") == 0;
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int go[2];
    if (sessions == 0 || sessions > SESSIONS_MAX || all == MAP_FAILED || pipe(go) != 0)
        return 2;
    (void)signal(SIGTERM, on_term);
    for (unsigned long i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 2;
        if (pid == 0) {
            (void)close(go[1]);
            _exit(work(argv[1], strtoul(argv[7], NULL, 10), seconds, go[0]));
        }
    }
    while (__atomic_load_n(&all->ready, __ATOMIC_RELAXED) < processes)
        (void)usleep(10000);
    (void)printf("ready\n");
    (void)fflush(stdout);
    (void)close(go[0]);
    (void)close(go[1]);
    bool good = true;
    for (unsigned long i = 0; i < processes; i++) {
        int status = 0;
        while (wait(&status) < 0 && errno == EINTR)
            ;
        good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    (void)printf("signed %lu errors %lu processes %lu\n", all->signed_, all->errors, all->processes);
    for (size_t i = 0; i < KINDS && all->kinds[i].count > 0; i++)
        (void)printf("  %s %lu\n", client_name(all->kinds[i].rv), all->kinds[i].count);
    return good && (seconds > 0 || all->errors == 0) ? 0 : 1;
}
