/* Endorsement keys: their templates, their public areas, and the certificates that are in NV for them.
 * Source: TCG EK Credential Profile 2.5, 2.2.1.4 (NV indexes), annex B (templates and their policies). */
#include "tpm/core.h"

#define POLICY_A                                                                                             \
    {                                                                                                        \
        .size = 32, .buffer = {                                                                              \
            0x83,                                                                                            \
            0x71,                                                                                            \
            0x97,                                                                                            \
            0x67,                                                                                            \
            0x44,                                                                                            \
            0x84,                                                                                            \
            0xb3,                                                                                            \
            0xf8,                                                                                            \
            0x1a,                                                                                            \
            0x90,                                                                                            \
            0xcc,                                                                                            \
            0x8d,                                                                                            \
            0x46,                                                                                            \
            0xa5,                                                                                            \
            0xd7,                                                                                            \
            0x24,                                                                                            \
            0xfd,                                                                                            \
            0x52,                                                                                            \
            0xd7,                                                                                            \
            0x6e,                                                                                            \
            0x06,                                                                                            \
            0x52,                                                                                            \
            0x0b,                                                                                            \
            0x64,                                                                                            \
            0xf2,                                                                                            \
            0xa1,                                                                                            \
            0xda,                                                                                            \
            0x1b,                                                                                            \
            0x33,                                                                                            \
            0x14,                                                                                            \
            0x69,                                                                                            \
            0xaa                                                                                             \
        }                                                                                                    \
    }
#define POLICY_B_SHA384                                                                                      \
    {                                                                                                        \
        .size = 48, .buffer = {                                                                              \
            0xb2,                                                                                            \
            0x6e,                                                                                            \
            0x7d,                                                                                            \
            0x28,                                                                                            \
            0xd1,                                                                                            \
            0x1a,                                                                                            \
            0x50,                                                                                            \
            0xbc,                                                                                            \
            0x53,                                                                                            \
            0xd8,                                                                                            \
            0x82,                                                                                            \
            0xbc,                                                                                            \
            0xf5,                                                                                            \
            0xfd,                                                                                            \
            0x3a,                                                                                            \
            0x1a,                                                                                            \
            0x07,                                                                                            \
            0x41,                                                                                            \
            0x48,                                                                                            \
            0xbb,                                                                                            \
            0x35,                                                                                            \
            0xd3,                                                                                            \
            0xb4,                                                                                            \
            0xe4,                                                                                            \
            0xcb,                                                                                            \
            0x1c,                                                                                            \
            0x0a,                                                                                            \
            0xd9,                                                                                            \
            0xbd,                                                                                            \
            0xe4,                                                                                            \
            0x19,                                                                                            \
            0xca,                                                                                            \
            0xcb,                                                                                            \
            0x47,                                                                                            \
            0xba,                                                                                            \
            0x09,                                                                                            \
            0x69,                                                                                            \
            0x96,                                                                                            \
            0x46,                                                                                            \
            0x15,                                                                                            \
            0x0f,                                                                                            \
            0x9f,                                                                                            \
            0xc0,                                                                                            \
            0x00,                                                                                            \
            0xf3,                                                                                            \
            0xf8,                                                                                            \
            0x0e,                                                                                            \
            0x12                                                                                             \
        }                                                                                                    \
    }
#define SYMMETRIC_AES(bits)                                                                                  \
    {                                                                                                        \
        .algorithm = TPM2_ALG_AES, .keyBits.aes = (bits), .mode.aes = TPM2_ALG_CFB                           \
    }
#define ATTRIBUTES                                                                                           \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
        TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

static const struct {
    uint16_t kind;
    TPM2_HANDLE certificate; /* its NV index */
    TPM2B_PUBLIC template;
} KINDS[LH_CORE_EKS] = {
    /* The order is that in which lh_tpm_ek_choose prefers them. */
    {LH_TPM_EK_P384, 0x01c00016u, /* H-3 */
        {.publicArea = {.type = TPM2_ALG_ECC,
             .nameAlg = TPM2_ALG_SHA384,
             .objectAttributes = ATTRIBUTES | TPMA_OBJECT_USERWITHAUTH,
             .authPolicy = POLICY_B_SHA384,
             .parameters.eccDetail = {.symmetric = SYMMETRIC_AES(256),
                 .scheme.scheme = TPM2_ALG_NULL,
                 .curveID = TPM2_ECC_NIST_P384,
                 .kdf.scheme = TPM2_ALG_NULL}}}},
    {LH_TPM_EK_P256, 0x01c0000au, /* L-2 */
        {.publicArea = {.type = TPM2_ALG_ECC,
             .nameAlg = TPM2_ALG_SHA256,
             .objectAttributes = ATTRIBUTES,
             .authPolicy = POLICY_A,
             .parameters.eccDetail = {.symmetric = SYMMETRIC_AES(128),
                 .scheme.scheme = TPM2_ALG_NULL,
                 .curveID = TPM2_ECC_NIST_P256,
                 .kdf.scheme = TPM2_ALG_NULL},
             .unique.ecc = {.x.size = 32, .y.size = 32}}}},
    {LH_TPM_EK_RSA, 0x01c00002u, /* L-1 */
        {.publicArea = {.type = TPM2_ALG_RSA,
             .nameAlg = TPM2_ALG_SHA256,
             .objectAttributes = ATTRIBUTES,
             .authPolicy = POLICY_A,
             .parameters.rsaDetail = {.symmetric = SYMMETRIC_AES(128),
                 .scheme.scheme = TPM2_ALG_NULL,
                 .keyBits = 2048},
             .unique.rsa.size = 256}}},
};

/* LH_CORE_EKS: no such kind. */
static size_t find(uint16_t kind)
{
    size_t i = 0;
    while (i < LH_CORE_EKS && KINDS[i].kind != kind)
        i++;
    return i;
}

static lh_err unsupported(uint16_t kind)
{
    return LH_REFUSE(
        LH_E_UNSUPPORTED, "tpm-ek-kind", "the TPM makes no endorsement key of kind 0x%04x", kind);
}

const TPM2B_PUBLIC *lh_core_ek_template(uint16_t kind)
{
    size_t i = find(kind);
    return i < LH_CORE_EKS ? &KINDS[i].template : NULL;
}

/* What a TPM says that lacks the curve, the hash or the cipher of a template. */
static bool is_lacking(TSS2_RC rc)
{
    static const TSS2_RC codes[] = {TPM2_RC_CURVE, TPM2_RC_HASH, TPM2_RC_SYMMETRIC, TPM2_RC_KEY_SIZE,
        TPM2_RC_ASYMMETRIC, TPM2_RC_TYPE, TPM2_RC_VALUE};
    for (size_t i = 0; i < LH_ARRAY_LEN(codes); i++)
        if (lh_core_is(rc, codes[i]))
            return true;
    return false;
}

static lh_err make(lh_core *core, size_t i, lh_handle *ret)
{
    LH_AUTO(lh_handle_release) lh_handle made = LH_HANDLE_NONE;
    lh_err err = lh_core_primary(core, ESYS_TR_RH_ENDORSEMENT, &KINDS[i].template, &made, NULL);
    if (err.code == LH_E_TPM && is_lacking((TSS2_RC)lh_err_last()->foreign))
        return unsupported(KINDS[i].kind);
    LH_TRY(err);
    LH_TPM_TRY(core, Esys_ContextSave(core->esys, made.tr, &core->eks[i]), "TPM2_ContextSave");
    *ret = made;
    made = LH_HANDLE_NONE;
    return LH_SUCCESS;
}

lh_err lh_core_ek(lh_core *core, uint16_t kind, lh_handle *ret)
{
    size_t i = find(kind);
    ESYS_TR tr = ESYS_TR_NONE;
    if (i == LH_CORE_EKS)
        return unsupported(kind);
    if (core->eks[i]) {
        lh_core_make_room(core);
        LH_TRY(lh_core_load_saved(core, &core->eks[i], &tr));
    }
    if (tr == ESYS_TR_NONE)
        return make(core, i, ret);
    *ret = (lh_handle){core, tr, true};
    return LH_SUCCESS;
}

typedef struct {
    uint16_t kind;
    lh_buf *out;
} ek_arg;

static lh_err job_public(lh_core *core, void *arg)
{
    const ek_arg *a = arg;
    LH_AUTO(lh_handle_release) lh_handle ek = LH_HANDLE_NONE;
    LH_TRY(lh_core_ek(core, a->kind, &ek));
    return lh_core_append_public(core, ek.tr, a->out);
}

lh_err lh_tpm_ek_public(lh_tpm *tpm, uint16_t kind, lh_buf *ret_public)
{
    ek_arg arg = {kind, ret_public};
    return lh_tpm_run(tpm, job_public, &arg);
}

static lh_err no_certificate(void)
{
    return LH_REFUSE(LH_E_NOT_FOUND, "tpm-ek-certificate",
        "the TPM has no certificate for that endorsement key: its officers pin the key instead");
}

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

/* Bytes of NV that one command reads on every chip: Part 2, 6.13 (TPM_PT_NV_BUFFER_MAX) is 512 or more. */
#define NV_CHUNK 512u

static lh_err read_index(lh_core *core, ESYS_TR nv, size_t size, lh_buf *out)
{
    while (out->len < size) {
        LH_AUTO(lh_esys_freep) TPM2B_MAX_NV_BUFFER *part = NULL;
        size_t want = size - out->len < NV_CHUNK ? size - out->len : NV_CHUNK;
        TSS2_RC rc = Esys_NV_Read(core->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
            (UINT16)want, (UINT16)out->len, &part);
        if (lh_core_is(rc, TPM2_RC_NV_UNINITIALIZED))
            return no_certificate();
        LH_TPM_TRY(core, rc, "TPM2_NV_Read");
        if (part->size != want)
            return LH_FAIL(
                LH_E_TPM, "the TPM reads %u bytes of NV where %zu were asked for", part->size, want);
        lh_buf_append(out, part->buffer, part->size);
    }
    return lh_buf_status(out);
}

/* Bytes of the DER SEQUENCE that data begins with; 0: none, or data ends before it. What follows it in an
 * index is padding, or certificates of the manufacturer's. */
static size_t sequence_length(lh_bytes data)
{
    size_t head = 2;
    if (data.len < head || data.data[0] != 0x30)
        return 0;
    size_t length = data.data[1];
    if (length == 0x81 || length == 0x82) {
        head += length - 0x80;
        if (data.len < head)
            return 0;
        length = head == 3 ? data.data[2] : (size_t)data.data[2] << 8 | data.data[3];
    } else if (length > 0x82 || length == 0x80) {
        return 0;
    }
    return length <= data.len - head ? head + length : 0;
}

static lh_err job_certificate(lh_core *core, void *arg)
{
    const ek_arg *a = arg;
    size_t i = find(a->kind);
    ESYS_TR tr = ESYS_TR_NONE;
    if (i == LH_CORE_EKS)
        return unsupported(a->kind);
    TSS2_RC rc = Esys_TR_FromTPMPublic(
        core->esys, KINDS[i].certificate, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
    if (lh_core_is(rc, TPM2_RC_HANDLE))
        return no_certificate();
    LH_TPM_TRY(core, rc, "TPM2_NV_ReadPublic");
    LH_AUTO(lh_handle_release) lh_handle nv = {core, tr, false};
    LH_AUTO(lh_esys_freep) TPM2B_NV_PUBLIC *public = NULL;
    LH_TPM_TRY(core,
        Esys_NV_ReadPublic(core->esys, nv.tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL),
        "TPM2_NV_ReadPublic");
    LH_AUTO(free_buf) lh_buf content = LH_BUF_INIT(UINT16_MAX);
    LH_TRY(read_index(core, nv.tr, public->nvPublic.dataSize, &content));
    size_t len = sequence_length(lh_buf_bytes(&content));
    if (len == 0 || len > LH_TPM_EK_CERTIFICATE_MAX)
        return LH_REFUSE(LH_E_CORRUPT, "tpm-ek-certificate", "what is at NV index 0x%08x is no certificate",
            KINDS[i].certificate);
    lh_buf_append(a->out, content.data, len);
    return lh_buf_status(a->out);
}

lh_err lh_tpm_ek_certificate(lh_tpm *tpm, uint16_t kind, lh_buf *ret_der)
{
    ek_arg arg = {kind, ret_der};
    return lh_tpm_run(tpm, job_certificate, &arg);
}

lh_err lh_tpm_ek_choose(lh_tpm *tpm, uint16_t *ret_kind)
{
    for (size_t i = 0; i < LH_CORE_EKS; i++) {
        LH_AUTO(free_buf) lh_buf der = LH_BUF_INIT(LH_TPM_EK_CERTIFICATE_MAX);
        LH_AUTO(free_buf) lh_buf public = LH_BUF_INIT(sizeof(TPMT_PUBLIC));
        lh_err err = lh_tpm_ek_certificate(tpm, KINDS[i].kind, &der);
        if (lh_ok(err))
            err = lh_tpm_ek_public(tpm, KINDS[i].kind, &public);
        if (lh_ok(err)) {
            *ret_kind = KINDS[i].kind;
            return LH_SUCCESS;
        }
        if (err.code != LH_E_NOT_FOUND && err.code != LH_E_CORRUPT && err.code != LH_E_UNSUPPORTED)
            return err;
    }
    *ret_kind = LH_TPM_EK_P256;
    return LH_SUCCESS;
}
