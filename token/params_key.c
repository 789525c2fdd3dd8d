/* Parameters of mechanisms that make, wrap and derive keys, to the wire's form (enum lh_param). */
#include "token.h"

#include <sys/uio.h>
#include <unistd.h>

#define FIELDS_MAX 64u  /* fields of an SP 800-108 parameter */
#define FURTHER_MAX 63u /* further keys of one */

_Static_assert(FURTHER_MAX < LH_WIRE_DERIVED_MAX, "the derived key and the further ones fit a reply");

static CK_RV put_number(CK_ULONG value, lh_buf *ret)
{
    if (value > UINT32_MAX)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)value);
    return CKR_OK;
}

static CK_RV encode_string(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_KEY_DERIVATION_STRING_DATA p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!lh_token_span_ok(p.pData, p.ulLen, LH_WIRE_PARAMS_MAX))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_raw(ret, p.pData, p.ulLen);
    return CKR_OK;
}

static CK_RV encode_handle(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_OBJECT_HANDLE handle;
    CK_RV rv = lh_token_params_take(m, &handle, sizeof(handle));
    if (rv == CKR_OK)
        lh_put_u64(ret, handle);
    return rv;
}

static CK_RV encode_iv_data(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_AES_CBC_ENCRYPT_DATA_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!lh_token_span_ok(p.pData, p.length, LH_WIRE_PARAMS_MAX - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_raw(ret, p.iv, sizeof(p.iv));
    lh_put_blob(ret, LH_BYTES(p.pData, p.length));
    return CKR_OK;
}

static CK_RV encode_ecdh(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_ECDH1_DERIVE_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!lh_token_span_ok(p.pSharedData, p.ulSharedDataLen, LH_WIRE_PARAMS_MAX / 2) ||
        !lh_token_span_ok(p.pPublicData, p.ulPublicDataLen, LH_WIRE_PARAMS_MAX / 2 - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    rv = put_number(p.kdf, ret);
    lh_put_blob(ret, LH_BYTES(p.pSharedData, p.ulSharedDataLen));
    lh_put_blob(ret, LH_BYTES(p.pPublicData, p.ulPublicDataLen));
    return rv;
}

static CK_RV encode_hkdf(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_HKDF_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    bool data = p.ulSaltType == CKF_HKDF_SALT_DATA;
    bool key = p.ulSaltType == CKF_HKDF_SALT_KEY;
    if (!data && !key && p.ulSaltType != CKF_HKDF_SALT_NULL)
        return CKR_MECHANISM_PARAM_INVALID;
    if (p.bExtract > 1 || p.bExpand > 1 ||
        (data && !lh_token_span_ok(p.pSalt, p.ulSaltLen, LH_WIRE_PARAMS_MAX / 2)) ||
        !lh_token_span_ok(p.pInfo, p.ulInfoLen, LH_WIRE_PARAMS_MAX / 2 - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u8(ret, p.bExtract);
    lh_put_u8(ret, p.bExpand);
    rv = put_number(p.prfHashMechanism, ret);
    lh_put_u32(ret, (uint32_t)p.ulSaltType);
    lh_put_blob(ret, data ? LH_BYTES(p.pSalt, p.ulSaltLen) : LH_BYTES_NONE);
    lh_put_u64(ret, key ? p.hSaltKey : 0);
    lh_put_blob(ret, LH_BYTES(p.pInfo, p.ulInfoLen));
    return rv;
}

/* --- SP 800-108
 * ---------------------------------------------------------------------------------------------- */

static CK_RV put_counter(const CK_PRF_DATA_PARAM *field, lh_buf *ret)
{
    CK_SP800_108_COUNTER_FORMAT f;
    lh_put_u32(ret, 5);
    memcpy(&f, field->pValue, sizeof(f));
    lh_put_u8(ret, f.bLittleEndian != 0);
    return put_number(f.ulWidthInBits, ret);
}

static CK_RV put_dkm_length(const CK_PRF_DATA_PARAM *field, lh_buf *ret)
{
    CK_SP800_108_DKM_LENGTH_FORMAT f;
    memcpy(&f, field->pValue, sizeof(f));
    lh_put_u32(ret, 9);
    CK_RV rv = put_number(f.dkmLengthMethod, ret);
    lh_put_u8(ret, f.bLittleEndian != 0);
    return rv == CKR_OK ? put_number(f.ulWidthInBits, ret) : rv;
}

static CK_RV put_key_handle(const CK_PRF_DATA_PARAM *field, lh_buf *ret)
{
    CK_OBJECT_HANDLE handle;
    memcpy(&handle, field->pValue, sizeof(handle));
    lh_put_u32(ret, 8);
    lh_put_u64(ret, handle);
    return CKR_OK;
}

static CK_RV put_field(const CK_PRF_DATA_PARAM *field, lh_buf *ret)
{
    static const struct {
        CK_PRF_DATA_TYPE type;
        size_t size;
        bool may_be_empty;
        CK_RV (*put)(const CK_PRF_DATA_PARAM *, lh_buf *);
    } kinds[] = {
        {CK_SP800_108_ITERATION_VARIABLE, sizeof(CK_SP800_108_COUNTER_FORMAT), true, put_counter},
        {CK_SP800_108_COUNTER, sizeof(CK_SP800_108_COUNTER_FORMAT), false, put_counter},
        {CK_SP800_108_DKM_LENGTH, sizeof(CK_SP800_108_DKM_LENGTH_FORMAT), false, put_dkm_length},
        {CK_SP800_108_KEY_HANDLE, sizeof(CK_OBJECT_HANDLE), false, put_key_handle},
    };
    if (!lh_token_span_ok(field->pValue, field->ulValueLen, LH_WIRE_PARAMS_MAX))
        return CKR_MECHANISM_PARAM_INVALID;
    CK_RV rv = put_number(field->type, ret);
    if (rv != CKR_OK || field->type == CK_SP800_108_BYTE_ARRAY) {
        lh_put_blob(ret, LH_BYTES(field->pValue, field->ulValueLen));
        return rv;
    }
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        if (kinds[i].type != field->type)
            continue;
        if (field->ulValueLen == 0 && kinds[i].may_be_empty) {
            lh_put_u32(ret, 0);
            return CKR_OK;
        }
        return field->ulValueLen == kinds[i].size ? kinds[i].put(field, ret) : CKR_MECHANISM_PARAM_INVALID;
    }
    return CKR_MECHANISM_PARAM_INVALID;
}

/* Either struct, as the longer one. */
static CK_RV take_sp800_108(const CK_MECHANISM *m, CK_SP800_108_FEEDBACK_KDF_PARAMS *ret)
{
    CK_SP800_108_KDF_PARAMS plain;
    if (lh_token_params_take(m, ret, sizeof(*ret)) == CKR_OK)
        return CKR_OK;
    CK_RV rv = lh_token_params_take(m, &plain, sizeof(plain));
    if (rv == CKR_OK)
        *ret = (CK_SP800_108_FEEDBACK_KDF_PARAMS){plain.prfType, plain.ulNumberOfDataParams,
            plain.pDataParams, 0, NULL, plain.ulAdditionalDerivedKeys, plain.pAdditionalDerivedKeys};
    return rv;
}

static CK_RV put_further(const CK_SP800_108_FEEDBACK_KDF_PARAMS *p, lh_buf *ret)
{
    lh_put_u32(ret, (uint32_t)p->ulAdditionalDerivedKeys);
    for (CK_ULONG i = 0; i < p->ulAdditionalDerivedKeys && ret->status == LH_OK; i++) {
        const CK_DERIVED_KEY *key = &p->pAdditionalDerivedKeys[i];
        if (!key->phKey)
            return CKR_MECHANISM_PARAM_INVALID;
        LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_PARAMS_MAX);
        CK_RV rv = lh_token_template(key->pTemplate, key->ulAttributeCount, &attributes);
        if (rv != CKR_OK)
            return rv == CKR_HOST_MEMORY ? CKR_MECHANISM_PARAM_INVALID : rv;
        lh_put_blob(ret, lh_buf_bytes(&attributes));
    }
    return CKR_OK;
}

static CK_RV encode_sp800_108(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_SP800_108_FEEDBACK_KDF_PARAMS p;
    CK_RV rv = take_sp800_108(m, &p);
    if (rv != CKR_OK)
        return rv;
    if (p.ulNumberOfDataParams > FIELDS_MAX || (!p.pDataParams && p.ulNumberOfDataParams > 0) ||
        p.ulAdditionalDerivedKeys > FURTHER_MAX ||
        (!p.pAdditionalDerivedKeys && p.ulAdditionalDerivedKeys > 0) ||
        !lh_token_span_ok(p.pIV, p.ulIVLen, LH_WIRE_PARAMS_MAX))
        return CKR_MECHANISM_PARAM_INVALID;
    rv = put_number(p.prfType, ret);
    lh_put_u32(ret, (uint32_t)p.ulNumberOfDataParams);
    for (CK_ULONG i = 0; rv == CKR_OK && i < p.ulNumberOfDataParams; i++)
        rv = put_field(&p.pDataParams[i], ret);
    if (rv != CKR_OK)
        return rv;
    lh_put_blob(ret, LH_BYTES(p.pIV, p.ulIVLen));
    return put_further(&p, ret);
}

size_t lh_token_params_further(const lh_mechanism *row, const CK_MECHANISM *mechanism, CK_DERIVED_KEY **ret)
{
    CK_SP800_108_FEEDBACK_KDF_PARAMS p;
    if (row->param != LH_PARAM_SP800_108 || take_sp800_108(mechanism, &p) != CKR_OK)
        return 0;
    *ret = p.pAdditionalDerivedKeys;
    return p.ulAdditionalDerivedKeys;
}

/* --- PBKDF2, RSA-AES wrapping
 * -------------------------------------------------------------------------------- */

/* The system reads it, so that what is no address is an answer and not a crash. */
static bool peek(uintptr_t at, CK_ULONG *ret)
{
    CK_ULONG value = 0;
    struct iovec to = {&value, sizeof(value)};
    struct iovec from = {NULL, sizeof(value)};
    memcpy(&from.iov_base, &at, sizeof(at));
    if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)sizeof(value))
        return false;
    *ret = value;
    return true;
}

/* The two structs are alike in memory but for the password's length, which the older has a pointer to. Which
 * one it is shows in the number: no password is so long that it could be an address. */
static CK_RV take_pbkd2(const CK_MECHANISM *m, CK_PKCS5_PBKD2_PARAMS2 *ret)
{
    _Static_assert(sizeof(CK_PKCS5_PBKD2_PARAMS) == sizeof(*ret), "only the last field differs");
    CK_RV rv = lh_token_params_take(m, ret, sizeof(*ret));
    if (rv != CKR_OK || ret->ulPasswordLen <= LH_WIRE_PARAMS_MAX)
        return rv;
    return peek(ret->ulPasswordLen, &ret->ulPasswordLen) ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV encode_pbkd2(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_PKCS5_PBKD2_PARAMS2 p;
    CK_RV rv = take_pbkd2(m, &p);
    if (rv != CKR_OK)
        return rv;
    if (p.saltSource != CKZ_SALT_SPECIFIED || p.ulPrfDataLen != 0 ||
        !lh_token_span_ok(p.pSaltSourceData, p.ulSaltSourceDataLen, LH_WIRE_PARAMS_MAX / 2) ||
        !lh_token_span_ok(p.pPassword, p.ulPasswordLen, LH_WIRE_PARAMS_MAX / 2 - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    rv = put_number(p.prf, ret);
    lh_put_u64(ret, p.iterations);
    lh_put_blob(ret, LH_BYTES(p.pSaltSourceData, p.ulSaltSourceDataLen));
    lh_put_blob(ret, LH_BYTES(p.pPassword, p.ulPasswordLen));
    return rv;
}

static CK_RV encode_rsa_aes(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_RSA_AES_KEY_WRAP_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!p.pOAEPParams)
        return CKR_MECHANISM_PARAM_INVALID;
    rv = put_number(p.ulAESKeyBits, ret);
    return rv == CKR_OK ? lh_token_params_oaep(p.pOAEPParams, ret) : rv;
}

CK_RV lh_token_params_key(const lh_mechanism *row, const CK_MECHANISM *m, lh_buf *ret)
{
    switch ((int)row->param) {
    case LH_PARAM_STRING: return encode_string(m, ret);
    case LH_PARAM_KEY: return encode_handle(m, ret);
    case LH_PARAM_IV16_DATA: return encode_iv_data(m, ret);
    case LH_PARAM_ECDH: return encode_ecdh(m, ret);
    case LH_PARAM_HKDF: return encode_hkdf(m, ret);
    case LH_PARAM_SP800_108: return encode_sp800_108(m, ret);
    case LH_PARAM_PBKD2: return encode_pbkd2(m, ret);
    case LH_PARAM_RSA_AES_WRAP: return encode_rsa_aes(m, ret);
    default: return CKR_MECHANISM_PARAM_INVALID;
    }
}
