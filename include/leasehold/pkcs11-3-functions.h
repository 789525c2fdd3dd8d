/* Structures and functions newer than PKCS #11 2.40. "3.0", "3.1" and "3.2" are the OASIS "PKCS #11
 * Specification" of that version (3.0: base and current mechanisms in two documents). The names of types,
 * functions and fields are the specification's. Include leasehold/pkcs11-3.h instead of this. */
#ifndef LEASEHOLD_PKCS11_3_FUNCTIONS_H
#define LEASEHOLD_PKCS11_3_FUNCTIONS_H

#include <p11-kit/pkcs11.h>

/* p11-kit's header is 2.40 until its release 0.24 and 3.0 from 0.25 on: what of 3.0 it has is left to it. */
#if CRYPTOKI_VERSION_MAJOR < 3
#define CKF_INTERFACE_FORK_SAFE 0x00000001UL /* 3.0 base 3.5, CK_INTERFACE */
#define CKF_END_OF_MESSAGE 0x00000001UL      /* 3.0 base 5.9.4, C_EncryptMessageNext */

/* 3.0 base 3.5 */
typedef struct CK_INTERFACE {
    unsigned char *pInterfaceName; /* NUL-terminated */
    void *pFunctionList;           /* begins with a CK_VERSION */
    CK_FLAGS flags;
} CK_INTERFACE;
typedef CK_INTERFACE *CK_INTERFACE_PTR;
typedef CK_INTERFACE_PTR *CK_INTERFACE_PTR_PTR;
#endif

#define CKF_ASYNC_SESSION 0x00000008UL           /* 3.2 3.3, CK_SESSION_INFO */
#define CKF_SEED_RANDOM_REQUIRED 0x02000000UL    /* 3.2 3.2, CK_TOKEN_INFO */
#define CKF_ASYNC_SESSION_SUPPORTED 0x04000000UL /* 3.2 3.2, CK_TOKEN_INFO */
#define CKS_LAST_VALIDATION_OK 0x00000001UL      /* 3.2 5.22, C_GetSessionValidationFlags */
typedef CK_ULONG CK_SESSION_VALIDATION_FLAGS_TYPE;

/* --- parameters of mechanisms ------------------------------------------------------------------------- */

typedef CK_ULONG CK_MAC_GENERAL_PARAMS; /* 2.40 mechanisms 2.8, general block cipher MACs */
typedef CK_ULONG CK_EXTRACT_PARAMS;     /* 2.40 mechanisms 2.36, extraction of one key from another */

/* 3.0 mechanisms 2.12.2 */
#if CRYPTOKI_VERSION_MAJOR < 3
typedef CK_ULONG CK_GENERATOR_FUNCTION;
#endif
#define CKG_NO_GENERATE 0x00000000UL
#define CKG_GENERATE 0x00000001UL
#define CKG_GENERATE_COUNTER 0x00000002UL
#define CKG_GENERATE_RANDOM 0x00000003UL
#define CKG_GENERATE_COUNTER_XOR 0x00000004UL

typedef struct CK_GCM_MESSAGE_PARAMS {
    CK_BYTE_PTR pIv;
    CK_ULONG ulIvLen;
    CK_ULONG ulIvFixedBits;
    CK_GENERATOR_FUNCTION ivGenerator;
    CK_BYTE_PTR pTag;
    CK_ULONG ulTagBits;
} CK_GCM_MESSAGE_PARAMS;

typedef struct CK_CCM_MESSAGE_PARAMS {
    CK_ULONG ulDataLen;
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceLen;
    CK_ULONG ulNonceFixedBits;
    CK_GENERATOR_FUNCTION nonceGenerator;
    CK_BYTE_PTR pMAC;
    CK_ULONG ulMACLen;
} CK_CCM_MESSAGE_PARAMS;

/* 2.40 mechanisms 2.12.2 */
typedef struct CK_CCM_PARAMS {
    CK_ULONG ulDataLen;
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceLen;
    CK_BYTE_PTR pAAD;
    CK_ULONG ulAADLen;
    CK_ULONG ulMACLen;
} CK_CCM_PARAMS;

/* 3.2 6.13, for C_WrapKeyAuthenticated */
typedef struct CK_GCM_WRAP_PARAMS {
    CK_BYTE_PTR pIv;
    CK_ULONG ulIvLen;
    CK_ULONG ulIvFixedBits;
    CK_GENERATOR_FUNCTION ivGenerator;
    CK_BYTE_PTR pAAD;
    CK_ULONG ulAADLen;
    CK_ULONG ulTagBits;
} CK_GCM_WRAP_PARAMS;

typedef struct CK_CCM_WRAP_PARAMS {
    CK_ULONG ulDataLen;
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceLen;
    CK_ULONG ulNonceFixedBits;
    CK_GENERATOR_FUNCTION nonceGenerator;
    CK_BYTE_PTR pAAD;
    CK_ULONG ulAADLen;
    CK_ULONG ulMACLen;
} CK_CCM_WRAP_PARAMS;

/* 3.0 mechanisms 2.58 */
#if CRYPTOKI_VERSION_MAJOR < 3
typedef struct CK_CHACHA20_PARAMS {
    CK_BYTE_PTR pBlockCounter;
    CK_ULONG blockCounterBits;
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceBits;
} CK_CHACHA20_PARAMS;
#else
/* p11-kit 0.25 has the two that follow with ulNonceBits for their length of the nonce, which is in bytes:
 * here they have the specification's names, and the same layout. */
#define CK_SALSA20_CHACHA20_POLY1305_PARAMS CK_SALSA20_CHACHA20_POLY1305_PARAMS_
#define CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS_
#endif

/* 3.0 mechanisms 2.60 */
typedef struct CK_SALSA20_CHACHA20_POLY1305_PARAMS {
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceLen;
    CK_BYTE_PTR pAAD;
    CK_ULONG ulAADLen;
} CK_SALSA20_CHACHA20_POLY1305_PARAMS;

typedef struct CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS {
    CK_BYTE_PTR pNonce;
    CK_ULONG ulNonceLen;
    CK_BYTE_PTR pTag;
} CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS;

/* 3.0 mechanisms 2.3.14 */
typedef struct CK_EDDSA_PARAMS {
    CK_BBOOL phFlag;
    CK_ULONG ulContextDataLen;
    CK_BYTE_PTR pContextData;
} CK_EDDSA_PARAMS;

/* 3.2 6.67 and 6.68, ML-DSA and SLH-DSA */
typedef CK_ULONG CK_HEDGE_TYPE;
typedef struct CK_SIGN_ADDITIONAL_CONTEXT {
    CK_HEDGE_TYPE hedgeVariant;
    CK_BYTE_PTR pContext;
    CK_ULONG ulContextLen;
} CK_SIGN_ADDITIONAL_CONTEXT;

typedef struct CK_HASH_SIGN_ADDITIONAL_CONTEXT {
    CK_HEDGE_TYPE hedgeVariant;
    CK_BYTE_PTR pContext;
    CK_ULONG ulContextLen;
    CK_MECHANISM_TYPE hash;
} CK_HASH_SIGN_ADDITIONAL_CONTEXT;

/* 2.40 mechanisms 2.1.20 */
typedef struct CK_RSA_AES_KEY_WRAP_PARAMS {
    CK_ULONG ulAESKeyBits;
    CK_RSA_PKCS_OAEP_PARAMS *pOAEPParams;
} CK_RSA_AES_KEY_WRAP_PARAMS;

/* 3.0 mechanisms 2.3.23 */
typedef struct CK_ECDH_AES_KEY_WRAP_PARAMS {
    CK_ULONG ulAESKeyBits;
    CK_ULONG kdf; /* CK_EC_KDF_TYPE */
    CK_ULONG ulSharedDataLen;
    CK_BYTE_PTR pSharedData;
} CK_ECDH_AES_KEY_WRAP_PARAMS;

/* 3.0 mechanisms 2.62.4 */
#define CKF_HKDF_SALT_NULL 0x00000001UL
#define CKF_HKDF_SALT_DATA 0x00000002UL
#define CKF_HKDF_SALT_KEY 0x00000004UL
typedef struct CK_HKDF_PARAMS {
    CK_BBOOL bExtract;
    CK_BBOOL bExpand;
    CK_MECHANISM_TYPE prfHashMechanism;
    CK_ULONG ulSaltType;
    CK_BYTE_PTR pSalt;
    CK_ULONG ulSaltLen;
    CK_OBJECT_HANDLE hSaltKey;
    CK_BYTE_PTR pInfo;
    CK_ULONG ulInfoLen;
} CK_HKDF_PARAMS;

/* 2.40 mechanisms 2.24 */
#define CKZ_SALT_SPECIFIED 0x00000001UL
typedef CK_ULONG CK_PKCS5_PBKDF2_SALT_SOURCE_TYPE;
typedef CK_ULONG CK_PKCS5_PBKD2_PSEUDO_RANDOM_FUNCTION_TYPE;
typedef struct CK_PKCS5_PBKD2_PARAMS {
    CK_PKCS5_PBKDF2_SALT_SOURCE_TYPE saltSource;
    void *pSaltSourceData;
    CK_ULONG ulSaltSourceDataLen;
    CK_ULONG iterations;
    CK_PKCS5_PBKD2_PSEUDO_RANDOM_FUNCTION_TYPE prf;
    void *pPrfData;
    CK_ULONG ulPrfDataLen;
    CK_BYTE_PTR pPassword;
    CK_ULONG_PTR ulPasswordLen; /* a pointer: an old slip of the specification that PARAMS2 mends */
} CK_PKCS5_PBKD2_PARAMS;

typedef struct CK_PKCS5_PBKD2_PARAMS2 {
    CK_PKCS5_PBKDF2_SALT_SOURCE_TYPE saltSource;
    void *pSaltSourceData;
    CK_ULONG ulSaltSourceDataLen;
    CK_ULONG iterations;
    CK_PKCS5_PBKD2_PSEUDO_RANDOM_FUNCTION_TYPE prf;
    void *pPrfData;
    CK_ULONG ulPrfDataLen;
    CK_BYTE_PTR pPassword;
    CK_ULONG ulPasswordLen;
} CK_PKCS5_PBKD2_PARAMS2;

/* 3.0 mechanisms 2.42, SP 800-108 key derivation */
typedef CK_MECHANISM_TYPE CK_SP800_108_PRF_TYPE;
typedef CK_ULONG CK_PRF_DATA_TYPE;
#define CK_SP800_108_ITERATION_VARIABLE 0x00000001UL
#define CK_SP800_108_COUNTER 0x00000002UL
#define CK_SP800_108_DKM_LENGTH 0x00000003UL
#define CK_SP800_108_BYTE_ARRAY 0x00000004UL
#define CK_SP800_108_KEY_HANDLE 0x00000005UL /* 3.2 6.42 */

typedef struct CK_PRF_DATA_PARAM {
    CK_PRF_DATA_TYPE type;
    void *pValue;
    CK_ULONG ulValueLen;
} CK_PRF_DATA_PARAM;

typedef struct CK_SP800_108_COUNTER_FORMAT {
    CK_BBOOL bLittleEndian;
    CK_ULONG ulWidthInBits;
} CK_SP800_108_COUNTER_FORMAT;

typedef CK_ULONG CK_SP800_108_DKM_LENGTH_METHOD;
#define CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS 0x00000001UL
#define CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS 0x00000002UL
typedef struct CK_SP800_108_DKM_LENGTH_FORMAT {
    CK_SP800_108_DKM_LENGTH_METHOD dkmLengthMethod;
    CK_BBOOL bLittleEndian;
    CK_ULONG ulWidthInBits;
} CK_SP800_108_DKM_LENGTH_FORMAT;

typedef struct CK_DERIVED_KEY {
    CK_ATTRIBUTE *pTemplate;
    CK_ULONG ulAttributeCount;
    CK_OBJECT_HANDLE *phKey;
} CK_DERIVED_KEY;

typedef struct CK_SP800_108_KDF_PARAMS {
    CK_SP800_108_PRF_TYPE prfType;
    CK_ULONG ulNumberOfDataParams;
    CK_PRF_DATA_PARAM *pDataParams;
    CK_ULONG ulAdditionalDerivedKeys;
    CK_DERIVED_KEY *pAdditionalDerivedKeys;
} CK_SP800_108_KDF_PARAMS;

typedef struct CK_SP800_108_FEEDBACK_KDF_PARAMS {
    CK_SP800_108_PRF_TYPE prfType;
    CK_ULONG ulNumberOfDataParams;
    CK_PRF_DATA_PARAM *pDataParams;
    CK_ULONG ulIVLen;
    CK_BYTE_PTR pIV;
    CK_ULONG ulAdditionalDerivedKeys;
    CK_DERIVED_KEY *pAdditionalDerivedKeys;
} CK_SP800_108_FEEDBACK_KDF_PARAMS;

/* 3.2 3.9 */
typedef struct CK_ASYNC_DATA {
    CK_ULONG ulVersion;
    CK_BYTE_PTR pValue;
    CK_ULONG ulValue;
    CK_OBJECT_HANDLE hObject;
    CK_OBJECT_HANDLE hAdditionalObject;
} CK_ASYNC_DATA;

/* --- functions ------------------------------------------------------------------------------------------ */

#define CK_DECLARE_(name, ...)                                                                               \
    typedef CK_RV (*CK_##name)(__VA_ARGS__);                                                                 \
    CK_RV name(__VA_ARGS__)

#if CRYPTOKI_VERSION_MAJOR < 3
/* 3.0 base 5.4 and 5.6 */
CK_DECLARE_(C_GetInterfaceList, CK_INTERFACE *list, CK_ULONG *count);
CK_DECLARE_(
    C_GetInterface, unsigned char *name, CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags);
CK_DECLARE_(C_LoginUser, CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_len,
    unsigned char *name, CK_ULONG name_len);
CK_DECLARE_(C_SessionCancel, CK_SESSION_HANDLE session, CK_FLAGS flags);

/* 3.0 base 5.9 and 5.11, message-based encryption and decryption */
CK_DECLARE_(C_MessageEncryptInit, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_DECLARE_(C_EncryptMessage, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *aad, CK_ULONG aad_len, unsigned char *data, CK_ULONG len, unsigned char *out,
    CK_ULONG *out_len);
CK_DECLARE_(C_EncryptMessageBegin, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *aad, CK_ULONG aad_len);
CK_DECLARE_(C_EncryptMessageNext, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len, CK_FLAGS flags);
CK_DECLARE_(C_MessageEncryptFinal, CK_SESSION_HANDLE session);
CK_DECLARE_(C_MessageDecryptInit, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_DECLARE_(C_DecryptMessage, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *aad, CK_ULONG aad_len, unsigned char *data, CK_ULONG len, unsigned char *out,
    CK_ULONG *out_len);
CK_DECLARE_(C_DecryptMessageBegin, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *aad, CK_ULONG aad_len);
CK_DECLARE_(C_DecryptMessageNext, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len, CK_FLAGS flags);
CK_DECLARE_(C_MessageDecryptFinal, CK_SESSION_HANDLE session);

/* 3.0 base 5.14 and 5.16, message-based signing and verifying */
CK_DECLARE_(C_MessageSignInit, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_DECLARE_(C_SignMessage, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *data, CK_ULONG len, unsigned char *signature, CK_ULONG *signature_len);
CK_DECLARE_(C_SignMessageBegin, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
CK_DECLARE_(C_SignMessageNext, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *part, CK_ULONG len, unsigned char *signature, CK_ULONG *signature_len);
CK_DECLARE_(C_MessageSignFinal, CK_SESSION_HANDLE session);
CK_DECLARE_(C_MessageVerifyInit, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_DECLARE_(C_VerifyMessage, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *data, CK_ULONG len, unsigned char *signature, CK_ULONG signature_len);
CK_DECLARE_(C_VerifyMessageBegin, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
CK_DECLARE_(C_VerifyMessageNext, CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    unsigned char *part, CK_ULONG len, unsigned char *signature, CK_ULONG signature_len);
CK_DECLARE_(C_MessageVerifyFinal, CK_SESSION_HANDLE session);
#endif

/* 3.2 5.15, the signature given first */
CK_DECLARE_(C_VerifySignatureInit, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    unsigned char *signature, CK_ULONG signature_len);
CK_DECLARE_(C_VerifySignature, CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG len);
CK_DECLARE_(C_VerifySignatureUpdate, CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG len);
CK_DECLARE_(C_VerifySignatureFinal, CK_SESSION_HANDLE session);

/* 3.2 5.18, key management */
CK_DECLARE_(C_EncapsulateKey, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE public_key,
    CK_ATTRIBUTE *template, CK_ULONG count, unsigned char *ciphertext, CK_ULONG *ciphertext_len,
    CK_OBJECT_HANDLE *key);
CK_DECLARE_(C_DecapsulateKey, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
    CK_OBJECT_HANDLE private_key, CK_ATTRIBUTE *template, CK_ULONG count, unsigned char *ciphertext,
    CK_ULONG ciphertext_len, CK_OBJECT_HANDLE *key);
CK_DECLARE_(C_WrapKeyAuthenticated, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
    CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, unsigned char *aad, CK_ULONG aad_len,
    unsigned char *wrapped, CK_ULONG *wrapped_len);
CK_DECLARE_(C_UnwrapKeyAuthenticated, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
    CK_OBJECT_HANDLE unwrapping_key, unsigned char *wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE *template,
    CK_ULONG count, unsigned char *aad, CK_ULONG aad_len, CK_OBJECT_HANDLE *key);

/* 3.2 5.21 and 5.22 */
CK_DECLARE_(C_GetSessionValidationFlags, CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE type,
    CK_FLAGS *flags);
CK_DECLARE_(C_AsyncComplete, CK_SESSION_HANDLE session, unsigned char *function, CK_ASYNC_DATA *result);
CK_DECLARE_(C_AsyncGetID, CK_SESSION_HANDLE session, unsigned char *function, CK_ULONG *id);
CK_DECLARE_(C_AsyncJoin, CK_SESSION_HANDLE session, unsigned char *function, CK_ULONG id, unsigned char *data,
    CK_ULONG len);

/* --- lists ---------------------------------------------------------------------------------------------- */

/* F(name) for each function, in the order of the lists. */
/* clang-format off */
#define CK_FUNCTIONS_2_40_(F) \
    F(C_Initialize) F(C_Finalize) F(C_GetInfo) F(C_GetFunctionList) F(C_GetSlotList) F(C_GetSlotInfo) \
    F(C_GetTokenInfo) F(C_GetMechanismList) F(C_GetMechanismInfo) F(C_InitToken) F(C_InitPIN) F(C_SetPIN) \
    F(C_OpenSession) F(C_CloseSession) F(C_CloseAllSessions) F(C_GetSessionInfo) F(C_GetOperationState) \
    F(C_SetOperationState) F(C_Login) F(C_Logout) F(C_CreateObject) F(C_CopyObject) F(C_DestroyObject) \
    F(C_GetObjectSize) F(C_GetAttributeValue) F(C_SetAttributeValue) F(C_FindObjectsInit) F(C_FindObjects) \
    F(C_FindObjectsFinal) F(C_EncryptInit) F(C_Encrypt) F(C_EncryptUpdate) F(C_EncryptFinal) \
    F(C_DecryptInit) F(C_Decrypt) F(C_DecryptUpdate) F(C_DecryptFinal) F(C_DigestInit) F(C_Digest) \
    F(C_DigestUpdate) F(C_DigestKey) F(C_DigestFinal) F(C_SignInit) F(C_Sign) F(C_SignUpdate) \
    F(C_SignFinal) F(C_SignRecoverInit) F(C_SignRecover) F(C_VerifyInit) F(C_Verify) F(C_VerifyUpdate) \
    F(C_VerifyFinal) F(C_VerifyRecoverInit) F(C_VerifyRecover) F(C_DigestEncryptUpdate) \
    F(C_DecryptDigestUpdate) F(C_SignEncryptUpdate) F(C_DecryptVerifyUpdate) F(C_GenerateKey) \
    F(C_GenerateKeyPair) F(C_WrapKey) F(C_UnwrapKey) F(C_DeriveKey) F(C_SeedRandom) F(C_GenerateRandom) \
    F(C_GetFunctionStatus) F(C_CancelFunction) F(C_WaitForSlotEvent)
#define CK_FUNCTIONS_3_0_(F) \
    F(C_GetInterfaceList) F(C_GetInterface) F(C_LoginUser) F(C_SessionCancel) F(C_MessageEncryptInit) \
    F(C_EncryptMessage) F(C_EncryptMessageBegin) F(C_EncryptMessageNext) F(C_MessageEncryptFinal) \
    F(C_MessageDecryptInit) F(C_DecryptMessage) F(C_DecryptMessageBegin) F(C_DecryptMessageNext) \
    F(C_MessageDecryptFinal) F(C_MessageSignInit) F(C_SignMessage) F(C_SignMessageBegin) \
    F(C_SignMessageNext) F(C_MessageSignFinal) F(C_MessageVerifyInit) F(C_VerifyMessage) \
    F(C_VerifyMessageBegin) F(C_VerifyMessageNext) F(C_MessageVerifyFinal)
#define CK_FUNCTIONS_3_2_(F) \
    F(C_EncapsulateKey) F(C_DecapsulateKey) F(C_VerifySignatureInit) F(C_VerifySignature) \
    F(C_VerifySignatureUpdate) F(C_VerifySignatureFinal) F(C_GetSessionValidationFlags) F(C_AsyncComplete) \
    F(C_AsyncGetID) F(C_AsyncJoin) F(C_WrapKeyAuthenticated) F(C_UnwrapKeyAuthenticated)
/* clang-format on */

#define CK_MEMBER_(name) CK_##name name;

/* 3.0 base 3.6 (3.1 has the same list) and 3.2 3.6 */
#if CRYPTOKI_VERSION_MAJOR < 3
typedef struct CK_FUNCTION_LIST_3_0 {
    CK_VERSION version;
    CK_FUNCTIONS_2_40_(CK_MEMBER_)
    CK_FUNCTIONS_3_0_(CK_MEMBER_)
} CK_FUNCTION_LIST_3_0;
#endif

typedef struct CK_FUNCTION_LIST_3_2 {
    CK_VERSION version;
    CK_FUNCTIONS_2_40_(CK_MEMBER_)
    CK_FUNCTIONS_3_0_(CK_MEMBER_)
    CK_FUNCTIONS_3_2_(CK_MEMBER_)
} CK_FUNCTION_LIST_3_2;

#endif
