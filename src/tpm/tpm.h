/* The TPM 2.0. The only folder that sees tpm2-tss.
 *
 * One thread owns the ESYS context; every function below hands it a job and blocks until the job has run
 * there, so any number of threads may call. At most LH_LIMIT_TPM_JOBS callers wait at once; the next is
 * answered LH_E_LIMIT. Never call these from a worker thread that must not block.
 *
 * A TPM that goes away answers LH_E_TPM with the reason "tpm-gone"; the next call tries to open it again and
 * makes the keys below anew (they are primary keys: the same keys come back).
 *
 * Errors of every function: LH_E_TPM (the chip answered an error; the foreign code is the TSS2_RC),
 * LH_E_TPM_LOCKOUT, LH_E_LIMIT, LH_E_NOMEM, LH_E_STATE after close. Others are named where they arise.
 *
 * tpm2-tss writes its own lines to standard error for refusals that we expect (a changed PCR): main sets the
 * environment variable TSS2_LOG to "all+none" where it is not set, before any thread starts.
 *
 * Hierarchies and keys: docs/decisions/0003-tpm-hierarchies.md.
 * Source: TPM 2.0 Library rev 1.59, Parts 1 to 3; TCG EK Credential Profile 2.3, template L-2;
 * TCG TPM v2.0 Provisioning Guidance 1.0, 7.5.1 (the storage root key's place). */
#ifndef LH_TPM_TPM_H
#define LH_TPM_TPM_H

#include "base/bytes.h"
#include "base/macro.h"
#include "base/secret.h"

typedef struct lh_tpm lh_tpm;

#define LH_TPM_PCRS 24u                 /* PCRs of the SHA-256 bank */
#define LH_TPM_PCR_MASK_ALL 0x00ffffffu /* one bit a PCR, bit n is PCR n */
#define LH_TPM_NAME_MAX 66u             /* 2 bytes of algorithm and a digest of at most 64 */
#define LH_TPM_SEALED_PART_MAX 512u     /* bytes in a sealed object's public or private part */
#define LH_TPM_SECRET_MAX 128u          /* bytes that a sealed object holds, Part 2 MAX_SYM_DATA */
#define LH_TPM_ANCHOR_MAX 128u          /* bytes in an anchor */
#define LH_TPM_ANCHOR_BASE 0x01801ea5u  /* the first NV index tried, in the owner's range */
#define LH_TPM_ANCHOR_COUNT 64u         /* indexes tried from there: vaults on one TPM */

/* The Name of an object (Part 1, 16): algorithm and digest of its public area. */
typedef struct {
    size_t len;
    uint8_t data[LH_TPM_NAME_MAX];
} lh_tpm_name;

static inline bool lh_tpm_name_equal(const lh_tpm_name *a, const lh_tpm_name *b)
{
    return lh_bytes_equal(LH_BYTES(a->data, a->len), LH_BYTES(b->data, b->len));
}

/* Open the TPM that a TCTI string names ("device:/dev/tpmrm0", "swtpm:path=/x/sock") and start its thread.
 * Objects and sessions that an earlier owner left on a simulator (no resource manager) are flushed.
 * Errors: LH_E_TPM (nothing answers there, or it is not a TPM 2.0 with a SHA-256 bank). */
LH_MUST lh_err lh_tpm_open(const char *tcti, lh_tpm **ret);
/* Waits for the jobs under way; callers must be gone. Takes NULL. */
void lh_tpm_close(lh_tpm *tpm);
LH_DEFINE_FREEP(lh_tpm, lh_tpm_close)

/* The owner hierarchy's authorization value; empty until set. Copied. */
LH_MUST lh_err lh_tpm_set_owner_auth(lh_tpm *tpm, const lh_secret *auth);

typedef struct {
    char manufacturer[5];   /* "IBM ", "IFX ", "STM " …; unprintable bytes as '?' */
    char vendor[17];        /* the four vendor strings joined: "SW   TPM" */
    uint64_t firmware;      /* TPM_PT_FIRMWARE_VERSION_1 and _2, as in a quote */
    bool is_software;       /* swtpm, libtpms, IBM's or Microsoft's simulator: not hardware-backed */
    uint64_t clock_ms;      /* Clock; runs on through restarts */
    uint32_t reset_count;   /* rises at each TPM reset */
    uint32_t restart_count; /* rises at each resume; cleared by a reset */
    bool clock_safe;        /* false for some seconds after an unclean stop: then Clock may repeat */
} lh_tpm_facts;

LH_MUST lh_err lh_tpm_info(lh_tpm *tpm, lh_tpm_facts *ret);

/* The SHA-256 bank's values for the PCRs in mask, all from one moment; the others are zeroed.
 * Errors: LH_E_INVALID (a mask that is empty or beyond 24 PCRs), LH_E_TPM reason "tpm-pcr-bank" (the chip has
 * no SHA-256 bank for one of them), "tpm-pcr-busy" (they change faster than they are read). */
LH_MUST lh_err lh_tpm_pcr_read(lh_tpm *tpm, uint32_t mask, uint8_t ret[LH_TPM_PCRS][32]);
/* Extend one PCR of the SHA-256 bank. For tests and development tools. */
LH_MUST lh_err lh_tpm_pcr_extend(lh_tpm *tpm, unsigned pcr, const uint8_t digest[32]);

/* Quote the PCRs in mask with the attestation key.
 * ret_attest:    a marshalled TPMS_ATTEST: the bytes that are signed. Appended.
 * ret_signature: a marshalled TPMT_SIGNATURE over them. Appended. */
LH_MUST lh_err lh_tpm_quote(
    lh_tpm *tpm, uint32_t mask, const uint8_t qualifying[32], lh_buf *ret_attest, lh_buf *ret_signature);
/* The attestation key's marshalled TPMT_PUBLIC: P-256, ECDSA with SHA-256, restricted, a primary of the
 * endorsement hierarchy with fixed unique data, so the same at every start. Appended. */
LH_MUST lh_err lh_tpm_ak_public(lh_tpm *tpm, lh_buf *ret_public);

/* Which endorsement key: made by the default template of its kind (TCG EK Credential Profile 2.5, annex B:
 * L-1, L-2 and H-3), so the same at every start. */
#define LH_TPM_EK_RSA 0x0001u  /* RSA-2048; LH_TPMS_ALG_RSA */
#define LH_TPM_EK_P256 0x0023u /* LH_TPMS_ALG_ECC */
#define LH_TPM_EK_P384 0x0123u
#define LH_TPM_EK_CERTIFICATE_MAX 4096u /* bytes of DER */

/* The endorsement key's marshalled TPMT_PUBLIC. Appended. Making an RSA key takes a chip seconds, once a
 * connection. LH_E_UNSUPPORTED "tpm-ek-kind" (the TPM has no keys of that kind, or kind is none). */
LH_MUST lh_err lh_tpm_ek_public(lh_tpm *tpm, uint16_t kind, lh_buf *ret_public);
/* The certificate that the manufacturer left for it in NV, as DER without padding. Appended, unverified.
 * LH_E_NOT_FOUND "tpm-ek-certificate" (there is none), LH_E_CORRUPT "tpm-ek-certificate" (what is there is
 * none), LH_E_UNSUPPORTED "tpm-ek-kind". */
LH_MUST lh_err lh_tpm_ek_certificate(lh_tpm *tpm, uint16_t kind, lh_buf *ret_der);
/* The endorsement key to be known by: the first of P-384, P-256 and RSA-2048 that has a certificate; else
 * P-256. */
LH_MUST lh_err lh_tpm_ek_choose(lh_tpm *tpm, uint16_t *ret_kind);
/* TPM2_ActivateCredential with the attestation key: open what lh_credential_make made.
 * id_object, encrypted_secret: marshalled TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET; any bytes are safe.
 * Errors: LH_E_ATTESTATION "activate-refused" (it was made for another TPM, another attestation key, or was
 *         altered), LH_E_INVALID "activate-format", LH_E_UNSUPPORTED "tpm-ek-kind". */
LH_MUST lh_err lh_tpm_activate(
    lh_tpm *tpm, uint16_t kind, lh_bytes id_object, lh_bytes encrypted_secret, lh_secret **ret);

/* What TPM2_ReadClock says. */
typedef struct {
    uint64_t time_ms; /* Time: since the TPM started; what PolicySigned's expiration is compared with */
    uint64_t clock_ms;
    uint32_t reset_count;
    uint32_t restart_count;
    bool safe;
} lh_tpm_times;
LH_MUST lh_err lh_tpm_time(lh_tpm *tpm, lh_tpm_times *ret);
/* TPM2_GetTime: the same, signed with the attestation key; results as lh_tpm_quote's. */
LH_MUST lh_err lh_tpm_get_time(
    lh_tpm *tpm, const uint8_t qualifying[32], lh_buf *ret_attest, lh_buf *ret_signature);

/* The checkpoint key's marshalled TPMT_PUBLIC: as the attestation key, but not restricted. Appended. */
LH_MUST lh_err lh_tpm_checkpoint_public(lh_tpm *tpm, lh_buf *ret_public);
/* Sign a digest with it; r and s are big-endian and left-padded. */
LH_MUST lh_err lh_tpm_checkpoint_sign(
    lh_tpm *tpm, const uint8_t digest[32], uint8_t ret_r[32], uint8_t ret_s[32]);

/* By what a TPM is known again. srk is the object at 0x81000001 (made if missing). owner is a primary of our
 * template in the owner hierarchy: it changes when the TPM is cleared. ek is the P-256 endorsement key: it
 * stays through a clear and tells one TPM from another. owner and srk are the same where we made the SRK. */
typedef struct {
    lh_tpm_name srk;
    lh_tpm_name owner;
    lh_tpm_name ek;
} lh_tpm_identity;

LH_MUST lh_err lh_tpm_identify(lh_tpm *tpm, lh_tpm_identity *ret);

/* A secret sealed under the SRK to PCR values: what to store. Nothing in it is secret. */
typedef struct {
    lh_tpm_identity tpm;
    uint32_t pcr_mask;
    uint8_t pcrs[LH_TPM_PCRS][32]; /* the values sealed to; zero where mask has no bit */
    uint16_t public_len;
    uint16_t private_len;
    uint8_t public_part[LH_TPM_SEALED_PART_MAX];  /* TPM2B_PUBLIC */
    uint8_t private_part[LH_TPM_SEALED_PART_MAX]; /* TPM2B_PRIVATE, encrypted by the TPM */
} lh_tpm_sealed;

/* Seal to the present values of the PCRs in mask (not empty). The secret crosses the bus encrypted (a session
 * salted with the SRK, AES-128-CFB). From here on this handle refuses an SRK of another Name. */
LH_MUST lh_err lh_tpm_seal(lh_tpm *tpm, const lh_secret *secret, uint32_t pcr_mask, lh_tpm_sealed *ret);
/* The reverse. The SRK's Name is compared with the sealed one before anything is encrypted to it.
 * Errors: LH_E_SEAL_POLICY "seal-pcr-changed"; LH_E_SEAL_CLEARED "seal-tpm-cleared"; LH_E_SEAL_OTHER_TPM
 *         "seal-other-tpm"; LH_E_TPM "seal-srk-replaced" (another key is at 0x81000001);
 *         LH_E_CORRUPT (the sealed parts are damaged). */
LH_MUST lh_err lh_tpm_unseal(lh_tpm *tpm, const lh_tpm_sealed *sealed, lh_secret **ret);

/* The anchor: an ordinary NV index. Anyone may read it (POLICYREAD with a policy that all can satisfy);
 * writing needs auth, which never crosses the bus in the clear. Wrong auth does not count towards lockout
 * (NO_DA).
 *
 * An index that is free now, from LH_TPM_ANCHOR_BASE on. LH_E_LIMIT where all are taken. */
LH_MUST lh_err lh_tpm_anchor_find_free(lh_tpm *tpm, uint32_t *ret_index);
/* auth: 16 to 32 bytes. LH_E_EXISTS where the index is taken. */
LH_MUST lh_err lh_tpm_anchor_define(lh_tpm *tpm, uint32_t index, const lh_secret *auth);
/* Replace the content: 1 to LH_TPM_ANCHOR_MAX bytes, in one NV write.
 * Errors: LH_E_NOT_FOUND "anchor-missing", LH_E_DENIED "anchor-auth" (wrong auth). */
LH_MUST lh_err lh_tpm_anchor_write(lh_tpm *tpm, uint32_t index, const lh_secret *auth, lh_bytes data);
/* Errors: LH_E_NOT_FOUND "anchor-missing", LH_E_STATE "anchor-unwritten", LH_E_CORRUPT "anchor-foreign" (an
 * index that is not of our making is there). Appended to ret. */
LH_MUST lh_err lh_tpm_anchor_read(lh_tpm *tpm, uint32_t index, lh_buf *ret);
LH_MUST lh_err lh_tpm_anchor_undefine(lh_tpm *tpm, uint32_t index);

#endif
