#include "dev_token.h"

#include "base/limits.h"
#include "base/macro.h"
#include "proc/child.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define TOKEN_MS 60000

/* What the helper reads: texts that NUL ends, first the module's path, then label, SO PIN and PIN of each. */
static void put(lh_buf *out, const char *text)
{
    lh_buf_append(out, text, strlen(text) + 1);
}

lh_err dev_token_initialize(const char *module, const dev_partition *partitions, size_t n)
{
    const char *const argv[] = {"/proc/self/exe", DEV_TOKEN_COMMAND, NULL};
    LH_AUTO(lh_buf_free) lh_buf input = LH_BUF_INIT(INPUT_MAX);
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(1024);
    int status = 0;
    put(&input, module);
    for (size_t i = 0; i < n; i++) {
        put(&input, partitions[i].label);
        put(&input, partitions[i].so_pin);
        put(&input, partitions[i].pin);
    }
    LH_TRY(lh_buf_status(&input));
    LH_TRY(lh_child_run(argv, lh_buf_bytes(&input), &output, TOKEN_MS, &status));
    return status == 0 ? LH_SUCCESS : LH_REFUSE(LH_E_IO, "dev-token", "a partition could not be initialised");
}

/* The next text; NULL at the end. */
static char *next(char **at, char *end)
{
    char *text = *at;
    char *nul = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
    if (!nul)
        return NULL;
    *at = nul + 1;
    return text;
}

static bool done(CK_RV rv, const char *function, const char *label)
{
    if (rv != CKR_OK)
        (void)fprintf(stderr, "leasehold dev: partition %s: %s answers 0x%lx\n", label, function, rv);
    return rv == CKR_OK;
}

/* C_InitToken takes 32 bytes filled up with blanks. */
static bool initialize(CK_FUNCTION_LIST *module, CK_SLOT_ID slot, const char *label, char *so_pin, char *pin)
{
    CK_UTF8CHAR padded[32];
    CK_SESSION_HANDLE session = 0;
    CK_UTF8CHAR *so = (CK_UTF8CHAR *)so_pin;
    memset(padded, ' ', sizeof padded);
    memcpy(padded, label, strlen(label) < sizeof padded ? strlen(label) : sizeof padded);
    bool good = done(module->C_InitToken(slot, so, strlen(so_pin), padded), "C_InitToken", label) &&
                done(module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
                    "C_OpenSession", label) &&
                done(module->C_Login(session, CKU_SO, so, strlen(so_pin)), "C_Login", label) &&
                done(module->C_InitPIN(session, (CK_UTF8CHAR *)pin, strlen(pin)), "C_InitPIN", label);
    if (session != 0)
        good = done(module->C_CloseSession(session), "C_CloseSession", label) && good;
    return good;
}

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *module = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library)
        *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (!get || get(&module) != CKR_OK) {
        (void)fprintf(stderr, "leasehold dev: %s is no PKCS#11 module: %s\n", path, library ? "" : dlerror());
        return NULL;
    }
    return module;
}

/* The next partition after `slot` that has not been initialised; 0: there is none. Numbers are given in
 * order, but a spare blank one may have taken some in between; it has the highest. */
static CK_SLOT_ID next_slot(CK_FUNCTION_LIST *module, CK_SLOT_ID slot)
{
    CK_SLOT_ID slots[LH_LIMIT_PARTITIONS + 2];
    CK_ULONG count = LH_ARRAY_LEN(slots);
    CK_SLOT_ID found = 0;
    CK_TOKEN_INFO info;
    if (module->C_GetSlotList(CK_FALSE, slots, &count) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < count; i++)
        if (slots[i] > slot && (found == 0 || slots[i] < found) &&
            module->C_GetTokenInfo(slots[i], &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED) == 0)
            found = slots[i];
    return found;
}

static bool initialize_all(CK_FUNCTION_LIST *module, char *at, char *end)
{
    char *label = NULL;
    CK_SLOT_ID slot = 0;
    while ((label = next(&at, end)) != NULL) {
        char *so_pin = next(&at, end);
        char *pin = next(&at, end);
        slot = next_slot(module, slot);
        if (!so_pin || !pin || !initialize(module, slot, label, so_pin, pin))
            return false;
    }
    return true;
}

int dev_token_main(void)
{
    static char input[INPUT_MAX];
    size_t len = fread(input, 1, sizeof input, stdin);
    char *at = input;
    const char *path = next(&at, input + len);
    CK_FUNCTION_LIST *module = path ? load(path) : NULL;
    if (!module || !done(module->C_Initialize(NULL), "C_Initialize", "1"))
        return EXIT_FAILURE;
    bool good = initialize_all(module, at, input + len);
    return done(module->C_Finalize(NULL), "C_Finalize", "1") && good ? EXIT_SUCCESS : EXIT_FAILURE;
}
