/* Threads of one process on one token: each signs and verifies, makes, finds and destroys, in a session of
 * its own or in one that several share, for so many seconds.
 *
 * usage: threads MODULE TOKEN PIN KEY THREADS SECONDS. KEY: a P-256 pair that everybody signs with; PIN "-":
 * a token that wants none, on which nothing is made. Prints "calls N" and how many of each kind; exit status
 * 1 for any answer that is wrong. In a shared session what is said is only that each answer is one that the
 * state can give: another thread's operation may be under way (CKR_OPERATION_ACTIVE), or may have ended ours.
 */
#include "pkcs11_client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define SHARED 2 /* sessions that every second thread takes turns in */
#define MANY 64

static client c;
static CK_OBJECT_HANDLE key;
static CK_OBJECT_HANDLE public_key;
static CK_SESSION_HANDLE shared[SHARED];
static CK_SLOT_ID slot;
static bool makes;
static time_t end;
static atomic_ulong signed_, found, made, digested, collisions, wrong;

static void bad(const char *what, CK_RV rv)
{
    (void)printf("%s: %s\n", what, client_name(rv));
    atomic_fetch_add(&wrong, 1);
}

/* Of a shared session. */
static bool collides(CK_RV rv)
{
    bool yes = rv == CKR_OPERATION_ACTIVE || rv == CKR_OPERATION_NOT_INITIALIZED;
    if (yes)
        atomic_fetch_add(&collisions, 1);
    return yes;
}

static void sign_and_verify(
    CK_SESSION_HANDLE session, CK_OBJECT_HANDLE private, CK_OBJECT_HANDLE public, unsigned turn)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    unsigned char data[32] = {(unsigned char)turn, (unsigned char)session};
    unsigned char signature[64];
    CK_ULONG len = sizeof signature;
    CK_RV rv = c.f->C_SignInit(session, &mechanism, private);
    if (rv == CKR_OK)
        rv = c.f->C_Sign(session, data, sizeof data, signature, &len);
    if (rv == CKR_OK)
        rv = c.f->C_VerifyInit(session, &mechanism, public);
    if (rv == CKR_OK)
        rv = c.f->C_Verify(session, data, sizeof data, signature, len);
    if (rv != CKR_OK) {
        bad("sign and verify", rv);
        return;
    }
    data[5] ^= 1;
    rv = c.f->C_VerifyInit(session, &mechanism, public);
    if (rv == CKR_OK)
        rv = c.f->C_Verify(session, data, sizeof data, signature, len);
    if (rv != CKR_SIGNATURE_INVALID)
        bad("verify of other data", rv);
    atomic_fetch_add(&signed_, 1);
}

static void find(CK_SESSION_HANDLE session, char *label, CK_ULONG expected)
{
    CK_ATTRIBUTE template = {CKA_LABEL, label, strlen(label)};
    CK_OBJECT_HANDLE handles[MANY];
    CK_ULONG count = 0;
    CK_RV rv = c.f->C_FindObjectsInit(session, &template, 1);
    if (rv == CKR_OK)
        rv = c.f->C_FindObjects(session, handles, MANY, &count);
    if (rv == CKR_OK)
        rv = c.f->C_FindObjectsFinal(session);
    if (rv != CKR_OK)
        bad("find", rv);
    else if (count != expected)
        bad("find: how many", count);
    atomic_fetch_add(&found, 1);
}

/* A pair is made, found, used and destroyed, and then it is gone. */
static void make(CK_SESSION_HANDLE session, unsigned thread, unsigned turn)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BYTE yes = CK_TRUE;
    CK_BYTE token = turn % 8 == 0;
    char label[32];
    (void)snprintf(label, sizeof label, "t%u-%u", thread, turn);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_LABEL, label, strlen(label)},
        {CKA_VERIFY, &yes, 1}, {CKA_TOKEN, &token, 1}};
    CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, 1}, {CKA_LABEL, label, strlen(label)}, {CKA_TOKEN, &token, 1}};
    CK_OBJECT_HANDLE handles[2];
    CK_RV rv = c.f->C_GenerateKeyPair(session, &mechanism, public, 4, private, 3, &handles[0], &handles[1]);
    if (rv != CKR_OK) {
        bad("generate", rv);
        return;
    }
    find(session, label, 2);
    sign_and_verify(session, handles[1], handles[0], turn);
    for (int i = 0; i < 2; i++)
        if ((rv = c.f->C_DestroyObject(session, handles[i])) != CKR_OK)
            bad("destroy", rv);
    find(session, label, 0);
    if ((rv = c.f->C_SignInit(session, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, handles[1])) == CKR_OK) {
        unsigned char signature[64];
        CK_ULONG len = sizeof signature;
        rv = c.f->C_Sign(session, signature, 32, signature, &len);
    }
    if (rv != CKR_KEY_HANDLE_INVALID)
        bad("a destroyed key", rv);
    atomic_fetch_add(&made, 1);
}

/* In parts, with a session that nobody else has: what other threads do does not get into it. */
static void digest(CK_SESSION_HANDLE session)
{
    static const unsigned char expected[4] = {0xba, 0x78, 0x16, 0xbf}; /* of SHA-256("abc") */
    CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
    unsigned char out[32];
    CK_ULONG len = sizeof out;
    CK_RV rv = c.f->C_DigestInit(session, &mechanism);
    for (int i = 0; rv == CKR_OK && i < 3; i++) {
        unsigned char letter = (unsigned char)("abc"[i]);
        rv = c.f->C_DigestUpdate(session, &letter, 1);
    }
    if (rv == CKR_OK)
        rv = c.f->C_DigestFinal(session, out, &len);
    if (rv != CKR_OK || memcmp(out, expected, 4) != 0)
        bad("digest", rv);
    atomic_fetch_add(&digested, 1);
}

static void in_shared(CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    unsigned char signature[64];
    CK_ULONG len = sizeof signature;
    CK_RV rv = c.f->C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = c.f->C_Sign(session, CLIENT_DATA, CLIENT_DATA_LEN, signature, &len);
    if (rv == CKR_OK)
        atomic_fetch_add(&signed_, 1);
    else if (!collides(rv))
        bad("shared sign", rv);
    CK_OBJECT_HANDLE handles[MANY];
    CK_ULONG count = 0;
    rv = c.f->C_FindObjectsInit(session, NULL, 0);
    if (rv == CKR_OK)
        rv = c.f->C_FindObjects(session, handles, MANY, &count);
    if (rv == CKR_OK)
        rv = c.f->C_FindObjectsFinal(session);
    if (rv != CKR_OK && !collides(rv))
        bad("shared find", rv);
}

static void *work(void *arg)
{
    const unsigned thread = *(unsigned *)arg;
    CK_SESSION_HANDLE session = 0;
    CK_RV rv = c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK) {
        bad("open", rv);
        return NULL;
    }
    for (unsigned turn = 0; time(NULL) < end; turn++) {
        if (thread % 2 == 1) {
            in_shared(shared[turn % SHARED]);
            continue;
        }
        sign_and_verify(session, key, public_key, turn);
        digest(session);
        if (makes)
            make(session, thread, turn);
        if (turn % 16 == 15) { /* sessions come and go, too */
            (void)c.f->C_CloseSession(session);
            if ((rv = c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session)) !=
                CKR_OK)
                bad("open again", rv);
        }
    }
    return NULL;
}

static void enter(const char *label, char *pin)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    client_check("C_GetSlotList", c.f->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (c.f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, label, strlen(label)) == 0)
            slot = slots[i];
    }
    for (size_t i = 0; i < SHARED; i++)
        client_check("C_OpenSession",
            c.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &shared[i]));
    c.session = shared[0];
    if (strcmp(pin, "-") != 0)
        client_check("C_Login", c.f->C_Login(c.session, CKU_USER, (unsigned char *)pin, strlen(pin)));
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 125;
    client_load(&c, argv[1]);
    makes = strcmp(argv[3], "-") != 0;
    enter(argv[2], argv[3]);
    client_check("find", client_find(&c, argv[4], CKO_PRIVATE_KEY, &key));
    client_check("find", client_find(&c, argv[4], CKO_PUBLIC_KEY, &public_key));
    unsigned count = (unsigned)strtoul(argv[5], NULL, 10);
    pthread_t threads[64];
    unsigned numbers[64];
    end = time(NULL) + strtol(argv[6], NULL, 10);
    for (unsigned i = 0; i < count && i < 64; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0)
            return 125;
    }
    for (unsigned i = 0; i < count && i < 64; i++)
        (void)pthread_join(threads[i], NULL);
    (void)printf("signed %lu, found %lu, made %lu, digested %lu, met %lu, wrong %lu\n", signed_, found, made,
        digested, collisions, wrong);
    return wrong == 0 && signed_ > 0 && (!makes || made > 0) ? 0 : 1;
}
