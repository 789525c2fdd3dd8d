#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local lh_err_detail last_error;

lh_err lh_err_raise(enum lh_code code, int64_t foreign, const char *file, int line, const char *reason,
    const char *message, ...)
{
    /* Built aside: reason and arguments may point into the previous detail. */
    lh_err_detail next = {.code = code, .foreign = foreign, .file = file, .line = line};
    if (reason)
        snprintf(next.reason, sizeof(next.reason), "%s", reason);
    if (message) {
        va_list args;
        va_start(args, message);
        vsnprintf(next.message, sizeof(next.message), message, args);
        va_end(args);
    }
    last_error = next;
    return (lh_err){code};
}

const lh_err_detail *lh_err_last(void)
{
    return &last_error;
}

static const struct {
    const char *name;
    const char *text;
} codes[LH_CODE_COUNT] = {
    [LH_OK] = {"ok", "no error"},
    [LH_E_NOMEM] = {"no-memory", "out of memory, or of memory that may be locked"},
    [LH_E_INVALID] = {"invalid", "malformed input"},
    [LH_E_LIMIT] = {"limit", "a limit was reached"},
    [LH_E_NOT_FOUND] = {"not-found", "no such thing"},
    [LH_E_EXISTS] = {"exists", "it exists already"},
    [LH_E_STATE] = {"state", "not possible in the present state"},
    [LH_E_DENIED] = {"denied", "refused"},
    [LH_E_EXPIRED] = {"expired", "past its time"},
    [LH_E_REPLAY] = {"replay", "used before"},
    [LH_E_QUORUM] = {"quorum", "more approvals are needed"},
    [LH_E_SIGNATURE] = {"signature", "the signature does not verify"},
    [LH_E_ATTESTATION] = {"attestation", "the evidence was refused"},
    [LH_E_CORRUPT] = {"corrupt", "data does not authenticate or parse"},
    [LH_E_ROLLBACK] = {"rollback", "stored data is older than what was anchored"},
    [LH_E_SEAL_POLICY] = {"seal-policy", "the platform is not in an approved state"},
    [LH_E_SEAL_CLEARED] = {"seal-cleared", "the TPM was cleared since the seal was made"},
    [LH_E_SEAL_OTHER_TPM] = {"seal-other-tpm", "this is not the TPM that made the seal"},
    [LH_E_TPM] = {"tpm", "the TPM failed or is not reachable"},
    [LH_E_TPM_LOCKOUT] = {"tpm-lockout", "the TPM is in dictionary-attack lockout"},
    [LH_E_STORE] = {"store", "the store failed"},
    [LH_E_FULL] = {"full", "the store's disk is full"},
    [LH_E_CRYPTO] = {"crypto", "a cryptographic operation failed"},
    [LH_E_IO] = {"io", "a system call failed"},
    [LH_E_TIMEOUT] = {"timeout", "not done in time"},
    [LH_E_PROTOCOL] = {"protocol", "the peer breaks the protocol"},
    [LH_E_GONE] = {"gone", "the peer or the lease has ended"},
    [LH_E_UNSUPPORTED] = {"unsupported", "not offered here"},
    [LH_E_INTERNAL] = {"internal", "an internal invariant does not hold"},
};

const char *lh_code_name(enum lh_code code)
{
    return (unsigned)code < LH_CODE_COUNT ? codes[code].name : "unknown";
}

const char *lh_code_text(enum lh_code code)
{
    return (unsigned)code < LH_CODE_COUNT ? codes[code].text : "unknown error";
}
