#include "agent/document.h"

#include "codec/base64.h"

/* Bytes of a TPM2B_ENCRYPTED_SECRET, its own length included: a point of two TPM2Bs, or an RSA block. */
#define SECRET_P256 (2u + 2u * (2u + 32u))
#define SECRET_P384 (2u + 2u * (2u + 48u))
#define SECRET_RSA (2u + 256u)

static lh_err put_blob(const char *name, lh_bytes blob, lh_buf *ret)
{
    lh_buf_printf(ret, "  \"%s\": \"", name);
    lh_base64_encode(blob, ret);
    lh_buf_append_str(ret, "\",\n");
    return lh_buf_status(ret);
}

static lh_err put_certificates(lh_tpm *tpm, uint16_t kind, lh_buf *ret)
{
    LH_AUTO(lh_buf_free) lh_buf der = LH_BUF_INIT(LH_TPM_EK_CERTIFICATE_MAX);
    lh_err err = lh_tpm_ek_certificate(tpm, kind, &der);
    if (err.code != LH_E_NOT_FOUND)
        LH_TRY(err);
    lh_buf_append_str(ret, "  \"ek_certificates\": [");
    if (lh_ok(err)) {
        lh_buf_append_str(ret, "\"");
        lh_base64_encode(lh_buf_bytes(&der), ret);
        lh_buf_append_str(ret, "\"");
    }
    lh_buf_append_str(ret, "],\n");
    return lh_buf_status(ret);
}

lh_err lh_agent_document(lh_tpm *tpm, const uint8_t channel_key[32], lh_buf *ret)
{
    uint16_t kind = 0;
    LH_TRY(lh_tpm_ek_choose(tpm, &kind));
    LH_AUTO(lh_buf_free) lh_buf ek = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    LH_TRY(lh_tpm_ek_public(tpm, kind, &ek));
    LH_TRY(lh_tpm_ak_public(tpm, &ak));
    char hash[65];
    lh_hex(channel_key, 32, hash);
    lh_buf_append_str(ret, "{\n");
    LH_TRY(put_blob("ek", lh_buf_bytes(&ek), ret));
    LH_TRY(put_certificates(tpm, kind, ret));
    LH_TRY(put_blob("ak", lh_buf_bytes(&ak), ret));
    lh_buf_printf(ret, "  \"channel_key\": \"sha256:%s\"\n}\n", hash);
    return lh_buf_status(ret);
}

uint16_t lh_agent_ek_kind(lh_bytes encrypted_secret)
{
    if (encrypted_secret.len == SECRET_RSA)
        return LH_TPM_EK_RSA;
    /* A point's coordinates may come without leading zeros. */
    if (encrypted_secret.len > SECRET_P256 && encrypted_secret.len <= SECRET_P384)
        return LH_TPM_EK_P384;
    return encrypted_secret.len > 2 && encrypted_secret.len <= SECRET_P256 ? LH_TPM_EK_P256 : 0;
}
