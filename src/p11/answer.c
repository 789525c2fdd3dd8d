#include "p11/answer.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>
#include <string.h>

#define ROW(rv, reason)                                                                                      \
    {                                                                                                        \
        reason, rv                                                                                           \
    }

/* The first row of a return value has its own name. */
static const struct {
    const char *reason;
    unsigned long rv;
} rows[] = {
    ROW(CKR_CANCEL, "cancel"),
    ROW(CKR_HOST_MEMORY, "host-memory"),
    ROW(CKR_SLOT_ID_INVALID, "slot-id-invalid"),
    ROW(CKR_GENERAL_ERROR, "general-error"),
    ROW(CKR_FUNCTION_FAILED, "function-failed"),
    ROW(CKR_ARGUMENTS_BAD, "arguments-bad"),
    ROW(CKR_NO_EVENT, "no-event"),
    ROW(CKR_NEED_TO_CREATE_THREADS, "need-to-create-threads"),
    ROW(CKR_CANT_LOCK, "cant-lock"),
    ROW(CKR_ATTRIBUTE_READ_ONLY, "attribute-read-only"),
    ROW(CKR_ATTRIBUTE_SENSITIVE, "attribute-sensitive"),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, "attribute-type-invalid"),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, "attribute-value-invalid"),
    ROW(CKR_ACTION_PROHIBITED, "action-prohibited"),
    ROW(CKR_DATA_INVALID, "data-invalid"),
    ROW(CKR_DATA_LEN_RANGE, "data-len-range"),
    ROW(CKR_DEVICE_ERROR, "device-error"),
    ROW(CKR_DEVICE_MEMORY, "device-memory"),
    ROW(CKR_DEVICE_REMOVED, "device-removed"),
    ROW(CKR_ENCRYPTED_DATA_INVALID, "encrypted-data-invalid"),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, "encrypted-data-len-range"),
    ROW(CKR_FUNCTION_CANCELED, "function-canceled"),
    ROW(CKR_FUNCTION_NOT_PARALLEL, "function-not-parallel"),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, "function-not-supported"),
    ROW(CKR_KEY_HANDLE_INVALID, "key-handle-invalid"),
    ROW(CKR_KEY_SIZE_RANGE, "key-size-range"),
    ROW(CKR_KEY_TYPE_INCONSISTENT, "key-type-inconsistent"),
    ROW(CKR_KEY_NOT_NEEDED, "key-not-needed"),
    ROW(CKR_KEY_CHANGED, "key-changed"),
    ROW(CKR_KEY_NEEDED, "key-needed"),
    ROW(CKR_KEY_INDIGESTIBLE, "key-indigestible"),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, "key-function-not-permitted"),
    ROW(CKR_KEY_NOT_WRAPPABLE, "key-not-wrappable"),
    ROW(CKR_KEY_UNEXTRACTABLE, "key-unextractable"),
    ROW(CKR_MECHANISM_INVALID, "mechanism-invalid"),
    ROW(CKR_MECHANISM_PARAM_INVALID, "mechanism-param-invalid"),
    ROW(CKR_OBJECT_HANDLE_INVALID, "object-handle-invalid"),
    ROW(CKR_OPERATION_ACTIVE, "operation-active"),
    ROW(CKR_OPERATION_NOT_INITIALIZED, "operation-not-initialized"),
    ROW(CKR_PIN_INCORRECT, "pin-incorrect"),
    ROW(CKR_PIN_INVALID, "pin-invalid"),
    ROW(CKR_PIN_LEN_RANGE, "pin-len-range"),
    ROW(CKR_PIN_EXPIRED, "pin-expired"),
    ROW(CKR_PIN_LOCKED, "pin-locked"),
    ROW(CKR_SESSION_CLOSED, "session-closed"),
    ROW(CKR_SESSION_COUNT, "session-count"),
    ROW(CKR_SESSION_HANDLE_INVALID, "session-handle-invalid"),
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "session-parallel-not-supported"),
    ROW(CKR_SESSION_READ_ONLY, "session-read-only"),
    ROW(CKR_SESSION_EXISTS, "session-exists"),
    ROW(CKR_SESSION_READ_ONLY_EXISTS, "session-read-only-exists"),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS, "session-read-write-so-exists"),
    ROW(CKR_SIGNATURE_INVALID, "signature-invalid"),
    ROW(CKR_SIGNATURE_LEN_RANGE, "signature-len-range"),
    ROW(CKR_TEMPLATE_INCOMPLETE, "template-incomplete"),
    ROW(CKR_TEMPLATE_INCONSISTENT, "template-inconsistent"),
    ROW(CKR_TOKEN_NOT_PRESENT, "token-not-present"),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, "token-not-recognized"),
    ROW(CKR_TOKEN_WRITE_PROTECTED, "token-write-protected"),
    ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID, "unwrapping-key-handle-invalid"),
    ROW(CKR_UNWRAPPING_KEY_SIZE_RANGE, "unwrapping-key-size-range"),
    ROW(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "unwrapping-key-type-inconsistent"),
    ROW(CKR_USER_ALREADY_LOGGED_IN, "user-already-logged-in"),
    ROW(CKR_USER_NOT_LOGGED_IN, "user-not-logged-in"),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, "user-pin-not-initialized"),
    ROW(CKR_USER_TYPE_INVALID, "user-type-invalid"),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "user-another-already-logged-in"),
    ROW(CKR_USER_TOO_MANY_TYPES, "user-too-many-types"),
    ROW(CKR_WRAPPED_KEY_INVALID, "wrapped-key-invalid"),
    ROW(CKR_WRAPPED_KEY_LEN_RANGE, "wrapped-key-len-range"),
    ROW(CKR_WRAPPING_KEY_HANDLE_INVALID, "wrapping-key-handle-invalid"),
    ROW(CKR_WRAPPING_KEY_SIZE_RANGE, "wrapping-key-size-range"),
    ROW(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "wrapping-key-type-inconsistent"),
    ROW(CKR_RANDOM_SEED_NOT_SUPPORTED, "random-seed-not-supported"),
    ROW(CKR_RANDOM_NO_RNG, "random-no-rng"),
    ROW(CKR_DOMAIN_PARAMS_INVALID, "domain-params-invalid"),
    ROW(CKR_CURVE_NOT_SUPPORTED, "curve-not-supported"),
    ROW(CKR_BUFFER_TOO_SMALL, "buffer-too-small"),
    ROW(CKR_SAVED_STATE_INVALID, "saved-state-invalid"),
    ROW(CKR_INFORMATION_SENSITIVE, "information-sensitive"),
    ROW(CKR_STATE_UNSAVEABLE, "state-unsaveable"),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, "cryptoki-not-initialized"),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, "cryptoki-already-initialized"),
    ROW(CKR_MUTEX_BAD, "mutex-bad"),
    ROW(CKR_MUTEX_NOT_LOCKED, "mutex-not-locked"),
    ROW(CKR_NEW_PIN_MODE, "new-pin-mode"),
    ROW(CKR_NEXT_OTP, "next-otp"),
    ROW(CKR_EXCEEDED_MAX_ITERATIONS, "exceeded-max-iterations"),
    ROW(CKR_FIPS_SELF_TEST_FAILED, "fips-self-test-failed"),
    ROW(CKR_LIBRARY_LOAD_FAILED, "library-load-failed"),
    ROW(CKR_PIN_TOO_WEAK, "pin-too-weak"),
    ROW(CKR_PUBLIC_KEY_INVALID, "public-key-invalid"),
    ROW(CKR_FUNCTION_REJECTED, "function-rejected"),
    ROW(CKR_AEAD_DECRYPT_FAILED, "aead-decrypt-failed"),
    ROW(CKR_TOKEN_RESOURCE_EXCEEDED, "token-resource-exceeded"),
    ROW(CKR_OPERATION_CANCEL_FAILED, "operation-cancel-failed"),
    ROW(CKR_KEY_EXHAUSTED, "key-exhausted"),
    ROW(CKR_PENDING, "pending"),
    ROW(CKR_SESSION_ASYNC_NOT_SUPPORTED, "session-async-not-supported"),
    ROW(CKR_SEED_RANDOM_REQUIRED, "seed-random-required"),
    ROW(CKR_OPERATION_NOT_VALIDATED, "operation-not-validated"),
    ROW(CKR_TOKEN_NOT_INITIALIZED, "token-not-initialized"),
    ROW(CKR_PARAMETER_SET_NOT_SUPPORTED, "parameter-set-not-supported"),
    /* Older reasons. */
    ROW(CKR_KEY_TYPE_INCONSISTENT, "key-type"),
    ROW(CKR_MECHANISM_INVALID, "mechanism-use"),
    ROW(CKR_MECHANISM_INVALID, "mechanism"),
    ROW(CKR_MECHANISM_PARAM_INVALID, "mechanism-param"),
    ROW(CKR_DATA_LEN_RANGE, "data-length"),
    ROW(CKR_SIGNATURE_LEN_RANGE, "signature-length"),
    ROW(CKR_ENCRYPTED_DATA_INVALID, "decrypt"),
};

unsigned long lh_answer_rv(const char *reason)
{
    for (size_t i = 0; reason && i < LH_ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].reason, reason) == 0)
            return rows[i].rv;
    return 0;
}

const char *lh_answer_reason(unsigned long rv)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (rows[i].rv == rv)
            return rows[i].reason;
    return NULL;
}
