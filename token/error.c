#include "token.h"

#define SAME(rv)                                                                                             \
    {                                                                                                        \
        (rv), (rv), (rv), (rv)                                                                               \
    }

/* The first row whose code and (where it has one) reason fit. */
static const struct {
    enum lh_code code;
    const char *reason;
    CK_RV rv[LH_CONTEXT_COUNT]; /* slot, object, key, decrypt */
} rows[] = {
    {LH_OK, NULL, SAME(CKR_OK)},
    {LH_E_NOMEM, NULL, SAME(CKR_HOST_MEMORY)},
    /* The daemon's refusals of input (crypto/operation.h). */
    {LH_E_INVALID, "key-type", SAME(CKR_KEY_TYPE_INCONSISTENT)},
    {LH_E_INVALID, "mechanism-use", SAME(CKR_MECHANISM_INVALID)},
    {LH_E_INVALID, "mechanism-param", SAME(CKR_MECHANISM_PARAM_INVALID)},
    {LH_E_INVALID, "data-length",
        {CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE}},
    {LH_E_INVALID, "signature-length", SAME(CKR_SIGNATURE_LEN_RANGE)},
    {LH_E_INVALID, NULL, SAME(CKR_FUNCTION_FAILED)},
    {LH_E_LIMIT, NULL,
        {CKR_DEVICE_MEMORY, CKR_DEVICE_MEMORY, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE}},
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
    {LH_E_CORRUPT, "decrypt", SAME(CKR_ENCRYPTED_DATA_INVALID)},
    {LH_E_UNSUPPORTED, "version",
        {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_UNSUPPORTED, NULL,
        {CKR_FUNCTION_NOT_SUPPORTED, CKR_FUNCTION_NOT_SUPPORTED, CKR_MECHANISM_INVALID,
            CKR_MECHANISM_INVALID}},
    {LH_E_TIMEOUT, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
    {LH_E_PROTOCOL, NULL, {CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR}},
};

CK_RV lh_token_rv(lh_err err, enum lh_token_context context)
{
    const char *reason = lh_err_last()->reason;
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (rows[i].code == err.code && (!rows[i].reason || strcmp(rows[i].reason, reason) == 0))
            return rows[i].rv[context];
    /* The store, its disk, the TPM, cryptography, the system: faults of the device. */
    return CKR_DEVICE_ERROR;
}
