/* What the TPM says: facts, PCRs, quotes; and the checkpoint key's signatures. */
#include "tpm/core.h"

#include <tss2/tss2_mu.h>

#define PCR_READ_ATTEMPTS 8u /* readings until they are all of one moment */

static void put_chars(char *out, UINT32 value)
{
    for (unsigned i = 0; i < 4; i++) {
        char c = (char)(value >> (24 - 8 * i));
        out[i] = c == 0 ? ' ' : (c < ' ' || c > '~') ? '?' : c;
    }
}

/* Manufacturer ids: TCG TPM Vendor ID Registry. "IBM " with "SW   TPM" is libtpms and IBM's simulator, "xCG
 * fTPM" Microsoft's. */
static bool is_software(const lh_tpm_facts *facts, bool simulator)
{
    return simulator || strncmp(facts->vendor, "SW  ", 4) == 0 || strncmp(facts->vendor, "xCG fTPM", 8) == 0;
}

static lh_err read_properties(lh_core *core, lh_tpm_facts *facts)
{
    TPMI_YES_NO more = TPM2_NO;
    LH_AUTO(lh_esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    LH_TPM_TRY(core,
        Esys_GetCapability(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
            TPM2_PT_FIXED, TPM2_MAX_TPM_PROPERTIES, &more, &data),
        "TPM2_GetCapability");
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    for (UINT32 i = 0; i < list->count && i < TPM2_MAX_TPM_PROPERTIES; i++) {
        UINT32 property = list->tpmProperty[i].property;
        UINT32 value = list->tpmProperty[i].value;
        if (property == TPM2_PT_MANUFACTURER)
            put_chars(facts->manufacturer, value);
        else if (property >= TPM2_PT_VENDOR_STRING_1 && property <= TPM2_PT_VENDOR_STRING_4)
            put_chars(facts->vendor + 4 * (property - TPM2_PT_VENDOR_STRING_1), value);
        else if (property == TPM2_PT_FIRMWARE_VERSION_1)
            facts->firmware |= (uint64_t)value << 32;
        else if (property == TPM2_PT_FIRMWARE_VERSION_2)
            facts->firmware |= value;
    }
    return LH_SUCCESS;
}

static lh_err job_info(lh_core *core, void *arg)
{
    lh_tpm_facts facts = {.vendor = "                "};
    LH_TRY(read_properties(core, &facts));
    for (size_t n = sizeof(facts.vendor) - 1; n > 0 && facts.vendor[n - 1] == ' '; n--)
        facts.vendor[n - 1] = '\0';
    facts.is_software = is_software(&facts, core->simulator);
    LH_AUTO(lh_esys_freep) TPMS_TIME_INFO *time = NULL;
    LH_TPM_TRY(
        core, Esys_ReadClock(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &time), "TPM2_ReadClock");
    facts.clock_ms = time->clockInfo.clock;
    facts.reset_count = time->clockInfo.resetCount;
    facts.restart_count = time->clockInfo.restartCount;
    facts.clock_safe = time->clockInfo.safe == TPM2_YES;
    *(lh_tpm_facts *)arg = facts;
    return LH_SUCCESS;
}

lh_err lh_tpm_info(lh_tpm *tpm, lh_tpm_facts *ret)
{
    return lh_tpm_run(tpm, job_info, ret);
}

lh_err lh_core_mask_check(uint32_t mask)
{
    if (mask == 0 || (mask & ~LH_TPM_PCR_MASK_ALL) != 0)
        return LH_FAIL(LH_E_INVALID, "a PCR selection names one or more of PCR 0 to %u", LH_TPM_PCRS - 1);
    return LH_SUCCESS;
}

void lh_core_selection(uint32_t mask, TPML_PCR_SELECTION *ret)
{
    *ret = (TPML_PCR_SELECTION){.count = 1};
    ret->pcrSelections[0].hash = TPM2_ALG_SHA256;
    ret->pcrSelections[0].sizeofSelect = 3;
    for (unsigned i = 0; i < 3; i++)
        ret->pcrSelections[0].pcrSelect[i] = (uint8_t)(mask >> (8 * i));
}

/* The TPM answers with up to eight at a time. */
static lh_err read_some(lh_core *core, uint32_t *mask, uint8_t out[LH_TPM_PCRS][32], UINT32 *counter)
{
    TPML_PCR_SELECTION want;
    lh_core_selection(*mask, &want);
    LH_AUTO(lh_esys_freep) TPML_PCR_SELECTION *got = NULL;
    LH_AUTO(lh_esys_freep) TPML_DIGEST *values = NULL;
    LH_TPM_TRY(core,
        Esys_PCR_Read(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &want, counter, &got, &values),
        "TPM2_PCR_Read");
    uint32_t present = 0;
    if (got->count == 1 && got->pcrSelections[0].hash == TPM2_ALG_SHA256 &&
        got->pcrSelections[0].sizeofSelect <= 4)
        for (unsigned i = 0; i < 3 && i < got->pcrSelections[0].sizeofSelect; i++)
            present |= (uint32_t)got->pcrSelections[0].pcrSelect[i] << (8 * i);
    if (present == 0 || (present & ~*mask) != 0)
        return LH_REFUSE(LH_E_TPM, "tpm-pcr-bank",
            "the TPM has no SHA-256 bank for all of PCR mask 0x%06x; enable that bank in the firmware's "
            "setup",
            *mask);
    UINT32 k = 0;
    for (unsigned pcr = 0; pcr < LH_TPM_PCRS; pcr++) {
        if (!(present >> pcr & 1u))
            continue;
        if (k >= values->count || k >= 8 || values->digests[k].size != 32)
            return LH_REFUSE(LH_E_TPM, "tpm-pcr-bank", "the TPM gives no SHA-256 value for PCR %u", pcr);
        memcpy(out[pcr], values->digests[k++].buffer, 32);
    }
    *mask &= ~present;
    return LH_SUCCESS;
}

lh_err lh_core_pcr_read(lh_core *core, uint32_t mask, uint8_t ret[LH_TPM_PCRS][32], uint32_t *ret_counter)
{
    LH_TRY(lh_core_mask_check(mask));
    for (unsigned attempt = 0; attempt < PCR_READ_ATTEMPTS; attempt++) {
        uint8_t values[LH_TPM_PCRS][32] = {{0}};
        uint32_t left = mask;
        UINT32 first = 0, counter = 0;
        LH_TRY(read_some(core, &left, values, &first));
        counter = first;
        while (left != 0 && counter == first)
            LH_TRY(read_some(core, &left, values, &counter));
        if (counter != first)
            continue; /* something was extended between two readings */
        memcpy(ret, values, sizeof(values));
        *ret_counter = first;
        return LH_SUCCESS;
    }
    return LH_REFUSE(LH_E_TPM, "tpm-pcr-busy", "the PCRs change faster than they can be read; try again");
}

typedef struct {
    uint32_t mask;
    uint8_t (*values)[32];
} pcr_arg;

static lh_err job_pcr_read(lh_core *core, void *arg)
{
    pcr_arg *a = arg;
    uint32_t counter;
    return lh_core_pcr_read(core, a->mask, a->values, &counter);
}

lh_err lh_tpm_pcr_read(lh_tpm *tpm, uint32_t mask, uint8_t ret[LH_TPM_PCRS][32])
{
    pcr_arg arg = {mask, ret};
    return lh_tpm_run(tpm, job_pcr_read, &arg);
}

typedef struct {
    unsigned pcr;
    const uint8_t *digest;
} extend_arg;

static lh_err job_extend(lh_core *core, void *arg)
{
    const extend_arg *a = arg;
    TPML_DIGEST_VALUES values = {.count = 1};
    values.digests[0].hashAlg = TPM2_ALG_SHA256;
    memcpy(values.digests[0].digest.sha256, a->digest, 32);
    LH_TPM_TRY(core,
        Esys_PCR_Extend(
            core->esys, ESYS_TR_PCR0 + a->pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &values),
        "TPM2_PCR_Extend");
    return LH_SUCCESS;
}

lh_err lh_tpm_pcr_extend(lh_tpm *tpm, unsigned pcr, const uint8_t digest[32])
{
    if (pcr >= LH_TPM_PCRS)
        return LH_FAIL(LH_E_INVALID, "there is no PCR %u", pcr);
    extend_arg arg = {pcr, digest};
    return lh_tpm_run(tpm, job_extend, &arg);
}

typedef struct {
    uint32_t mask;
    const uint8_t *qualifying;
    lh_buf *attest;
    lh_buf *signature;
} quote_arg;

lh_err lh_core_append_pair(lh_buf *first, lh_bytes a, lh_buf *second, lh_bytes b)
{
    size_t before = first->len;
    lh_buf_append(first, a.data, a.len);
    LH_TRY(lh_buf_status(first));
    lh_buf_append(second, b.data, b.len);
    lh_err err = lh_buf_status(second);
    if (!lh_ok(err))
        first->len = before;
    return err;
}

static lh_err job_quote(lh_core *core, void *arg)
{
    const quote_arg *a = arg;
    LH_TRY(lh_core_mask_check(a->mask));
    ESYS_TR ak;
    LH_TRY(lh_core_ak(core, &ak));
    TPM2B_DATA qualifying = {.size = 32};
    memcpy(qualifying.buffer, a->qualifying, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    TPML_PCR_SELECTION selection;
    lh_core_selection(a->mask, &selection);
    LH_AUTO(lh_esys_freep) TPM2B_ATTEST *attest = NULL;
    LH_AUTO(lh_esys_freep) TPMT_SIGNATURE *signature = NULL;
    LH_TPM_TRY(core,
        Esys_Quote(core->esys, ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying, &scheme,
            &selection, &attest, &signature),
        "TPM2_Quote");
    uint8_t bytes[sizeof(TPMT_SIGNATURE)];
    size_t len = 0;
    LH_TPM_TRY(core, Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &len), "TPMT_SIGNATURE");
    return lh_core_append_pair(
        a->attest, LH_BYTES(attest->attestationData, attest->size), a->signature, LH_BYTES(bytes, len));
}

lh_err lh_tpm_quote(
    lh_tpm *tpm, uint32_t mask, const uint8_t qualifying[32], lh_buf *ret_attest, lh_buf *ret_signature)
{
    quote_arg arg = {mask, qualifying, ret_attest, ret_signature};
    return lh_tpm_run(tpm, job_quote, &arg);
}

lh_err lh_core_append_public(lh_core *core, ESYS_TR key, lh_buf *out)
{
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_TPM_TRY(core,
        Esys_ReadPublic(core->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL),
        "TPM2_ReadPublic");
    uint8_t bytes[sizeof(TPMT_PUBLIC)];
    size_t len = 0;
    LH_TPM_TRY(
        core, Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, bytes, sizeof(bytes), &len), "TPMT_PUBLIC");
    lh_buf_append(out, bytes, len);
    return lh_buf_status(out);
}

static lh_err job_ak_public(lh_core *core, void *arg)
{
    ESYS_TR key;
    LH_TRY(lh_core_ak(core, &key));
    return lh_core_append_public(core, key, arg);
}

lh_err lh_tpm_ak_public(lh_tpm *tpm, lh_buf *ret_public)
{
    return lh_tpm_run(tpm, job_ak_public, ret_public);
}

static lh_err job_checkpoint_public(lh_core *core, void *arg)
{
    ESYS_TR key;
    LH_TRY(lh_core_checkpoint(core, &key));
    return lh_core_append_public(core, key, arg);
}

lh_err lh_tpm_checkpoint_public(lh_tpm *tpm, lh_buf *ret_public)
{
    return lh_tpm_run(tpm, job_checkpoint_public, ret_public);
}

typedef struct {
    const uint8_t *digest;
    uint8_t *r, *s;
} sign_arg;

static lh_err job_sign(lh_core *core, void *arg)
{
    const sign_arg *a = arg;
    ESYS_TR key;
    LH_TRY(lh_core_checkpoint(core, &key));
    TPM2B_DIGEST digest = {.size = 32};
    memcpy(digest.buffer, a->digest, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    LH_AUTO(lh_esys_freep) TPMT_SIGNATURE *signature = NULL;
    LH_TPM_TRY(core,
        Esys_Sign(core->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme, &no_ticket,
            &signature),
        "TPM2_Sign");
    const TPM2B_ECC_PARAMETER *r = &signature->signature.ecdsa.signatureR;
    const TPM2B_ECC_PARAMETER *s = &signature->signature.ecdsa.signatureS;
    if (signature->sigAlg != TPM2_ALG_ECDSA || r->size > 32 || s->size > 32)
        return LH_FAIL(LH_E_TPM, "the TPM's signature is not an ECDSA P-256 one");
    memset(a->r, 0, 32);
    memset(a->s, 0, 32);
    memcpy(a->r + 32 - r->size, r->buffer, r->size);
    memcpy(a->s + 32 - s->size, s->buffer, s->size);
    return LH_SUCCESS;
}

lh_err lh_tpm_checkpoint_sign(lh_tpm *tpm, const uint8_t digest[32], uint8_t ret_r[32], uint8_t ret_s[32])
{
    sign_arg arg = {digest, ret_r, ret_s};
    return lh_tpm_run(tpm, job_sign, &arg);
}
