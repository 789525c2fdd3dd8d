/* The module's functions, with arguments that a byte string chooses, against the fake daemon of the unit
 * tests. Whatever comes, a function answers: no crash, nothing written behind a buffer, nothing left locked.
 *
 * An application that names more bytes than are there is lost with any module; so lengths are true where they
 * can be no other (data, outputs), and anything where the module has a bound (PINs, templates, parameters).
 */
#include "../unit/token/fake_daemon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 64
#define POOL 32768

static fake_daemon daemon_;
static uint8_t pool[POOL]; /* what arguments point to */
static const uint8_t *at;
static size_t left;

static uint8_t byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *at++;
}

/* A length of data that is there. */
static CK_ULONG some(void)
{
    static const CK_ULONG lengths[] = {0, 1, 2, 12, 15, 16, 17, 31, 32, 33, 64, 255, 256, 257, 4096, 32768};
    return lengths[byte() % 16];
}

/* A number that is believed only as far as a bound. */
static CK_ULONG any(void)
{
    static const CK_ULONG wild[] = {~0UL, ~0UL - 1, ~0UL - 8, ~0UL / 2, 1UL << 32, 1UL << 31, 65536, 100000};
    uint8_t b = byte();
    return b & 0x80 ? wild[b % 8] : some();
}

/* Into the pool, or NULL. */
static unsigned char *in(void)
{
    return byte() % 8 == 0 ? NULL : pool;
}

static CK_OBJECT_HANDLE handles[16];
static CK_SESSION_HANDLE sessions[4];

static CK_OBJECT_HANDLE handle(void)
{
    uint8_t b = byte();
    static const CK_OBJECT_HANDLE odd[] = {0, ~0UL, FAKE_EC, FAKE_AES, FAKE_STANDALONE, FAKE_STANDALONE | 77,
        FAKE_STANDALONE | FAKE_SESSION_OBJECT, 1UL << 63};
    return b & 0x40 ? odd[b % 8] : handles[b % 16];
}

static CK_SESSION_HANDLE session(void)
{
    uint8_t b = byte();
    return b % 16 == 15 ? 4096ul + b : sessions[b % 4];
}

static void keep(CK_OBJECT_HANDLE h)
{
    static unsigned next;
    handles[next++ % 16] = h;
}

/* An output buffer of just its size. */
typedef struct {
    CK_BYTE *data;
    CK_ULONG len;
    CK_ULONG *len_at;
} output;

static output out(void)
{
    output o = {NULL, some(), NULL};
    uint8_t b = byte();
    if (b % 4 != 0)
        o.data = malloc(o.len ? o.len : 1);
    return o;
}

#define LEN(o) (byte() % 16 == 0 ? NULL : &(o).len)

static CK_ATTRIBUTE attributes[8];
static CK_ATTRIBUTE nested[8];

/* A template in place; its count. */
static CK_ULONG template(void)
{
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_CLASS, CKA_TOKEN, CKA_LABEL, CKA_VALUE, CKA_KEY_TYPE,
        CKA_WRAP_TEMPLATE, CKA_ALLOWED_MECHANISMS, CKA_PRIVATE, CKA_VALUE_LEN, CKA_EC_PARAMS, CKA_MODULUS,
        CKA_PARAMETER_SET, CKA_SENSITIVE, ~0UL, 0x80001234, CKA_ALWAYS_AUTHENTICATE};
    uint8_t b = byte();
    CK_ULONG n = b % 9;
    for (CK_ULONG i = 0; i < n && i < 8; i++) {
        CK_ATTRIBUTE *a = &attributes[i];
        *a = (CK_ATTRIBUTE){types[byte() % 16], in(), 0};
        uint8_t kind = byte();
        a->ulValueLen = kind % 4 == 0 ? any() : kind % 4 == 1 ? 1 : kind % 4 == 2 ? 8 : some();
        if (a->type == CKA_WRAP_TEMPLATE) {
            memcpy(nested, attributes, sizeof(nested)); /* which may hold itself */
            a->pValue = kind & 1 ? attributes : nested;
            a->ulValueLen = (kind % 9) * sizeof(CK_ATTRIBUTE);
        }
    }
    return b == 255 ? ~0UL : n > 8 ? 8 : n;
}

static union {
    CK_GCM_PARAMS gcm;
    CK_GCM_MESSAGE_PARAMS gcm_message;
    CK_CCM_PARAMS ccm;
    CK_CCM_MESSAGE_PARAMS ccm_message;
    CK_GCM_WRAP_PARAMS gcm_wrap;
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    CK_HKDF_PARAMS hkdf;
    CK_SP800_108_FEEDBACK_KDF_PARAMS kdf;
    CK_PKCS5_PBKD2_PARAMS2 pbkd2;
    CK_ECDH1_DERIVE_PARAMS ecdh;
    uint8_t bytes[128];
} param;
static CK_PRF_DATA_PARAM fields[3];
static CK_DERIVED_KEY further[2];

static CK_MECHANISM mechanism(void)
{
    size_t count = lh_mechanism_count();
    unsigned pick = byte() | (unsigned)byte() << 8;
    CK_MECHANISM m = {lh_mechanism_at(pick % count)->type, &param, 0};
    static const size_t sizes[] = {0, 8, 12, 16, sizeof(CK_GCM_PARAMS), sizeof(CK_CCM_PARAMS),
        sizeof(CK_GCM_WRAP_PARAMS), sizeof(CK_RSA_PKCS_PSS_PARAMS), sizeof(CK_RSA_PKCS_OAEP_PARAMS),
        sizeof(CK_HKDF_PARAMS), sizeof(CK_SP800_108_KDF_PARAMS), sizeof(CK_SP800_108_FEEDBACK_KDF_PARAMS),
        sizeof(CK_PKCS5_PBKD2_PARAMS2), sizeof(CK_ECDH1_DERIVE_PARAMS), 4, 24};
    m.ulParameterLen = sizes[byte() % 16];
    memset(&param, 0, sizeof(param));
    switch (byte() % 8) {
    case 0: param.gcm = (CK_GCM_PARAMS){in(), any(), 0, in(), any(), any()}; break;
    case 1: param.gcm_message = (CK_GCM_MESSAGE_PARAMS){in(), any(), any(), byte() % 6, in(), any()}; break;
    case 2: param.ccm = (CK_CCM_PARAMS){any(), in(), any(), in(), any(), any()}; break;
    case 3: param.oaep = (CK_RSA_PKCS_OAEP_PARAMS){any(), any(), byte() % 3, in(), any()}; break;
    case 4:
        param.hkdf =
            (CK_HKDF_PARAMS){byte() % 3, byte() % 3, any(), byte() % 5, in(), any(), handle(), in(), any()};
        break;
    case 5:
        for (size_t i = 0; i < 3; i++)
            fields[i] = (CK_PRF_DATA_PARAM){byte() % 7, in(), any()};
        for (size_t i = 0; i < 2; i++)
            further[i] = (CK_DERIVED_KEY){attributes, byte() % 9 > 7 ? ~0UL : 2, &handles[i]};
        param.kdf =
            (CK_SP800_108_FEEDBACK_KDF_PARAMS){any(), byte() % 4, fields, any(), in(), byte() % 3, further};
        break;
    case 6: param.pbkd2 = (CK_PKCS5_PBKD2_PARAMS2){1, in(), any(), 9, 4, NULL, 0, in(), any()}; break;
    default:
        for (size_t i = 0; i < 24; i++)
            param.bytes[i] = byte();
        /* Random bytes are no addresses. */
        if (m.ulParameterLen > 24)
            m.ulParameterLen = 16;
    }
    if (byte() % 16 == 0)
        m.pParameter = NULL;
    return m;
}

static void inits(uint8_t which, CK_SESSION_HANDLE s)
{
    CK_MECHANISM m = mechanism();
    CK_MECHANISM *p = byte() % 16 == 0 ? NULL : &m;
    switch (which % 13) {
    case 0: C_SignInit(s, p, handle()); break;
    case 1: C_VerifyInit(s, p, handle()); break;
    case 2: C_EncryptInit(s, p, handle()); break;
    case 3: C_DecryptInit(s, p, handle()); break;
    case 4: C_DigestInit(s, p); break;
    case 5: C_SignRecoverInit(s, p, handle()); break;
    case 6: C_VerifyRecoverInit(s, p, handle()); break;
    case 7: C_MessageEncryptInit(s, p, handle()); break;
    case 8: C_MessageDecryptInit(s, p, handle()); break;
    case 9: C_MessageSignInit(s, p, handle()); break;
    case 10: C_MessageVerifyInit(s, p, handle()); break;
    case 11: C_VerifySignatureInit(s, p, handle(), in(), any() % 70000); break;
    default: C_SessionCancel(s, any()); break;
    }
}

static void operates(uint8_t which, CK_SESSION_HANDLE s)
{
    output o = out();
    CK_BYTE *data = in();
    CK_ULONG len = some();
    switch (which % 21) {
    case 0: C_Sign(s, data, len, o.data, LEN(o)); break;
    case 1: C_SignUpdate(s, data, len); break;
    case 2: C_SignFinal(s, o.data, LEN(o)); break;
    case 3: C_Verify(s, data, len, in(), some()); break;
    case 4: C_VerifyUpdate(s, data, len); break;
    case 5: C_VerifyFinal(s, in(), some()); break;
    case 6: C_Encrypt(s, data, len, o.data, LEN(o)); break;
    case 7: C_EncryptUpdate(s, data, len, o.data, LEN(o)); break;
    case 8: C_EncryptFinal(s, o.data, LEN(o)); break;
    case 9: C_Decrypt(s, data, len, o.data, LEN(o)); break;
    case 10: C_DecryptUpdate(s, data, len, o.data, LEN(o)); break;
    case 11: C_DecryptFinal(s, o.data, LEN(o)); break;
    case 12: C_Digest(s, data, len, o.data, LEN(o)); break;
    case 13: C_DigestKey(s, handle()); break;
    case 14: C_DigestFinal(s, o.data, LEN(o)); break;
    case 15: C_SignRecover(s, data, len, o.data, LEN(o)); break;
    case 16: C_VerifyRecover(s, data, len, o.data, LEN(o)); break;
    case 17: C_DigestEncryptUpdate(s, data, len, o.data, LEN(o)); break;
    case 18: C_DecryptDigestUpdate(s, data, len, o.data, LEN(o)); break;
    case 19: C_SignEncryptUpdate(s, data, len, o.data, LEN(o)); break;
    default: C_DecryptVerifyUpdate(s, data, len, o.data, LEN(o)); break;
    }
    free(o.data);
}

static void messages(uint8_t which, CK_SESSION_HANDLE s)
{
    output o = out();
    CK_BYTE *iv = malloc(128);
    CK_BYTE *tag = malloc(16);
    memset(iv, 1, 128);
    memset(tag, 2, 16);
    CK_GCM_MESSAGE_PARAMS gcm = {iv, byte() % 4 ? 12 : any(), byte() % 4 ? 0 : any(), byte() % 6, tag, 128};
    CK_CCM_MESSAGE_PARAMS ccm = {some(), iv, byte() % 4 ? 12 : any(), 0, byte() % 6, tag, 16};
    bool use_ccm = byte() & 1;
    void *p = use_ccm ? (void *)&ccm : (void *)&gcm;
    CK_ULONG p_len = byte() % 8 == 0 ? some() % 48 : use_ccm ? sizeof(ccm) : sizeof(gcm);
    CK_BYTE *data = in();
    CK_ULONG len = some();
    switch (which % 14) {
    case 0: C_EncryptMessage(s, p, p_len, in(), some(), data, len, o.data, LEN(o)); break;
    case 1: C_DecryptMessage(s, p, p_len, in(), some(), data, len, o.data, LEN(o)); break;
    case 2: C_EncryptMessageBegin(s, p, p_len, in(), some()); break;
    case 3: C_EncryptMessageNext(s, p, p_len, data, len, o.data, LEN(o), byte() & 1); break;
    case 4: C_DecryptMessageBegin(s, p, p_len, in(), some()); break;
    case 5: C_DecryptMessageNext(s, p, p_len, data, len, o.data, LEN(o), byte() & 1); break;
    case 6: C_SignMessage(s, NULL, 0, data, len, o.data, LEN(o)); break;
    case 7: C_SignMessageBegin(s, NULL, 0); break;
    case 8: C_SignMessageNext(s, NULL, 0, data, len, o.data, LEN(o)); break;
    case 9: C_VerifyMessage(s, NULL, 0, data, len, in(), some()); break;
    case 10: C_VerifyMessageBegin(s, NULL, 0); break;
    case 11: C_VerifyMessageNext(s, NULL, 0, data, len, in(), some()); break;
    case 12: C_VerifySignature(s, data, len); break;
    default: C_VerifySignatureUpdate(s, data, len), C_VerifySignatureFinal(s); break;
    }
    free(iv);
    free(tag);
    free(o.data);
}

static void makes(uint8_t which, CK_SESSION_HANDLE s)
{
    CK_MECHANISM m = mechanism();
    CK_MECHANISM *p = byte() % 16 == 0 ? NULL : &m;
    CK_ULONG n = template();
    CK_OBJECT_HANDLE h = 0;
    CK_OBJECT_HANDLE h2 = 0;
    CK_OBJECT_HANDLE *ret = byte() % 16 == 0 ? NULL : &h;
    output o = out();
    switch (which % 11) {
    case 0: C_CreateObject(s, attributes, n, ret); break;
    case 1: C_CopyObject(s, handle(), attributes, n, ret); break;
    case 2: C_GenerateKey(s, p, attributes, n, ret); break;
    case 3: C_GenerateKeyPair(s, p, attributes, n, nested, n, ret, &h2), keep(h2); break;
    case 4: C_WrapKey(s, p, handle(), handle(), o.data, LEN(o)); break;
    case 5: C_UnwrapKey(s, p, handle(), in(), some(), attributes, n, ret); break;
    case 6: C_DeriveKey(s, p, handle(), attributes, n, ret); break;
    case 7: C_EncapsulateKey(s, p, handle(), attributes, n, o.data, LEN(o), ret); break;
    case 8: C_DecapsulateKey(s, p, handle(), attributes, n, in(), any(), ret); break;
    case 9: C_WrapKeyAuthenticated(s, p, handle(), handle(), in(), some(), o.data, LEN(o)); break;
    default: C_UnwrapKeyAuthenticated(s, p, handle(), in(), some(), attributes, n, in(), some(), ret); break;
    }
    if (h != 0)
        keep(h);
    free(o.data);
}

static void reads(uint8_t which, CK_SESSION_HANDLE s)
{
    CK_ULONG n = template();
    CK_ULONG size;
    CK_OBJECT_HANDLE found[3];
    switch (which % 7) {
    case 0: C_FindObjectsInit(s, attributes, n); break;
    case 1: C_FindObjects(s, byte() % 8 ? found : NULL, byte() % 4, byte() % 8 ? &size : NULL); break;
    case 2: C_FindObjectsFinal(s); break;
    case 3: C_SetAttributeValue(s, handle(), attributes, n); break;
    case 4: C_DestroyObject(s, handle()); break;
    case 5: C_GetObjectSize(s, handle(), &size); break;
    default:
        if (n > 8)
            n = 8;
        for (CK_ULONG i = 0; i < n; i++) {
            attributes[i].ulValueLen = some() & 0xff;
            attributes[i].pValue = byte() % 4 ? calloc(1, attributes[i].ulValueLen + 1) : NULL;
            /* An array of attributes has to be one. */
            if (attributes[i].type == CKA_WRAP_TEMPLATE)
                attributes[i].ulValueLen -= attributes[i].ulValueLen % sizeof(CK_ATTRIBUTE);
        }
        void *values[8] = {NULL};
        for (CK_ULONG i = 0; i < n; i++)
            values[i] = attributes[i].pValue;
        C_GetAttributeValue(s, handle(), attributes, n);
        for (CK_ULONG i = 0; i < n; i++)
            free(values[i]);
    }
}

static void rest(uint8_t which, CK_SESSION_HANDLE s)
{
    static CK_BYTE saved[256];
    CK_ULONG len = byte() % 2 ? sizeof(saved) : some() & 0xff;
    CK_SLOT_ID slots[4];
    CK_ULONG n = byte() % 5;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_SESSION_INFO info;
    CK_ASYNC_DATA result;
    switch (which % 16) {
    case 0: C_Login(s, byte() % 4, in(), any()); break;
    case 1: C_LoginUser(s, byte() % 4, in(), any(), in(), any()); break;
    case 2: C_Logout(s); break;
    case 3: C_InitToken(byte() % 4, in(), any(), in()); break;
    case 4: C_InitPIN(s, in(), any()); break;
    case 5: C_SetPIN(s, in(), any(), in(), any()); break;
    case 6: C_GetOperationState(s, saved, &len); break;
    case 7: C_SetOperationState(s, saved, len, 0, 0); break;
    case 8: C_GetSlotList(byte() & 1, byte() & 1 ? slots : NULL, n > 4 ? NULL : &n); break;
    case 9: C_GetSlotInfo(any(), &slot), C_GetTokenInfo(byte() % 4, &token); break;
    case 10: C_GetSessionInfo(s, byte() % 4 ? &info : NULL); break;
    case 11: C_CloseSession(s); break;
    case 12: C_OpenSession(byte() % 4, byte() | CKF_SERIAL_SESSION, NULL, NULL, &sessions[byte() % 4]); break;
    case 13: C_AsyncComplete(s, TEXT("C_InitPIN"), &result); break;
    case 14: C_AsyncJoin(s, TEXT("C_InitPIN"), 77, NULL, 0); break;
    default: C_WaitForSlotEvent(CKF_DONT_BLOCK, slots, NULL); break;
    }
}

static void finish(void)
{
    fake_close(&daemon_);
}

static void begin(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    fake_open(&daemon_);
    daemon_.control->version = 2;
    atexit(finish);
    memcpy(pool, "1234", 4);
    for (size_t i = 4; i < POOL; i++)
        pool[i] = (uint8_t)i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    at = data;
    left = size;
    if (C_Initialize(NULL) != CKR_OK)
        abort();
    for (size_t i = 0; i < 4; i++)
        C_OpenSession(i != 3, CKF_SERIAL_SESSION | (i < 2 ? CKF_RW_SESSION : 0), NULL, NULL, &sessions[i]);
    C_Login(sessions[0], CKU_USER, pool, 4);
    memset(handles, 0, sizeof(handles));
    handles[0] = FAKE_AES;
    CK_MECHANISM aes = {CKM_AES_KEY_GEN, NULL, 0};
    C_GenerateKey(sessions[0], &aes, NULL, 0, &handles[1]);
    memset(attributes, 0, sizeof(attributes));
    for (unsigned i = 0; i < CALLS_MAX && left > 0; i++) {
        uint8_t kind = byte();
        uint8_t which = byte();
        CK_SESSION_HANDLE s = session();
        daemon_.control->error = kind & 0x80 ? byte() % LH_CODE_COUNT : 0;
        switch (kind % 6) {
        case 0: inits(which, s); break;
        case 1: operates(which, s); break;
        case 2: messages(which, s); break;
        case 3: makes(which, s); break;
        case 4: reads(which, s); break;
        default: rest(which, s); break;
        }
    }
    daemon_.control->error = 0;
    if (C_Finalize(NULL) != CKR_OK)
        abort();
    return 0;
}
