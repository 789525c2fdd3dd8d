/* An application that a test leads by the hand: commands come as lines on standard input, each answered by
 * one line.
 *
 *   find ROLE        the private or secret key of a role becomes the key: "key HANDLE ID", or "none"
 *   public ROLE      its public key becomes the one to verify with
 *   use HANDLE       this handle becomes the key
 *   sign [MECHANISM] with the key (ecdsa, ecdsa-sha256, hmac): CKR_…; a signature replaces the last one
 *   verify           the last signature with the public key: CKR_…
 *   point            CKA_EC_POINT of the public key: its bytes, or CKR_…
 *   lease            the lease's id of the key: its bytes, "-" where there is none, or CKR_…
 *   remaining        its remaining uses
 *   load MODULE      another copy of the module, with a connection of its own; goes on with that one
 *   first            goes on with the first one
 *   burn N           sign N times: how many were CKR_OK, and what ended it
 *
 * usage: session MODULE */
#include "pkcs11_client.h"

#include <leasehold/leasehold.h>
#include <stdbool.h>
#include <time.h>

static client clients[2];
static client *now = &clients[0];
static CK_OBJECT_HANDLE key;
static CK_OBJECT_HANDLE public_key;
static unsigned char signature[256];
static CK_ULONG signature_len;
static CK_MECHANISM_TYPE mechanism = CKM_ECDSA;

static void print_bytes(const unsigned char *bytes, CK_ULONG len)
{
    for (CK_ULONG i = 0; i < len; i++)
        (void)printf("%02x", bytes[i]);
    (void)printf(len == 0 ? "-\n" : "\n");
}

static void attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    unsigned char value[512];
    CK_ATTRIBUTE a = {type, value, sizeof value};
    CK_RV rv = now->f->C_GetAttributeValue(now->session, object, &a, 1);
    if (rv != CKR_OK)
        (void)printf("%s\n", client_name(rv));
    else
        print_bytes(value, a.ulValueLen);
}

static void find(const char *role)
{
    CK_RV rv = client_find(now, role, CKO_PRIVATE_KEY, &key);
    if (rv == CKR_OK && key == 0)
        rv = client_find(now, role, CKO_SECRET_KEY, &key);
    if (rv != CKR_OK) {
        (void)printf("%s\n", client_name(rv));
    } else if (key == 0) {
        (void)printf("none\n");
    } else {
        (void)printf("key %lu ", key);
        attribute(key, CKA_ID);
    }
}

static void find_public(const char *role)
{
    CK_RV rv = client_find(now, role, CKO_PUBLIC_KEY, &public_key);
    (void)printf(rv == CKR_OK && public_key != 0 ? "key %lu\n" : "none\n", public_key);
}

static CK_RV sign_once(void)
{
    unsigned char made[sizeof signature];
    CK_ULONG len = sizeof made;
    CK_RV rv = client_sign(now, key, mechanism, made, &len);
    if (rv == CKR_OK) {
        memcpy(signature, made, len);
        signature_len = len;
    }
    return rv;
}

static void sign(const char *name)
{
    if (*name)
        mechanism = strcmp(name, "hmac") == 0           ? CKM_SHA256_HMAC
                    : strcmp(name, "ecdsa-sha256") == 0 ? CKM_ECDSA_SHA256
                                                        : CKM_ECDSA;
    (void)printf("%s\n", client_name(sign_once()));
}

static void verify(void)
{
    CK_MECHANISM with = {mechanism, NULL, 0};
    CK_RV rv = now->f->C_VerifyInit(now->session, &with, public_key);
    if (rv == CKR_OK)
        rv = now->f->C_Verify(now->session, CLIENT_DATA, CLIENT_DATA_LEN, signature, signature_len);
    (void)printf("%s\n", client_name(rv));
}

static void remaining(void)
{
    CK_ULONG value = 0;
    CK_ATTRIBUTE a = {CKA_LEASEHOLD_REMAINING_USES, &value, sizeof value};
    CK_RV rv = now->f->C_GetAttributeValue(now->session, key, &a, 1);
    if (rv != CKR_OK)
        (void)printf("%s\n", client_name(rv));
    else if (value == CK_UNAVAILABLE_INFORMATION)
        (void)printf("-\n");
    else
        (void)printf("%lu\n", value);
}

static void burn(int count)
{
    int done = 0;
    CK_RV rv = CKR_OK;
    while (done < count && (rv = sign_once()) == CKR_OK)
        done++;
    (void)printf("%d %s\n", done, client_name(rv));
}

/* Sign without a pause for so many seconds. */
static void hammer(int seconds)
{
    int done = 0;
    CK_RV rv = CKR_OK;
    for (time_t end = time(NULL) + seconds; time(NULL) < end && (rv = sign_once()) == CKR_OK;)
        done++;
    (void)printf("%s %s\n", done > 0 ? "signed" : "none", client_name(rv));
}

static bool obey(const char *word, const char *argument)
{
    if (strcmp(word, "find") == 0)
        find(argument);
    else if (strcmp(word, "public") == 0)
        find_public(argument);
    else if (strcmp(word, "use") == 0)
        (void)printf("key %lu\n", key = strtoul(argument, NULL, 10));
    else if (strcmp(word, "sign") == 0)
        sign(argument);
    else if (strcmp(word, "verify") == 0)
        verify();
    else if (strcmp(word, "point") == 0)
        attribute(public_key, CKA_EC_POINT);
    else if (strcmp(word, "lease") == 0)
        attribute(key, CKA_LEASEHOLD_LEASE_ID);
    else if (strcmp(word, "remaining") == 0)
        remaining();
    else if (strcmp(word, "burn") == 0)
        burn(atoi(argument));
    else if (strcmp(word, "hammer") == 0)
        hammer(atoi(argument));
    else if (strcmp(word, "load") == 0)
        client_load(now = &clients[1], argument), (void)printf("loaded\n");
    else if (strcmp(word, "first") == 0)
        now = &clients[0], (void)printf("first\n");
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: session MODULE\n");
        return 125;
    }
    client_load(now, argv[1]);
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        char word[32] = "";
        char argument[400] = "";
        if (sscanf(line, "%31s %399s", word, argument) < 1)
            continue;
        if (!obey(word, argument)) {
            (void)fprintf(stderr, "session: no command %s\n", word);
            return 125;
        }
        (void)fflush(stdout);
    }
    return 0;
}
