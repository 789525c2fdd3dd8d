/* An application of standalone partitions that a test leads by the hand: commands come as lines on standard
 * input, each answered by one line: "ok" or the name of the return value as src/p11/answer.h spells it, where
 * nothing else is said.
 *
 *   slot LABEL | slot #N     the token to use: "slot N", or "none"
 *   slots                    how many there are
 *   label                    the token's
 *   open ro|rw|async         a session, which becomes the present one; its place is the first free one from 0
 *   on PLACE, close, closeall
 *   login so|user|context PIN; logout
 *   inittoken PIN LABEL; initpin PIN; setpin OLD NEW
 *   flags                    of the token: those of user-low user-final user-locked so-low so-final so-locked
 *   pair LABEL token|session [LIMIT...]  a P-256 pair; its private key becomes the object: "object H"
 *   key LABEL token|session [LIMIT...]   an AES key likewise. LIMIT: uses N, start DATE, end DATE (YYYYMMDD),
 * only ecdsa data LABEL token|session BYTES       a data object of so many bytes likewise find LABEL the
 * object with it (a private key rather than its public one): "object H", or "none" use H; destroy remaining
 * the object's remaining uses sign [MECHANISM]         with the object (ecdsa, ecdsa-sha256), and verified
 * where its public key is known begin, update, end       encryption by the object (AES-CTR) in parts burn N
 * sign N times: how many were ok, and what ended it fill session BYTES       data objects until one is
 * refused: how many, and what ended it sessions                 sessions until one is refused: how many, and
 * what ended it asyncid; asyncjoin ID; complete      C_InitPIN's: "id N" initialize, finalize guess H reads,
 * uses and destroys a handle that nobody gave: what C_GetAttributeValue says, "/", what C_SignInit and
 * C_Sign, "/", what C_DestroyObject says
 *
 * usage: token MODULE */
#include "p11/answer.h"

#include <dlfcn.h>
#include <leasehold/leasehold.h>
#include <leasehold/pkcs11-3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 4096
#define ARGUMENTS 8

static CK_FUNCTION_LIST *p11;
static CK_FUNCTION_LIST_3_2 *newer;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE sessions[PLACES];
static size_t place;
static CK_OBJECT_HANDLE object;
static CK_OBJECT_HANDLE public_key;
static CK_BYTE yes = CK_TRUE;

static const char *name_of(CK_RV rv)
{
    static char number[32];
    const char *name = rv == CKR_OK ? "ok" : rv == CKR_PENDING ? "pending" : lh_answer_reason(rv);
    if (!name)
        (void)snprintf(number, sizeof number, "0x%lx", rv);
    return name ? name : number;
}

static void say(CK_RV rv)
{
    (void)printf("%s\n", name_of(rv));
}

static void say_object(CK_RV rv)
{
    if (rv == CKR_OK)
        (void)printf("object %lu\n", object);
    else
        say(rv);
}

static CK_SESSION_HANDLE now(void)
{
    return sessions[place];
}

static void choose_slot(const char *which)
{
    CK_SLOT_ID list[1100];
    CK_ULONG count = sizeof list / sizeof list[0];
    CK_RV rv = p11->C_GetSlotList(CK_FALSE, list, &count);
    if (rv != CKR_OK) {
        say(rv);
        return;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        bool found = which[0] == '#' && strtoul(which + 1, NULL, 10) == list[i];
        if (!found && p11->C_GetTokenInfo(list[i], &info) == CKR_OK)
            found = strncmp((const char *)info.label, which, strlen(which)) == 0 &&
                    info.label[strlen(which)] == ' ';
        if (!found)
            continue;
        slot = list[i];
        (void)printf("slot %lu\n", slot);
        return;
    }
    (void)printf("none\n");
}

static void count_slots(void)
{
    CK_ULONG count = 0;
    CK_RV rv = p11->C_GetSlotList(CK_FALSE, NULL, &count);
    if (rv == CKR_OK)
        (void)printf("%lu\n", count);
    else
        say(rv);
}

static void label(void)
{
    CK_TOKEN_INFO info;
    CK_RV rv = p11->C_GetTokenInfo(slot, &info);
    int len = sizeof info.label;
    while (len > 0 && info.label[len - 1] == ' ')
        len--;
    if (rv == CKR_OK)
        (void)printf("%.*s\n", len, (const char *)info.label);
    else
        say(rv);
}

static CK_RV open_session(const char *how)
{
    size_t at = 0;
    while (at < PLACES - 1 && sessions[at] != 0)
        at++;
    CK_FLAGS flags = CKF_SERIAL_SESSION | (strcmp(how, "ro") == 0 ? 0 : CKF_RW_SESSION) |
                     (strcmp(how, "async") == 0 ? CKF_ASYNC_SESSION : 0);
    CK_RV rv = p11->C_OpenSession(slot, flags, NULL, NULL, &sessions[at]);
    if (rv == CKR_OK)
        place = at;
    return rv;
}

static void login(const char *who, char *pin)
{
    CK_USER_TYPE user = strcmp(who, "so") == 0     ? CKU_SO
                        : strcmp(who, "user") == 0 ? CKU_USER
                                                   : CKU_CONTEXT_SPECIFIC;
    say(p11->C_Login(now(), user, (CK_UTF8CHAR *)pin, strlen(pin)));
}

static void init_token(char *pin, const char *label)
{
    CK_UTF8CHAR padded[32];
    memset(padded, ' ', sizeof padded);
    memcpy(padded, label, strlen(label) < sizeof padded ? strlen(label) : sizeof padded);
    say(p11->C_InitToken(slot, (CK_UTF8CHAR *)pin, strlen(pin), padded));
}

static void flags(void)
{
    static const struct {
        CK_FLAGS flag;
        const char *name;
    } names[] = {{CKF_USER_PIN_COUNT_LOW, " user-low"}, {CKF_USER_PIN_FINAL_TRY, " user-final"},
        {CKF_USER_PIN_LOCKED, " user-locked"}, {CKF_SO_PIN_COUNT_LOW, " so-low"},
        {CKF_SO_PIN_FINAL_TRY, " so-final"}, {CKF_SO_PIN_LOCKED, " so-locked"}};
    CK_TOKEN_INFO info;
    CK_RV rv = p11->C_GetTokenInfo(slot, &info);
    (void)printf("flags");
    for (size_t i = 0; rv == CKR_OK && i < sizeof names / sizeof names[0]; i++)
        if (info.flags & names[i].flag)
            (void)printf("%s", names[i].name);
    (void)printf(rv == CKR_OK ? "\n" : " 0x%lx\n", rv);
}

/* --- objects --- */

typedef struct {
    CK_ATTRIBUTE all[16];
    CK_ULONG count;
    CK_ULONG uses;
    CK_DATE start;
    CK_DATE end;
    CK_MECHANISM_TYPE only;
    CK_BYTE token;
} template;

static void add(template *t, CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG len)
{
    t->all[t->count++] = (CK_ATTRIBUTE){type, value, len};
}

/* ARGUMENTS: LABEL token|session [LIMIT VALUE]... */
static void fill_template(template *t, char **arguments, size_t count)
{
    memset(t, 0, sizeof *t);
    t->token = strcmp(arguments[1], "token") == 0 ? CK_TRUE : CK_FALSE;
    add(t, CKA_LABEL, arguments[0], strlen(arguments[0]));
    add(t, CKA_TOKEN, &t->token, 1);
    for (size_t i = 2; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "uses") == 0) {
            t->uses = strtoul(arguments[i + 1], NULL, 10);
            add(t, CKA_LEASEHOLD_USES, &t->uses, sizeof t->uses);
        } else if (strcmp(arguments[i], "start") == 0 && strlen(arguments[i + 1]) == 8) {
            memcpy(&t->start, arguments[i + 1], 8);
            add(t, CKA_START_DATE, &t->start, 8);
        } else if (strcmp(arguments[i], "end") == 0 && strlen(arguments[i + 1]) == 8) {
            memcpy(&t->end, arguments[i + 1], 8);
            add(t, CKA_END_DATE, &t->end, 8);
        } else if (strcmp(arguments[i], "only") == 0) {
            t->only = CKM_ECDSA;
            add(t, CKA_ALLOWED_MECHANISMS, &t->only, sizeof t->only);
        }
    }
}

static void make_pair(char **arguments, size_t count)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    template t;
    fill_template(&t, arguments, count);
    add(&t, CKA_SIGN, &yes, 1);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256},
        {CKA_LABEL, arguments[0], strlen(arguments[0])}, {CKA_TOKEN, &t.token, 1}, {CKA_VERIFY, &yes, 1}};
    say_object(p11->C_GenerateKeyPair(now(), &mechanism, public, 4, t.all, t.count, &public_key, &object));
}

static void make_key(char **arguments, size_t count)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    template t;
    fill_template(&t, arguments, count);
    add(&t, CKA_VALUE_LEN, &len, sizeof len);
    add(&t, CKA_ENCRYPT, &yes, 1);
    say_object(p11->C_GenerateKey(now(), &mechanism, t.all, t.count, &object));
}

static CK_RV make_data(char *label, const char *where, unsigned long len)
{
    static CK_BYTE bytes[65536];
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BYTE token = strcmp(where, "token") == 0 ? CK_TRUE : CK_FALSE;
    CK_ATTRIBUTE all[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)},
        {CKA_TOKEN, &token, 1}, {CKA_VALUE, bytes, len < sizeof bytes ? len : sizeof bytes}};
    return p11->C_CreateObject(now(), all, 4, &object);
}

static CK_RV find_one(char *label, CK_OBJECT_CLASS *class, CK_OBJECT_HANDLE *ret)
{
    CK_ATTRIBUTE all[] = {{CKA_LABEL, label, strlen(label)}, {CKA_CLASS, class, sizeof *class}};
    CK_ULONG count = 0;
    *ret = 0;
    CK_RV rv = p11->C_FindObjectsInit(now(), all, class ? 2 : 1);
    if (rv == CKR_OK)
        rv = p11->C_FindObjects(now(), ret, 1, &count);
    if (rv == CKR_OK)
        rv = p11->C_FindObjectsFinal(now());
    if (rv == CKR_OK && count == 0)
        *ret = 0;
    return rv;
}

static void find(char *label)
{
    CK_OBJECT_CLASS private = CKO_PRIVATE_KEY;
    CK_OBJECT_CLASS public = CKO_PUBLIC_KEY;
    CK_RV rv = find_one(label, &private, &object);
    if (rv == CKR_OK && object != 0)
        rv = find_one(label, &public, &public_key);
    else if (rv == CKR_OK)
        rv = find_one(label, NULL, &object);
    if (rv == CKR_OK && object == 0)
        (void)printf("none\n");
    else
        say_object(rv);
}

static void count_objects(void)
{
    CK_OBJECT_HANDLE some[64];
    CK_ULONG total = 0;
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(now(), NULL, 0);
    do
        rv = rv == CKR_OK ? p11->C_FindObjects(now(), some, 64, &count) : rv;
    while (rv == CKR_OK && count > 0 && (total += count));
    if (rv == CKR_OK)
        rv = p11->C_FindObjectsFinal(now());
    if (rv == CKR_OK)
        (void)printf("%lu\n", total);
    else
        say(rv);
}

static CK_RV sign(const char *how)
{
    CK_MECHANISM mechanism = {strcmp(how, "ecdsa-sha256") == 0 ? CKM_ECDSA_SHA256 : CKM_ECDSA, NULL, 0};
    CK_BYTE data[32] = {1, 2, 3};
    CK_BYTE signature[256];
    CK_ULONG len = sizeof signature;
    CK_RV rv = p11->C_SignInit(now(), &mechanism, object);
    if (rv == CKR_OK)
        rv = p11->C_Sign(now(), data, sizeof data, signature, &len);
    if (rv != CKR_OK || public_key == 0)
        return rv;
    rv = p11->C_VerifyInit(now(), &mechanism, public_key);
    return rv == CKR_OK ? p11->C_Verify(now(), data, sizeof data, signature, len) : rv;
}

static void burn(unsigned long count)
{
    unsigned long done = 0;
    CK_RV rv = CKR_OK;
    public_key = 0;
    while (done < count && (rv = sign("")) == CKR_OK)
        done++;
    (void)printf("%lu %s\n", done, name_of(rv));
}

static void remaining(void)
{
    CK_ULONG value = 0;
    CK_ATTRIBUTE a = {CKA_LEASEHOLD_REMAINING_USES, &value, sizeof value};
    CK_RV rv = p11->C_GetAttributeValue(now(), object, &a, 1);
    if (rv == CKR_OK)
        (void)printf("%lu\n", value);
    else
        say(rv);
}

static void encrypt_part(const char *step)
{
    CK_AES_CTR_PARAMS params = {128, {0}};
    CK_MECHANISM mechanism = {CKM_AES_CTR, &params, sizeof params};
    CK_BYTE data[64] = {0};
    CK_BYTE out[128];
    CK_ULONG len = sizeof out;
    if (step[0] == 'b')
        say(p11->C_EncryptInit(now(), &mechanism, object));
    else if (step[0] == 'u')
        say(p11->C_EncryptUpdate(now(), data, sizeof data, out, &len));
    else
        say(p11->C_EncryptFinal(now(), out, &len));
}

static void guess(CK_OBJECT_HANDLE handle)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE data[32] = {1};
    CK_BYTE bytes[256];
    CK_ULONG len = sizeof bytes;
    CK_ATTRIBUTE label = {CKA_LABEL, bytes, sizeof bytes};
    (void)printf("%s/", name_of(p11->C_GetAttributeValue(now(), handle, &label, 1)));
    CK_RV rv = p11->C_SignInit(now(), &mechanism, handle);
    if (rv == CKR_OK)
        rv = p11->C_Sign(now(), data, sizeof data, bytes, &len);
    (void)printf("%s/", name_of(rv));
    say(p11->C_DestroyObject(now(), handle));
}

/* --- to the limits --- */

static void fill(char *where, unsigned long len)
{
    unsigned long done = 0;
    char label[] = "fill";
    CK_RV rv;
    while ((rv = make_data(label, where, len)) == CKR_OK)
        done++;
    (void)printf("%lu %s\n", done, name_of(rv));
}

static void make_many(unsigned long count, const char *prefix)
{
    unsigned long done = 0;
    char label[128];
    for (; done < count; done++) {
        (void)snprintf(label, sizeof label, "%s-%lu", prefix, done);
        if (make_data(label, "token", 10) != CKR_OK)
            break;
    }
    (void)printf("%lu\n", done);
}

static void search_many(unsigned long count, const char *prefix)
{
    unsigned long done = 0;
    char label[128];
    for (unsigned long i = 0; i < count; i++) {
        CK_OBJECT_HANDLE handle = 0;
        (void)snprintf(label, sizeof label, "%s-%lu", prefix, i);
        if (find_one(label, NULL, &handle) == CKR_OK && handle != 0)
            done++;
    }
    (void)printf("%lu\n", done);
}

static void fill_sessions(void)
{
    unsigned long done = 0;
    CK_RV rv;
    while ((rv = open_session("rw")) == CKR_OK)
        done++;
    (void)printf("%lu %s\n", done, name_of(rv));
}

/* --- commands --- */

static bool obey_async(const char *word, const char *argument)
{
    CK_UTF8CHAR function[] = "C_InitPIN";
    CK_ULONG id = 0;
    if (strcmp(word, "asyncjoin") == 0) {
        say(newer->C_AsyncJoin(now(), function, strtoul(argument, NULL, 10), NULL, 0));
    } else if (strcmp(word, "complete") == 0) {
        CK_ASYNC_DATA result = {0};
        say(newer->C_AsyncComplete(now(), function, &result));
    } else if (strcmp(word, "asyncid") == 0) {
        CK_RV rv = newer->C_AsyncGetID(now(), function, &id);
        if (rv == CKR_OK)
            (void)printf("id %lu\n", id);
        else
            say(rv);
    } else {
        return false;
    }
    return true;
}

static bool obey_session(const char *word, char **a)
{
    if (strcmp(word, "slot") == 0)
        choose_slot(a[0]);
    else if (strcmp(word, "slots") == 0)
        count_slots();
    else if (strcmp(word, "label") == 0)
        label();
    else if (strcmp(word, "open") == 0)
        say(open_session(a[0]));
    else if (strcmp(word, "on") == 0)
        (void)printf("on %zu\n", place = strtoul(a[0], NULL, 10) % PLACES);
    else if (strcmp(word, "close") == 0)
        say(p11->C_CloseSession(now())), sessions[place] = 0;
    else if (strcmp(word, "closeall") == 0)
        say(p11->C_CloseAllSessions(slot)), memset(sessions, 0, sizeof sessions);
    else if (strcmp(word, "login") == 0)
        login(a[0], a[1]);
    else if (strcmp(word, "logout") == 0)
        say(p11->C_Logout(now()));
    else if (strcmp(word, "inittoken") == 0)
        init_token(a[0], a[1]);
    else if (strcmp(word, "initpin") == 0)
        say(p11->C_InitPIN(now(), (CK_UTF8CHAR *)a[0], strlen(a[0])));
    else if (strcmp(word, "setpin") == 0)
        say(p11->C_SetPIN(now(), (CK_UTF8CHAR *)a[0], strlen(a[0]), (CK_UTF8CHAR *)a[1], strlen(a[1])));
    else if (strcmp(word, "flags") == 0)
        flags();
    else if (strcmp(word, "initialize") == 0)
        say(p11->C_Initialize(NULL));
    else if (strcmp(word, "finalize") == 0)
        say(p11->C_Finalize(NULL)), memset(sessions, 0, sizeof sessions);
    else
        return false;
    return true;
}

static bool obey_object(const char *word, char **a, size_t count)
{
    if (strcmp(word, "pair") == 0)
        make_pair(a, count);
    else if (strcmp(word, "key") == 0)
        make_key(a, count);
    else if (strcmp(word, "data") == 0)
        say_object(make_data(a[0], a[1], strtoul(a[2], NULL, 10)));
    else if (strcmp(word, "find") == 0)
        find(a[0]);
    else if (strcmp(word, "use") == 0)
        (void)printf("object %lu\n", object = strtoul(a[0], NULL, 10)), public_key = 0;
    else if (strcmp(word, "destroy") == 0)
        say(p11->C_DestroyObject(now(), object));
    else if (strcmp(word, "count") == 0)
        count_objects();
    else if (strcmp(word, "remaining") == 0)
        remaining();
    else if (strcmp(word, "sign") == 0)
        say(sign(a[0]));
    else if (strcmp(word, "burn") == 0)
        burn(strtoul(a[0], NULL, 10));
    else if (strcmp(word, "begin") == 0 || strcmp(word, "update") == 0 || strcmp(word, "end") == 0)
        encrypt_part(word);
    else if (strcmp(word, "guess") == 0)
        guess(strtoul(a[0], NULL, 10));
    else if (strcmp(word, "fill") == 0)
        fill(a[0], strtoul(a[1], NULL, 10));
    else if (strcmp(word, "many") == 0)
        make_many(strtoul(a[0], NULL, 10), a[1]);
    else if (strcmp(word, "search") == 0)
        search_many(strtoul(a[0], NULL, 10), a[1]);
    else if (strcmp(word, "sessions") == 0)
        fill_sessions();
    else
        return false;
    return true;
}

static bool load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetInterface get = NULL;
    void *symbol = library ? dlsym(library, "C_GetInterface") : NULL;
    CK_INTERFACE *interface = NULL;
    CK_VERSION version = {3, 2};
    CK_UTF8CHAR name[] = "PKCS 11";
    if (!symbol)
        return false;
    memcpy(&get, &symbol, sizeof get);
    if (get(name, &version, &interface, 0) != CKR_OK)
        return false;
    newer = interface->pFunctionList;
    CK_C_GetFunctionList old = NULL;
    symbol = dlsym(library, "C_GetFunctionList");
    memcpy(&old, &symbol, sizeof old);
    return old(&p11) == CKR_OK && p11->C_Initialize(NULL) == CKR_OK;
}

int main(int argc, char **argv)
{
    if (argc != 2 || !load(argv[1])) {
        (void)fprintf(stderr, "usage: token MODULE\n");
        return 125;
    }
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char nothing[] = "";
        char *arguments[ARGUMENTS];
        size_t count = 0;
        char *rest = NULL;
        const char *word = strtok_r(line, " \n", &rest);
        for (size_t i = 0; i < ARGUMENTS; i++)
            if ((arguments[i] = strtok_r(NULL, " \n", &rest)))
                count++;
            else
                arguments[i] = nothing;
        if (word && !obey_session(word, arguments) && !obey_object(word, arguments, count) &&
            !obey_async(word, arguments[0])) {
            (void)printf("token: no command %s\n", word);
            return 125;
        }
        (void)fflush(stdout);
    }
    return 0;
}
