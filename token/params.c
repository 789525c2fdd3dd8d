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
    if (!p.nonce || p.iv_size == 0 || p.iv_size > LH_GCM_IV_MAX || (!p.aad && p.aad_size > 0) ||
        p.aad_size > LH_WIRE_PARAMS_MAX - LH_GCM_IV_MAX - 12 || p.tag_width > GCM_TAG_BITS_MAX ||
        p.tag_width % 8 != 0)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_blob(ret, LH_BYTES(p.nonce, p.iv_size));
    lh_put_blob(ret, LH_BYTES(p.aad, p.aad_size));
    lh_put_u32(ret, (uint32_t)p.tag_width);
    return CKR_OK;
}

static CK_RV encode_ctr(const CK_MECHANISM *m, lh_buf *ret)
{
    CK_AES_CTR_PARAMS p;
    if (m->ulParameterLen != sizeof(p))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&p, m->pParameter, sizeof(p));
    if (p.ulCounterBits == 0 || p.ulCounterBits > 128)
        return CKR_MECHANISM_PARAM_INVALID;
    lh_put_u32(ret, (uint32_t)p.ulCounterBits);
    lh_put_raw(ret, p.cb, sizeof(p.cb));
    return CKR_OK;
}

static CK_RV encode(const lh_mechanism *row, const CK_MECHANISM *m, lh_buf *ret)
{
    if (m->ulParameterLen > 0 && !m->pParameter)
        return CKR_MECHANISM_PARAM_INVALID;
    switch ((int)row->param) {
    case LH_PARAM_NONE: return m->ulParameterLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
    case LH_PARAM_IV16:
        if (m->ulParameterLen != 16)
            return CKR_MECHANISM_PARAM_INVALID;
        lh_put_raw(ret, m->pParameter, 16);
        return CKR_OK;
    case LH_PARAM_GCM: return encode_gcm(m, ret);
    case LH_PARAM_CTR: return encode_ctr(m, ret);
    default: return CKR_MECHANISM_PARAM_INVALID;
    }
}

CK_RV lh_token_params(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret)
{
    CK_RV rv = encode(row, mechanism, ret);
    if (rv == CKR_OK && ret->status != LH_OK)
        return CKR_HOST_MEMORY;
    return rv;
}
