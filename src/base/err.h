/* The one error type. A struct, so that mixing it with TSS2_RC, CK_RV, SQLite's or OpenSSL's integers does
 * not compile. The code is what a caller may act on; where it came from, the foreign code, a stable reason
 * token and a sentence for a person are kept per thread until the next raise.
 */
#ifndef LH_BASE_ERR_H
#define LH_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

enum lh_code {
    LH_OK = 0,
    LH_E_NOMEM,          /* out of memory, or of lockable memory */
    LH_E_INVALID,        /* input that is malformed or makes no sense */
    LH_E_LIMIT,          /* a named limit was reached */
    LH_E_NOT_FOUND,      /* the thing named does not exist */
    LH_E_EXISTS,         /* it exists already */
    LH_E_STATE,          /* not possible in the present state (founding, sealed, ended …) */
    LH_E_DENIED,         /* refused by policy, by a hold or by permission */
    LH_E_EXPIRED,        /* past its time */
    LH_E_REPLAY,         /* used before */
    LH_E_QUORUM,         /* more approvals are needed */
    LH_E_SIGNATURE,      /* a signature does not verify, or is by nobody we know */
    LH_E_ATTESTATION,    /* evidence was refused, or the workload is not what it says */
    LH_E_CORRUPT,        /* stored or received data does not authenticate or parse */
    LH_E_ROLLBACK,       /* stored data authenticates but is older than what was anchored */
    LH_E_SEAL_POLICY,    /* the platform is not in an approved state (PCRs) */
    LH_E_SEAL_CLEARED,   /* the TPM was cleared since the seal was made */
    LH_E_SEAL_OTHER_TPM, /* this is not the TPM that the seal was made by */
    LH_E_TPM,            /* the TPM answered an error or is gone */
    LH_E_TPM_LOCKOUT,    /* the TPM is in dictionary-attack lockout */
    LH_E_STORE,          /* the store failed */
    LH_E_FULL,           /* the store's disk is full */
    LH_E_CRYPTO,         /* a cryptographic library call failed */
    LH_E_IO,             /* a system call failed */
    LH_E_TIMEOUT,        /* not done in time */
    LH_E_PROTOCOL,       /* the peer breaks the protocol */
    LH_E_GONE,           /* the peer, its process or the lease has ended */
    LH_E_UNSUPPORTED,    /* known, but not offered here */
    LH_E_INTERNAL,       /* an invariant does not hold */
    LH_CODE_COUNT
};

typedef struct {
    enum lh_code code;
} lh_err;

#define LH_MUST __attribute__((warn_unused_result))
#define LH_FORMAT(f, a) __attribute__((format(printf, f, a)))

#define LH_SUCCESS ((lh_err){LH_OK})

/* What is known of the last error raised on this thread. */
typedef struct {
    enum lh_code code;
    int64_t foreign; /* errno, TSS2_RC, SQLite's code …; 0 where none */
    const char *file;
    int line;
    char reason[64];   /* stable token such as "approval-same-person"; "" where none */
    char message[512]; /* a sentence for a person; "" where none */
} lh_err_detail;

/* Record an error and return it. message may be NULL. Used through the macros below. */
lh_err lh_err_raise(enum lh_code code, int64_t foreign, const char *file, int line, const char *reason,
    const char *message, ...) LH_FORMAT(6, 7);

/* The last error raised on this thread. Valid until the next raise on it; never NULL. */
const lh_err_detail *lh_err_last(void);

/* The name of a code ("denied"), and what it means in a few words. Static strings, never NULL. */
const char *lh_code_name(enum lh_code code);
const char *lh_code_text(enum lh_code code);

static inline bool lh_ok(lh_err err)
{
    return err.code == LH_OK;
}

/* Yields an error whose code the compiler and the analyzer can see: lh_err_raise's they could not, and would
 * take the way where it is LH_OK for possible. */
#define LH_ERR_RAISE_(code_, ...)                                                                            \
    __extension__({                                                                                          \
        const enum lh_code lh_code_ = (code_);                                                               \
        lh_err_raise(lh_code_, __VA_ARGS__);                                                                 \
        (lh_err){lh_code_};                                                                                  \
    })

/* A foreign failure: its code and the place, recorded once. */
#define LH_RAISE(code, foreign) LH_ERR_RAISE_(code, (int64_t)(foreign), __FILE__, __LINE__, NULL, NULL)
/* The same with a message: what failed, on what, why, what to do. */
#define LH_FAIL(code, ...) LH_ERR_RAISE_(code, 0, __FILE__, __LINE__, NULL, __VA_ARGS__)
/* A refusal with a stable reason token that tests and scripts can match. */
#define LH_REFUSE(code, reason, ...) LH_ERR_RAISE_(code, 0, __FILE__, __LINE__, (reason), __VA_ARGS__)

/* Hand an error straight up. */
#define LH_TRY(expr)                                                                                         \
    do {                                                                                                     \
        lh_err lh_try_err = (expr);                                                                          \
        if (lh_try_err.code != LH_OK)                                                                        \
            return lh_try_err;                                                                               \
    } while (0)

/* Drop an error on purpose; say why in a comment beside it. */
#define LH_IGNORE(expr)                                                                                      \
    do {                                                                                                     \
        lh_err lh_ignored_err = (expr);                                                                      \
        (void)lh_ignored_err;                                                                                \
    } while (0)

#endif
