/* What many objects cost: MODULE LABEL PIN COUNT [PROCESSES]. In the token of that label: makes ten data
 * objects and searches them by label and by id, then makes COUNT more (by so many processes at once) and
 * searches again, and opens the token anew. The
 * token wants to be empty, and is not emptied. Prints objects per second, and medians in
 * microseconds. Knows nothing of any module, so that peers are measured with the same program in the same
 * run. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEARCHES 200
#define PROCESSES_MAX 64
#define WARM 10 /* objects of the small search */

typedef struct {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
    const char *label;
    const char *pin;
} token;

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

static void load(token *t, const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    if (module)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (!get || get(&t->f) != CKR_OK) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
        exit(1);
    }
}

static void open_token(token *t)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    check(t->f->C_Initialize(NULL), "C_Initialize");
    check(t->f->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        check(t->f->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (strncmp((char *)info.label, t->label, strlen(t->label)) != 0)
            continue;
        CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        check(t->f->C_OpenSession(slots[i], flags, NULL, NULL, &t->session), "C_OpenSession");
        char pin[64];
        snprintf(pin, sizeof(pin), "%s", t->pin);
        check(t->f->C_Login(t->session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "C_Login");
        return;
    }
    fprintf(stderr, "no token %s\n", t->label);
    exit(1);
}

static void create(token *t, unsigned long from, unsigned long to)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE;
    char value[32] = {1};
    for (unsigned long i = from; i < to; i++) {
        char label[32];
        char id[32];
        CK_ULONG label_len = (CK_ULONG)snprintf(label, sizeof(label), "object-%lu", i);
        CK_ULONG id_len = (CK_ULONG)snprintf(id, sizeof(id), "id-%lu", i);
        CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
            {CKA_TOKEN, &yes, sizeof(yes)}, {CKA_LABEL, label, label_len}, {CKA_ID, id, id_len},
            {CKA_VALUE, value, sizeof(value)}};
        CK_OBJECT_HANDLE object;
        check(t->f->C_CreateObject(t->session, template, 6, &object), "C_CreateObject");
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double search(token *t, CK_ATTRIBUTE_TYPE type, const char *prefix, unsigned long objects)
{
    double times[SEARCHES];
    for (unsigned i = 0; i < SEARCHES; i++) {
        char value[32];
        CK_ULONG len = (CK_ULONG)snprintf(value, sizeof(value), "%s-%lu", prefix, (i * 7919UL) % objects);
        CK_ATTRIBUTE template = {type, value, len};
        CK_OBJECT_HANDLE found[2];
        CK_ULONG count = 0;
        double start = now();
        check(t->f->C_FindObjectsInit(t->session, &template, 1), "C_FindObjectsInit");
        check(t->f->C_FindObjects(t->session, found, 2, &count), "C_FindObjects");
        check(t->f->C_FindObjectsFinal(t->session), "C_FindObjectsFinal");
        times[i] = now() - start;
        if (count != 1) {
            fprintf(stderr, "%s: found %lu\n", value, count);
            exit(1);
        }
    }
    qsort(times, SEARCHES, sizeof(*times), compare);
    return times[SEARCHES / 2] * 1e6;
}

static void create_all(token *t, unsigned long count, unsigned processes)
{
    if (processes <= 1) {
        create(t, WARM, count);
        return;
    }
    pid_t pids[PROCESSES_MAX];
    for (unsigned i = 0; i < processes; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        open_token(t);
        unsigned long share = (count - WARM) / processes;
        unsigned long from = WARM + share * i;
        create(t, from, i + 1 == processes ? count : from + share);
        _exit(0);
    }
    for (unsigned i = 0; i < processes; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        if (status != 0)
            exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: objects MODULE LABEL PIN COUNT [PROCESSES]\n");
        return 2;
    }
    token t = {.label = argv[2], .pin = argv[3]};
    unsigned long count = strtoul(argv[4], NULL, 10);
    unsigned processes = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    if (count <= WARM || processes > PROCESSES_MAX) {
        fprintf(stderr, "objects: more than %d objects, at most %d processes\n", WARM, PROCESSES_MAX);
        return 2;
    }
    load(&t, argv[1]);
    open_token(&t);
    create(&t, 0, WARM);
    double few_label = search(&t, CKA_LABEL, "object", WARM);
    double few_id = search(&t, CKA_ID, "id", WARM);
    double start = now();
    create_all(&t, count, processes);
    double rate = (double)(count - WARM) / (now() - start);
    double many_label = search(&t, CKA_LABEL, "object", count);
    double many_id = search(&t, CKA_ID, "id", count);
    check(t.f->C_Finalize(NULL), "C_Finalize");
    start = now();
    open_token(&t);
    double open_ms = (now() - start) * 1e3;
    printf("%lu objects, %u processes: %.0f made/s; search by label %.0f us (%.2f of that in %d), by id %.0f "
           "us (%.2f); "
           "open and log in %.1f ms\n",
        count, processes, rate, many_label, many_label / few_label, WARM, many_id, many_id / few_id, open_ms);
    return 0;
}
