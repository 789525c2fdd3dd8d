/* Parameters of mechanisms that work on data, as the application's structs, to the wire's form (enum
 * lh_param). Every length is checked before anything is read through the pointer beside it. */
#include "token.h"

#define GCM_TAG_BITS_MAX 128u

/* CK_GCM_PARAMS before the errata of 2.40, which had no ulIvBits (PKCS#11 2.40 mechanisms, section 2.12.2).
 */
struct gcm_params_short {
    CK_BYTE_PTR nonce;
    CK_ULONG iv_size;
    CK_BYTE_PTR aad;
    CK_ULONG aad_size;
    CK_ULONG tag_width;
};

bool lh_token_span_ok(const void *p, CK_ULONG len, size_t max)
{
    return len <= max && (p || len == 0);
}

CK_RV lh_token_params_take(const CK_MECHANISM *m, void *out, size_t size)
{
    if (m->ulParameterLen != size || !m->pParameter)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(out, m->pParameter, size);
    return CKR_OK;
}

static CK_RV put_number(CK_ULONG value, lh_buf *ret)
{
    if (value > UINT32_MAX)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)value);
    return CKR_OK;
}

static CK_RV encode_gcm(const CK_MECHANISM *m, lh_buf *ret)
{
    struct gcm_params_short p;
    if (m->ulParameterLen == sizeof(CK_GCM_PARAMS)) {
        CK_GCM_PARAMS full;
        memcpy(&full, m->pParameter, sizeof(full));
        p = (struct gcm_params_short){full.pIv, full.ulIvLen, full.pAAD, full.ulAADLen, full.ulTagBits};
    } else if (m->ulParameterLen == sizeof(p)) {
        memcpy(&p, m->pParameter, sizeof(p));
    } else {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    /* 8 + 4: the two lengths and the tag's bits in the encoding. */
    if (!p.nonce || p.iv_size == 0 || p.iv_size > LH_GCM_IV_MAX ||
        !lh_token_span_ok(p.aad, p.aad_size, LH_WIRE_PARAMS_MAX - LH_GCM_IV_MAX - 12) ||
        p.tag_width > GCM_TAG_BITS_MAX || p.tag_width % 8 != 0)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_blob(ret, LH_BYTES(p.nonce, p.iv_size));
    lh_put_blob(ret, LH_BYTES(p.aad, p.aad_size));
    lh_put_u32(ret, (uint32_t)p.tag_width);
    return CKR_OK;
}

static CK_RV encode_ccm(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_CCM_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!p.pNonce || p.ulNonceLen == 0 || p.ulNonceLen > 13 || p.ulMACLen > 16 ||
        !lh_token_span_ok(p.pAAD, p.ulAADLen, LH_WIRE_PARAMS_MAX - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u64(ret, p.ulDataLen);
    lh_put_blob(ret, LH_BYTES(p.pNonce, p.ulNonceLen));
    lh_put_blob(ret, LH_BYTES(p.pAAD, p.ulAADLen));
    lh_put_u32(ret, (uint32_t)p.ulMACLen);
    return CKR_OK;
}

static CK_RV encode_chacha20_poly1305(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_SALSA20_CHACHA20_POLY1305_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    /* Bits says the specification, bytes say applications. */
    CK_ULONG nonce = p.ulNonceLen == 96 ? 12 : p.ulNonceLen;
    if (!p.pNonce || nonce == 0 || nonce > 24 ||
        !lh_token_span_ok(p.pAAD, p.ulAADLen, LH_WIRE_PARAMS_MAX - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_blob(ret, LH_BYTES(p.pNonce, nonce));
    lh_put_blob(ret, LH_BYTES(p.pAAD, p.ulAADLen));
    return CKR_OK;
}

static CK_RV encode_chacha20(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_CHACHA20_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!p.pBlockCounter || (p.blockCounterBits != 32 && p.blockCounterBits != 64) || !p.pNonce ||
        p.ulNonceBits == 0 || p.ulNonceBits > 192 || p.ulNonceBits % 8 != 0)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)p.blockCounterBits);
    lh_put_blob(ret, LH_BYTES(p.pBlockCounter, p.blockCounterBits / 8));
    lh_put_blob(ret, LH_BYTES(p.pNonce, p.ulNonceBits / 8));
    return CKR_OK;
}

static CK_RV encode_ctr(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_AES_CTR_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (p.ulCounterBits == 0 || p.ulCounterBits > 128)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)p.ulCounterBits);
    lh_put_raw(ret, p.cb, sizeof(p.cb));
    return CKR_OK;
}

static CK_RV encode_pss(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_RSA_PKCS_PSS_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv == CKR_OK)
        rv = put_number(p.hashAlg, ret);
    if (rv == CKR_OK)
        rv = put_number(p.mgf, ret);
    return rv == CKR_OK ? put_number(p.sLen, ret) : rv;
}

CK_RV lh_token_params_oaep(const CK_RSA_PKCS_OAEP_PARAMS *p, lh_buf *ret)
{
    bool none = p->source == 0 && p->ulSourceDataLen == 0;
    if ((!none && p->source != CKZ_DATA_SPECIFIED) ||
        !lh_token_span_ok(p->pSourceData, p->ulSourceDataLen, LH_WIRE_PARAMS_MAX - 64))
        return CKR_MECHANISM_PARAM_INVALID;
    CK_RV rv = put_number(p->hashAlg, ret);
    if (rv == CKR_OK)
        rv = put_number(p->mgf, ret);
    lh_put_blob(ret, LH_BYTES(p->pSourceData, p->ulSourceDataLen));
    return rv;
}

static CK_RV encode_oaep(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_RSA_PKCS_OAEP_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    return rv == CKR_OK ? lh_token_params_oaep(&p, ret) : rv;
}

static CK_RV encode_eddsa(const CK_MECHANISM *m, lh_buf *ret)
{
    if (m->ulParameterLen == 0)
        return CKR_OK;
    CK_EDDSA_PARAMS p;
    CK_RV rv = lh_token_params_take(m, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (p.phFlag > 1 || !lh_token_span_ok(p.pContextData, p.ulContextDataLen, LH_SIGN_CONTEXT_MAX))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u8(ret, p.phFlag);
    lh_put_blob(ret, LH_BYTES(p.pContextData, p.ulContextDataLen));
    return CKR_OK;
}

static CK_RV encode_context(const CK_MECHANISM *m, bool hash, lh_buf *ret)
{
    CK_HASH_SIGN_ADDITIONAL_CONTEXT p = {0};
    if (m->ulParameterLen == 0 && !hash)
        return CKR_OK;
    /* One begins as the other. */
    CK_RV rv = lh_token_params_take(m, &p, hash ? sizeof(p) : sizeof(CK_SIGN_ADDITIONAL_CONTEXT));
    if (rv != CKR_OK)
        return rv;
    if (p.hedgeVariant > CKH_DETERMINISTIC_REQUIRED ||
        !lh_token_span_ok(p.pContext, p.ulContextLen, LH_SIGN_CONTEXT_MAX))
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)p.hedgeVariant);
    lh_put_blob(ret, LH_BYTES(p.pContext, p.ulContextLen));
    return hash ? put_number(p.hash, ret) : CKR_OK;
}

static CK_RV encode_number(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_ULONG value;
    CK_RV rv = lh_token_params_take(m, &value, sizeof(value));
    return rv == CKR_OK ? put_number(value, ret) : rv;
}

/* len bytes, or any number but none where len is 0. */
static CK_RV encode_raw(const CK_MECHANISM *m, size_t len, lh_buf *ret)
{
    bool right =
        len > 0 ? m->ulParameterLen == len : m->ulParameterLen > 0 && m->ulParameterLen <= LH_WIRE_PARAMS_MAX;
    if (!right)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_raw(ret, m->pParameter, m->ulParameterLen);
    return CKR_OK;
}

static CK_RV encode_optional_iv(const CK_MECHANISM *m, lh_buf *ret)
{
    if (m->ulParameterLen != 0 && m->ulParameterLen != 4 && m->ulParameterLen != 8)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_raw(ret, m->pParameter, m->ulParameterLen);
    return CKR_OK;
}

static CK_RV encode(const lh_mechanism *row, const CK_MECHANISM *m, lh_buf *ret)
{
    if (m->ulParameterLen > 0 && !m->pParameter)
        return CKR_MECHANISM_PARAM_INVALID;
    switch (row->param) {
    case LH_PARAM_NONE: return m->ulParameterLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
    case LH_PARAM_IV16: return encode_raw(m, 16, ret);
    case LH_PARAM_IV8: return encode_raw(m, 8, ret);
    case LH_PARAM_BYTES: return encode_raw(m, 0, ret);
    case LH_PARAM_IV_OPTIONAL: return encode_optional_iv(m, ret);
    case LH_PARAM_GCM: return encode_gcm(m, ret);
    case LH_PARAM_CCM: return encode_ccm(m, ret);
    case LH_PARAM_CHACHA20_POLY1305: return encode_chacha20_poly1305(m, ret);
    case LH_PARAM_CHACHA20: return encode_chacha20(m, ret);
    case LH_PARAM_CTR: return encode_ctr(m, ret);
    case LH_PARAM_PSS: return encode_pss(m, ret);
    case LH_PARAM_OAEP: return encode_oaep(m, ret);
    case LH_PARAM_EDDSA: return encode_eddsa(m, ret);
    case LH_PARAM_SIGN_CONTEXT: return encode_context(m, false, ret);
    case LH_PARAM_HASH_SIGN_CONTEXT: return encode_context(m, true, ret);
    case LH_PARAM_LENGTH:
    case LH_PARAM_BIT_INDEX: return encode_number(m, ret);
    case LH_PARAM_STRING:
    case LH_PARAM_KEY:
    case LH_PARAM_IV16_DATA:
    case LH_PARAM_ECDH:
    case LH_PARAM_HKDF:
    case LH_PARAM_SP800_108:
    case LH_PARAM_PBKD2:
    case LH_PARAM_RSA_AES_WRAP: break;
    }
    return lh_token_params_key(row, m, ret);
}

CK_RV lh_token_params(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret)
{
    CK_RV rv = encode(row, mechanism, ret);
    if (rv == CKR_OK && ret->status != LH_OK)
        return ret->status == LH_E_NOMEM ? CKR_HOST_MEMORY : CKR_MECHANISM_PARAM_INVALID;
    return rv;
}
