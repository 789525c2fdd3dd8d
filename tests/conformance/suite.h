/* A conformance suite for PKCS#11 tokens: it is given a module and an initialised token of it, and knows
 * nothing else of them, so that the same cases judge any token. Each case runs in a process of its own.
 *
 * A case ends at its first CHECK that does not hold. `covers` names the functions and mechanisms that it
 * shows.
 */
#ifndef LH_CONFORMANCE_SUITE_H
#define LH_CONFORMANCE_SUITE_H

#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    CK_FUNCTION_LIST *f;
    void *library;
    const char *module;
    const char *label;  /* of the token under test */
    const char *so_pin; /* its security officer's */
    const char *pin;    /* its user's */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session; /* read-write, the user logged in, where the case wants one */
    char why[400];
    jmp_buf out;
} suite;

enum {
    CASE_BARE = 1,    /* C_Initialize has not been called */
    CASE_NO_LOGIN = 2 /* initialised, slot found, no session */
};

typedef struct {
    const char *name;   /* "session.login-twice" */
    const char *covers; /* "C_Login C_Logout CKM_ECDSA", separated by blanks */
    unsigned flags;
    void (*run)(suite *s);
} conformance_case;

enum { RESULT_OK = 0, RESULT_FAILED = 1, RESULT_ABSENT = 2 };

/* End the case. */
void suite_fail(suite *s, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), noreturn));
void suite_absent(suite *s, const char *what) __attribute__((noreturn));
const char *suite_rv_name(CK_RV rv);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            suite_fail(s, __FILE__, __LINE__, "not so: %s", #condition);                                     \
    } while (0)
#define IS(expected, call)                                                                                   \
    do {                                                                                                     \
        CK_RV is_rv = (call);                                                                                \
        if (is_rv != (expected))                                                                             \
            suite_fail(s, __FILE__, __LINE__, "%s: %s, not %s", #call, suite_rv_name(is_rv), #expected);     \
    } while (0)
#define OK(call) IS(CKR_OK, call)
/* One of two answers, where the specification leaves the choice. */
#define IS_EITHER(one, other, call)                                                                          \
    do {                                                                                                     \
        CK_RV is_rv = (call);                                                                                \
        if (is_rv != (one) && is_rv != (other))                                                              \
            suite_fail(s, __FILE__, __LINE__, "%s: %s, neither %s nor %s", #call, suite_rv_name(is_rv),      \
                #one, #other);                                                                               \
    } while (0)
#define REFUSED(call)                                                                                        \
    do {                                                                                                     \
        if ((call) == CKR_OK)                                                                                \
            suite_fail(s, __FILE__, __LINE__, "%s: it was allowed", #call);                                  \
    } while (0)

/* --- helpers: suite.c --- */

void suite_initialize(suite *s);
CK_SLOT_ID suite_find_slot(suite *s, const char *label);
CK_SESSION_HANDLE suite_open(suite *s, CK_FLAGS flags);
void suite_login(suite *s, CK_SESSION_HANDLE session);
/* True where the token offers it with those flags. */
bool suite_offers(suite *s, CK_MECHANISM_TYPE type, CK_FLAGS flags, CK_MECHANISM_INFO *ret);
void suite_needs(suite *s, CK_MECHANISM_TYPE type, CK_FLAGS flags);
/* A second handle to the 3.x functions; NULL where the module has no such interface. */
CK_FUNCTION_LIST_3_0 *suite_v30(suite *s);
CK_FUNCTION_LIST_3_2 *suite_v32(suite *s);

/* --- objects and keys: keys.c. Session objects unless token is set --- */

typedef struct {
    CK_OBJECT_HANDLE public_key;
    CK_OBJECT_HANDLE private_key;
} pair;

pair keys_rsa(suite *s, CK_ULONG bits);
pair keys_ec(suite *s, const char *curve);         /* "P-256", "P-384", "P-521", "secp256k1" */
pair keys_edwards(suite *s, const char *curve);    /* "Ed25519", "Ed448" */
pair keys_montgomery(suite *s, const char *curve); /* "X25519", "X448" */
CK_OBJECT_HANDLE keys_aes(suite *s, CK_ULONG len);
CK_OBJECT_HANDLE keys_secret(suite *s, CK_KEY_TYPE type, const void *value, size_t len);
CK_OBJECT_HANDLE keys_generic(suite *s, CK_ULONG len);
/* Not sensitive, extractable, usable for all that a secret of that type is for. */
const unsigned char *keys_curve(const char *curve, size_t *ret_len);

size_t attribute_bytes(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *out, size_t size);
CK_ULONG attribute_ulong(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
bool attribute_bool(suite *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
/* How many objects a search finds; the first of them. */
CK_ULONG find_count(suite *s, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *ret_first);

/* --- the cases, by file; each ends with a NULL name --- */

extern const conformance_case cases_general[];
extern const conformance_case cases_session[];
extern const conformance_case cases_pin[];
extern const conformance_case cases_object[];
extern const conformance_case cases_attribute[];
extern const conformance_case cases_sign[];
extern const conformance_case cases_mac[];
extern const conformance_case cases_cipher[];
extern const conformance_case cases_digest[];
extern const conformance_case cases_key[];
extern const conformance_case cases_derive[];
extern const conformance_case cases_attack[];
extern const conformance_case cases_hostile[];
extern const conformance_case cases_v3[];

#define ATTR(type_, value_)                                                                                  \
    {                                                                                                        \
        (type_), &(value_), sizeof(value_)                                                                   \
    }

#endif
