/* An error to a return value: its reason decides where it is a return value's name (p11/answer.h), else its
 * code and what was being done. */
#include "token.h"

#include "p11/answer.h"

#define SAME(rv)                                                                                             \
    {                                                                                                        \
        (rv), (rv), (rv), (rv)                                                                               \
    }

/* The first row whose code and (where it has one) reason fit. Reasons stand here that are no return value's
 * name, or mean another one in some context. */
static const struct {
    enum lh_code code;
    const char *reason;
    CK_RV rv[LH_CONTEXT_COUNT]; /* slot, object, key, decrypt */
} rows[] = {
    {LH_OK, NULL, SAME(CKR_OK)},
    {LH_E_NOMEM, NULL, SAME(CKR_HOST_MEMORY)},
    /* The daemon's refusals of input (crypto/operation.h). */
    {LH_E_INVALID, "data-length",
        {CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE}},
    {LH_E_INVALID, "data-len-range",
        {CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE}},
    {LH_E_INVALID, NULL, SAME(CKR_FUNCTION_FAILED)},
    {LH_E_INVALID, "ciphertext-length", SAME(CKR_ENCRYPTED_DATA_LEN_RANGE)},
    {LH_E_LIMIT, NULL,
        {CKR_DEVICE_MEMORY, CKR_DEVICE_MEMORY, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE}},
    /* As many as may be connected are: nothing is wrong with the device. */
    {LH_E_LIMIT, "user-connections", SAME(CKR_HOST_MEMORY)},
    {LH_E_LIMIT, "connections", SAME(CKR_HOST_MEMORY)},
    {LH_E_NOT_FOUND, "no-operation", SAME(CKR_DEVICE_ERROR)},
    {LH_E_NOT_FOUND, NULL,
        {CKR_FUNCTION_FAILED, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID}},
    /* A key whose lease has ended is gone for ever; a connection comes back. */
    {LH_E_GONE, "lease-ended",
        {CKR_FUNCTION_FAILED, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID}},
    {LH_E_GONE, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_STATE, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED}},
    /* Not let through to the daemon at all … */
    {LH_E_DENIED, "server-uid",
        {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_DENIED, "socket-permission",
        {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    /* … or refused by policy, attestation, a hold or a missing quorum. */
    {LH_E_DENIED, NULL,
        {CKR_TOKEN_NOT_PRESENT, CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED}},
    {LH_E_ATTESTATION, NULL,
        {CKR_TOKEN_NOT_PRESENT, CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED}},
    {LH_E_EXPIRED, NULL, SAME(CKR_ACTION_PROHIBITED)},
    {LH_E_QUORUM, NULL, SAME(CKR_ACTION_PROHIBITED)},
    {LH_E_SIGNATURE, NULL, SAME(CKR_SIGNATURE_INVALID)},
    {LH_E_UNSUPPORTED, "version",
        {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_UNSUPPORTED, NULL,
        {CKR_FUNCTION_NOT_SUPPORTED, CKR_FUNCTION_NOT_SUPPORTED, CKR_MECHANISM_INVALID,
            CKR_MECHANISM_INVALID}},
    {LH_E_TIMEOUT, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_PROTOCOL, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
};

static const CK_RV *find(enum lh_code code, const char *reason)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (rows[i].code == code &&
            (rows[i].reason == reason || (rows[i].reason && reason && strcmp(rows[i].reason, reason) == 0)))
            return rows[i].rv;
    return NULL;
}

CK_RV lh_token_rv(lh_err err, enum lh_token_context context)
{
    if (lh_ok(err))
        return CKR_OK;
    const char *reason = lh_err_last()->reason;
    const CK_RV *rv = find(err.code, reason);
    if (rv)
        return rv[context];
    CK_RV named = lh_answer_rv(reason);
    if (named != CKR_OK)
        return named;
    rv = find(err.code, NULL);
    if (rv)
        return rv[context];
    /* The store, its disk, the TPM, cryptography, the system: faults of the device. */
    return CKR_DEVICE_ERROR;
}
