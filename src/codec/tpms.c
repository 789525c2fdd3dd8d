/* Readers of TPM structures. Each takes exactly its structure: a byte left over is a failure. */
#include "codec/tpms.h"

#include "codec/bin.h"

#define NAME_MAX_SIZE 66u   /* TPM2B_NAME: algorithm and digest */
#define EXTRA_MAX_SIZE 64u  /* TPM2B_DATA: at most a digest for qualifying data */
#define DIGEST_MAX_SIZE 64u /* TPM2B_DIGEST */
#define ALG_OAEP 0x0017u
#define ALG_ECDH 0x0019u

/* A TPM2B: a 16-bit size and so many bytes. */
static lh_bytes read_tpm2b(lh_reader *r, size_t min, size_t max)
{
    size_t size = lh_read_u16(r);
    if (size < min || size > max) {
        r->bad = true;
        return LH_BYTES_NONE;
    }
    return lh_read_raw(r, size);
}

lh_err lh_tpms_attest_parse(lh_bytes bytes, lh_tpms_attest *ret)
{
    lh_reader r = lh_reader_new(bytes);
    lh_tpms_attest attest = {0};
    attest.magic = lh_read_u32(&r);
    attest.type = lh_read_u16(&r);
    attest.qualified_signer = read_tpm2b(&r, 0, NAME_MAX_SIZE);
    attest.extra_data = read_tpm2b(&r, 0, EXTRA_MAX_SIZE);
    attest.clock = lh_read_u64(&r);
    attest.reset_count = lh_read_u32(&r);
    attest.restart_count = lh_read_u32(&r);
    uint8_t safe = lh_read_u8(&r);
    attest.firmware = lh_read_u64(&r);
    if (safe > 1)
        r.bad = true; /* TPMI_YES_NO */
    attest.safe = safe == 1;
    LH_TRY(lh_read_ok(&r, "TPMS_ATTEST"));
    attest.attested = lh_read_raw(&r, r.left);
    LH_TRY(lh_read_done(&r, "TPMS_ATTEST"));
    *ret = attest;
    return LH_SUCCESS;
}

static void read_selection(lh_reader *r, lh_tpms_selection *selection)
{
    selection->count = lh_read_u32(r);
    if (selection->count > LH_TPMS_BANKS_MAX) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < selection->count && !r->bad; i++) {
        selection->banks[i].hash = lh_read_u16(r);
        uint8_t size = lh_read_u8(r);
        if (size < 1 || size > 4) {
            r->bad = true;
            return;
        }
        selection->banks[i].select_size = size;
        for (unsigned k = 0; k < size; k++)
            selection->banks[i].mask |= (uint32_t)lh_read_u8(r) << (8 * k);
    }
}

lh_err lh_tpms_quote_parse(lh_bytes attested, lh_tpms_quote *ret)
{
    lh_reader r = lh_reader_new(attested);
    lh_tpms_quote quote = {0};
    read_selection(&r, &quote.selection);
    quote.pcr_digest = read_tpm2b(&r, 0, DIGEST_MAX_SIZE);
    LH_TRY(lh_read_done(&r, "TPMS_QUOTE_INFO"));
    *ret = quote;
    return LH_SUCCESS;
}

/* TPMT_SYM_DEF_OBJECT, Part 2, 11.1.7: mode and bits are those that secrets for the key are wrapped with. */
static lh_err read_symmetric(lh_reader *r, lh_tpms_public *public)
{
    public->symmetric = lh_read_u16(r);
    if (public->symmetric == LH_TPMS_ALG_NULL || r->bad)
        return LH_SUCCESS;
    if (public->symmetric != LH_TPMS_ALG_AES)
        return LH_REFUSE(LH_E_UNSUPPORTED, "tpm-algorithm",
            "the key's symmetric algorithm 0x%04x is not known", public->symmetric);
    public->symmetric_bits = lh_read_u16(r);
    public->symmetric_mode = lh_read_u16(r);
    return LH_SUCCESS;
}

/* TPMT_RSA_SCHEME and TPMT_ECC_SCHEME, Part 2, 11.2.4.2 and 11.2.5.6. */
static lh_err read_scheme(lh_reader *r, lh_tpms_public *public)
{
    public->scheme = lh_read_u16(r);
    public->scheme_hash = LH_TPMS_ALG_NULL;
    if (public->scheme == LH_TPMS_ALG_NULL || r->bad)
        return LH_SUCCESS;
    bool known = public->type == LH_TPMS_ALG_ECC
                     ? public->scheme == LH_TPMS_ALG_ECDSA || public->scheme == ALG_ECDH
                     : public->scheme == LH_TPMS_ALG_RSASSA || public->scheme == LH_TPMS_ALG_RSAPSS ||
                           public->scheme == ALG_OAEP;
    if (!known)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "tpm-algorithm", "the key's scheme 0x%04x is not known", public->scheme);
    public->scheme_hash = lh_read_u16(r);
    return LH_SUCCESS;
}

static lh_err read_ecc(lh_reader *r, lh_tpms_public *public)
{
    public->curve = lh_read_u16(r);
    uint16_t kdf = lh_read_u16(r);
    LH_TRY(lh_read_ok(r, "TPMT_PUBLIC"));
    if (public->curve != LH_TPMS_CURVE_P256 && public->curve != LH_TPMS_CURVE_P384)
        return LH_REFUSE(LH_E_UNSUPPORTED, "tpm-algorithm",
            "the key's curve 0x%04x is neither P-256 nor P-384", public->curve);
    if (kdf != LH_TPMS_ALG_NULL)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "tpm-algorithm", "the key's derivation scheme 0x%04x is not known", kdf);
    size_t max = public->curve == LH_TPMS_CURVE_P256 ? 32 : LH_TPMS_COORDINATE_MAX;
    public->x = read_tpm2b(r, 1, max);
    public->y = read_tpm2b(r, 1, max);
    return LH_SUCCESS;
}

static lh_err read_rsa(lh_reader *r, lh_tpms_public *public)
{
    public->rsa_bits = lh_read_u16(r);
    public->exponent = lh_read_u32(r);
    LH_TRY(lh_read_ok(r, "TPMT_PUBLIC"));
    if (public->rsa_bits != 2048 && public->rsa_bits != 3072 && public->rsa_bits != 4096)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "tpm-algorithm", "RSA keys of %u bits are not known", public->rsa_bits);
    if (public->exponent == 0)
    public->exponent = 65537; /* Part 2, 12.2.3.5: zero is the default exponent */
    public->modulus = read_tpm2b(r, public->rsa_bits / 8u, public->rsa_bits / 8u);
    return LH_SUCCESS;
}

lh_err lh_tpms_public_parse(lh_bytes bytes, lh_tpms_public *ret)
{
    lh_reader r = lh_reader_new(bytes);
    lh_tpms_public public = {0};
    public.type = lh_read_u16(&r);
    public.name_alg = lh_read_u16(&r);
    public.attributes = lh_read_u32(&r);
    public.policy = read_tpm2b(&r, 0, DIGEST_MAX_SIZE);
    LH_TRY(lh_read_ok(&r, "TPMT_PUBLIC"));
    if (public.type != LH_TPMS_ALG_ECC && public.type != LH_TPMS_ALG_RSA)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "tpm-algorithm", "objects of type 0x%04x are not known", public.type);
    LH_TRY(read_symmetric(&r, &public));
    LH_TRY(read_scheme(&r, &public));
    if (public.type == LH_TPMS_ALG_ECC)
        LH_TRY(read_ecc(&r, &public));
    else
        LH_TRY(read_rsa(&r, &public));
    LH_TRY(lh_read_done(&r, "TPMT_PUBLIC"));
    *ret = public;
    return LH_SUCCESS;
}

lh_err lh_tpms_signature_parse(lh_bytes bytes, lh_tpms_signature *ret)
{
    lh_reader r = lh_reader_new(bytes);
    lh_tpms_signature signature = {0};
    signature.scheme = lh_read_u16(&r);
    signature.hash = lh_read_u16(&r);
    LH_TRY(lh_read_ok(&r, "TPMT_SIGNATURE"));
    if (signature.scheme == LH_TPMS_ALG_ECDSA) {
        signature.r = read_tpm2b(&r, 1, LH_TPMS_COORDINATE_MAX);
        signature.s = read_tpm2b(&r, 1, LH_TPMS_COORDINATE_MAX);
    } else if (signature.scheme == LH_TPMS_ALG_RSASSA || signature.scheme == LH_TPMS_ALG_RSAPSS) {
        signature.rsa = read_tpm2b(&r, 256, 512);
    } else {
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "tpm-algorithm", "signatures of scheme 0x%04x are not known", signature.scheme);
    }
    LH_TRY(lh_read_done(&r, "TPMT_SIGNATURE"));
    *ret = signature;
    return LH_SUCCESS;
}
