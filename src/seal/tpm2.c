/* The TPM 2.0 seal: the blob's format, and what its failures mean to a person. */
#include "seal/seal.h"

#include "base/limits.h"
#include "codec/bin.h"
#include "crypto/hash.h"

#define MAGIC "LHSEAL"
#define VERSION 1u
#define KIND_TPM2 1u
#define TAG_SIZE 32u
#define TAG_INFO "leasehold-seal-blob-v1"

static void put_name(lh_buf *out, const lh_tpm_name *name)
{
    lh_put_blob(out, LH_BYTES(name->data, name->len));
}

static lh_err encode(const lh_tpm_sealed *sealed, lh_buf *out)
{
    lh_put_raw(out, MAGIC, strlen(MAGIC));
    lh_put_u8(out, VERSION);
    lh_put_u8(out, KIND_TPM2);
    lh_put_u32(out, sealed->pcr_mask);
    for (unsigned i = 0; i < LH_TPM_PCRS; i++)
        if (sealed->pcr_mask >> i & 1u)
            lh_put_raw(out, sealed->pcrs[i], 32);
    put_name(out, &sealed->tpm.srk);
    put_name(out, &sealed->tpm.owner);
    put_name(out, &sealed->tpm.ek);
    lh_put_blob(out, LH_BYTES(sealed->public_part, sealed->public_len));
    lh_put_blob(out, LH_BYTES(sealed->private_part, sealed->private_len));
    return lh_buf_status(out);
}

static void read_name(lh_reader *r, lh_tpm_name *name)
{
    lh_bytes bytes = lh_read_blob(r, LH_TPM_NAME_MAX);
    name->len = bytes.len;
    if (bytes.len < 3)
        r->bad = true; /* a Name is an algorithm and a digest */
    else
        memcpy(name->data, bytes.data, bytes.len);
}

static uint16_t read_part(lh_reader *r, uint8_t out[LH_TPM_SEALED_PART_MAX])
{
    lh_bytes bytes = lh_read_blob(r, LH_TPM_SEALED_PART_MAX);
    if (bytes.len == 0)
        r->bad = true;
    else
        memcpy(out, bytes.data, bytes.len);
    return (uint16_t)bytes.len;
}

static lh_err damaged(void)
{
    return LH_REFUSE(
        LH_E_CORRUPT, "seal-damaged", "the seal is damaged or is none; put the store back from a backup");
}

/* ret_tag: borrowed, TAG_SIZE bytes; what it covers is all before it. */
static lh_err decode(lh_bytes blob, lh_tpm_sealed *ret, lh_bytes *ret_tag)
{
    lh_reader r = lh_reader_new(blob);
    lh_bytes magic = lh_read_raw(&r, strlen(MAGIC));
    uint8_t version = lh_read_u8(&r);
    uint8_t kind = lh_read_u8(&r);
    if (r.bad || blob.len > LH_LIMIT_SEAL || !lh_bytes_equal(magic, LH_BYTES_STR(MAGIC)) || version == 0 ||
        kind == 0)
        return damaged();
    if (version != VERSION || kind != KIND_TPM2)
        return LH_REFUSE(LH_E_UNSUPPORTED, "seal-version",
            "the seal is of version %u, kind %u, which this program does not know; use the newer one that "
            "wrote it",
            version, kind);
    lh_tpm_sealed sealed = {.pcr_mask = lh_read_u32(&r)};
    if (sealed.pcr_mask == 0 || (sealed.pcr_mask & ~LH_TPM_PCR_MASK_ALL) != 0)
        return damaged();
    for (unsigned i = 0; i < LH_TPM_PCRS; i++)
        if (sealed.pcr_mask >> i & 1u)
            lh_read_into(&r, sealed.pcrs[i], 32);
    read_name(&r, &sealed.tpm.srk);
    read_name(&r, &sealed.tpm.owner);
    read_name(&r, &sealed.tpm.ek);
    sealed.public_len = read_part(&r, sealed.public_part);
    sealed.private_len = read_part(&r, sealed.private_part);
    lh_bytes tag = lh_read_raw(&r, TAG_SIZE);
    if (r.bad || r.left != 0)
        return damaged();
    *ret = sealed;
    *ret_tag = tag;
    return LH_SUCCESS;
}

static lh_err blob_tag(const lh_secret *root, lh_bytes covered, uint8_t ret[TAG_SIZE])
{
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    LH_TRY(lh_hkdf_sha256_secret(
        crypto, lh_secret_bytes(root), LH_BYTES_NONE, LH_BYTES_STR(TAG_INFO), TAG_SIZE, &key));
    return lh_hmac_sha256(crypto, lh_secret_bytes(key), &covered, 1, ret);
}

lh_err lh_seal_create(lh_tpm *tpm, const lh_secret *root, uint32_t pcr_mask, lh_buf *ret_blob)
{
    lh_tpm_sealed sealed;
    LH_TRY(lh_tpm_seal(tpm, root, pcr_mask, &sealed));
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_LIMIT_SEAL);
    LH_TRY(encode(&sealed, &blob));
    uint8_t tag[TAG_SIZE];
    LH_TRY(blob_tag(root, lh_buf_bytes(&blob), tag));
    lh_put_raw(&blob, tag, sizeof(tag));
    LH_TRY(lh_buf_status(&blob));
    lh_buf_append(ret_blob, blob.data, blob.len);
    return lh_buf_status(ret_blob);
}

/* Which PCRs are not what they were? */
static lh_err name_changed_pcrs(lh_tpm *tpm, const lh_tpm_sealed *sealed)
{
    uint8_t now[LH_TPM_PCRS][32];
    LH_TRY(lh_tpm_pcr_read(tpm, sealed->pcr_mask, now));
    LH_AUTO(lh_buf_free) lh_buf names = LH_BUF_INIT(256);
    for (unsigned i = 0; i < LH_TPM_PCRS; i++)
        if ((sealed->pcr_mask >> i & 1u) && memcmp(now[i], sealed->pcrs[i], 32) != 0)
            lh_buf_printf(&names, "%sPCR %u", names.len ? ", " : "", i);
    if (names.len == 0)
        return LH_REFUSE(LH_E_SEAL_POLICY, "seal-pcr-changed",
            "the TPM refuses the platform's state, though no PCR differs now from what the vault was sealed "
            "to; the "
            "seal may be damaged, or a PCR has just changed: try again");
    const char *text = lh_buf_cstr(&names);
    return LH_REFUSE(LH_E_SEAL_POLICY, "seal-pcr-changed",
        "the platform is not in the state that the vault was sealed to: %s changed; if firmware, boot loader "
        "or "
        "kernel were updated on purpose, start the earlier ones or recover the vault and seal it again; if "
        "not, find "
        "out who changed them",
        text ? text : "a PCR");
}

lh_err lh_seal_open(lh_tpm *tpm, lh_bytes blob, lh_secret **ret_root)
{
    lh_tpm_sealed sealed;
    lh_bytes tag;
    LH_TRY(decode(blob, &sealed, &tag));
    LH_AUTO(lh_secret_freep) lh_secret *root = NULL;
    lh_err err = lh_tpm_unseal(tpm, &sealed, &root);
    if (err.code == LH_E_SEAL_POLICY)
        return name_changed_pcrs(tpm, &sealed);
    LH_TRY(err);
    uint8_t expected[TAG_SIZE];
    LH_TRY(blob_tag(root, LH_BYTES(blob.data, blob.len - TAG_SIZE), expected));
    if (!lh_equal_ct(expected, tag.data, TAG_SIZE))
        return damaged();
    *ret_root = LH_TAKE(root);
    return LH_SUCCESS;
}

lh_err lh_seal_describe(lh_bytes blob, lh_seal_facts *ret)
{
    lh_tpm_sealed sealed;
    lh_bytes tag;
    LH_TRY(decode(blob, &sealed, &tag));
    *ret = (lh_seal_facts){.pcr_mask = sealed.pcr_mask, .tpm = sealed.tpm};
    memcpy(ret->pcrs, sealed.pcrs, sizeof(ret->pcrs));
    return LH_SUCCESS;
}
