/* Parameters of messages and of authenticated wrapping: IV and tag in the application's memory, where the
 * token may write them (PKCS#11 3.0 mechanisms, section 2.12.2; 3.2 section 6.13). */
#include "token.h"

#define TAG_MAX 16u
#define IV_OURS_MIN 64u /* bits of an IV that are the token's, where it is to make it */

/* What every kind has to keep to. */
static CK_RV check(const lh_token_message *m, size_t iv_min, size_t iv_max)
{
    if (!m->iv || m->iv_len < iv_min || m->iv_len > iv_max || m->tag_len > TAG_MAX ||
        m->generator > CKG_GENERATE_COUNTER_XOR)
        return CKR_MECHANISM_PARAM_INVALID;
    if (m->generator == CKG_NO_GENERATE)
        return CKR_OK;
    bool room = m->fixed_bits <= 8 * m->iv_len && 8 * m->iv_len - m->fixed_bits >= IV_OURS_MIN;
    return room ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV take(const void *parameter, CK_ULONG len, void *out, size_t size)
{
    CK_MECHANISM m = {0, NULL, len};
    memcpy(&m.pParameter, &parameter, sizeof(parameter));
    return lh_token_params_take(&m, out, size);
}

static CK_RV take_gcm(const void *parameter, CK_ULONG len, lh_token_message *ret)
{
    CK_GCM_MESSAGE_PARAMS p;
    CK_RV rv = take(parameter, len, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (p.ulTagBits > 8 * TAG_MAX || p.ulTagBits % 8 != 0 || !p.pTag)
        return CKR_MECHANISM_PARAM_INVALID;
    *ret = (lh_token_message){.iv = p.pIv,
        .iv_len = p.ulIvLen,
        .fixed_bits = p.ulIvFixedBits,
        .generator = p.ivGenerator,
        .tag = p.pTag,
        .tag_len = p.ulTagBits / 8};
    return check(ret, 1, LH_GCM_IV_MAX);
}

static CK_RV take_ccm(const void *parameter, CK_ULONG len, lh_token_message *ret)
{
    CK_CCM_MESSAGE_PARAMS p;
    CK_RV rv = take(parameter, len, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!p.pMAC)
        return CKR_MECHANISM_PARAM_INVALID;
    *ret = (lh_token_message){.iv = p.pNonce,
        .iv_len = p.ulNonceLen,
        .fixed_bits = p.ulNonceFixedBits,
        .generator = p.nonceGenerator,
        .tag = p.pMAC,
        .tag_len = p.ulMACLen,
        .counted = true,
        .data_len = p.ulDataLen};
    return check(ret, 7, 13);
}

static CK_RV take_chacha(const void *parameter, CK_ULONG len, lh_token_message *ret)
{
    CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS p;
    CK_RV rv = take(parameter, len, &p, sizeof(p));
    if (rv != CKR_OK)
        return rv;
    if (!p.pTag)
        return CKR_MECHANISM_PARAM_INVALID;
    *ret = (lh_token_message){.iv = p.pNonce,
        .iv_len = p.ulNonceLen == 96 ? 12 : p.ulNonceLen, /* bits or bytes */
        .tag = p.pTag,
        .tag_len = TAG_MAX};
    return check(ret, 1, 24);
}

CK_RV lh_token_params_message(
    const lh_mechanism *row, const void *parameter, CK_ULONG len, lh_token_message *ret)
{
    memset(ret, 0, sizeof(*ret));
    switch ((int)row->param) {
    case LH_PARAM_GCM: return take_gcm(parameter, len, ret);
    case LH_PARAM_CCM: return take_ccm(parameter, len, ret);
    case LH_PARAM_CHACHA20_POLY1305: return take_chacha(parameter, len, ret);
    default: return CKR_MECHANISM_PARAM_INVALID;
    }
}

bool lh_token_params_wrap(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_token_message *ret)
{
    CK_GCM_WRAP_PARAMS gcm;
    CK_CCM_WRAP_PARAMS ccm;
    lh_token_message m = {0};
    if (row->param == LH_PARAM_GCM && lh_token_params_take(mechanism, &gcm, sizeof(gcm)) == CKR_OK) {
        m = (lh_token_message){.iv = gcm.pIv,
            .iv_len = gcm.ulIvLen,
            .fixed_bits = gcm.ulIvFixedBits,
            .generator = gcm.ivGenerator,
            .tag_len = gcm.ulTagBits % 8 == 0 ? gcm.ulTagBits / 8 : SIZE_MAX,
            .aad = LH_BYTES(gcm.pAAD, gcm.ulAADLen)};
    } else if (row->param == LH_PARAM_CCM && lh_token_params_take(mechanism, &ccm, sizeof(ccm)) == CKR_OK) {
        m = (lh_token_message){.iv = ccm.pNonce,
            .iv_len = ccm.ulNonceLen,
            .fixed_bits = ccm.ulNonceFixedBits,
            .generator = ccm.nonceGenerator,
            .tag_len = ccm.ulMACLen,
            .counted = true,
            .data_len = ccm.ulDataLen,
            .aad = LH_BYTES(ccm.pAAD, ccm.ulAADLen)};
    } else {
        return false;
    }
    bool right = check(&m, 1, m.counted ? 13 : LH_GCM_IV_MAX) == CKR_OK &&
                 lh_token_span_ok(m.aad.data, m.aad.len, LH_WIRE_AAD_MAX);
    /* Of the right kind, but wrong: what comes of it is refused. */
    *ret = right ? m : (lh_token_message){0};
    return true;
}

CK_RV lh_token_params_of_message(const lh_mechanism *row, const lh_token_message *m, lh_bytes aad,
    uint64_t data_len, bool made, lh_buf *ret)
{
    if (row->param == LH_PARAM_CCM)
        lh_put_u64(ret, data_len);
    lh_put_blob(ret, LH_BYTES(m->iv, m->iv_len));
    lh_put_blob(ret, aad);
    if (row->param == LH_PARAM_GCM)
        lh_put_u32(ret, (uint32_t)m->tag_len * 8);
    if (row->param == LH_PARAM_CCM)
        lh_put_u32(ret, (uint32_t)m->tag_len);
    if (made) {
        lh_put_u8(ret, (uint8_t)m->generator);
        lh_put_u32(ret, (uint32_t)m->fixed_bits);
    }
    if (ret->status == LH_E_LIMIT)
        return CKR_MECHANISM_PARAM_INVALID; /* more additional data than goes with one message */
    return ret->status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/* Put the bits of made behind the fixed ones. */
static void put_bits(const lh_token_message *m, const uint8_t *made)
{
    for (size_t i = 0; i < m->iv_len; i++) {
        size_t kept = m->fixed_bits <= 8 * i ? 0 : m->fixed_bits - 8 * i;
        uint8_t mask = (uint8_t)(kept >= 8 ? 0 : 0xff >> kept);
        m->iv[i] = (uint8_t)((m->iv[i] & ~mask) | (made[i] & mask));
    }
}

/* The first message's IV with each message's number onto its end. The first is kept: what is passed with a
 * later one may be the last that was made. */
static void count_iv(const lh_token_message *m, lh_token_iv *iv)
{
    if (iv->count == 0) {
        memcpy(iv->first, m->iv, m->iv_len);
        iv->len = m->iv_len;
    }
    uint8_t made[LH_GCM_IV_MAX];
    memcpy(made, iv->first, m->iv_len);
    for (size_t i = 0; i < 8; i++)
        made[m->iv_len - 1 - i] ^= (uint8_t)(iv->count >> 8 * i);
    iv->count++;
    put_bits(m, made);
}

CK_RV lh_token_make_iv(lh_token *token, const lh_token_message *m, lh_token_iv *iv)
{
    if (m->generator == CKG_NO_GENERATE)
        return CKR_OK;
    if (m->generator == CKG_GENERATE_COUNTER_XOR) {
        if (!iv || (iv->count > 0 && iv->len != m->iv_len))
            return CKR_MECHANISM_PARAM_INVALID;
        count_iv(m, iv);
        return CKR_OK;
    }
    lh_random_request request = {(uint32_t)m->iv_len};
    lh_output_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_RANDOM, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_KEY);
    if (reply.output.len != m->iv_len)
        return CKR_DEVICE_ERROR;
    put_bits(m, reply.output.data);
    return CKR_OK;
}
