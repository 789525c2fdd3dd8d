/* What the files of lease keys share: lease_key.c (the storage key, import, loading), lease_key_use.c (a
 * use), lease_key_pin.c (counted uses). Everything that takes lh_core is called on the TPM thread. */
#ifndef LH_TPM_LEASE_KEY_INTERNAL_H
#define LH_TPM_LEASE_KEY_INTERNAL_H

#include "tpm/core.h"
#include "tpm/lease_key.h"

#include <tss2/tss2_sys.h>

#include <pthread.h>

#define LH_LEASE_KEY_PIN_REF (LH_LEASE_KEY_REF + 3u) /* lease id ‖ "pin" */

struct lh_tpm_key {
    lh_tpm *tpm;
    uint64_t serial; /* tells it from all others of this process */
    uint8_t lease[LH_LEASE_KEY_REF];
    TPM2B_PUBLIC public_area;
    TPM2B_PRIVATE private_area; /* as the TPM gave it at import */
    TPM2B_PUBLIC approver;
    lh_tpm_name approver_name;
    uint32_t pcr_mask, reset_count, restart_count, pin_index;
    /* On the TPM thread only. */
    TPMS_CONTEXT *saved;
    uint64_t saved_on; /* the connection */
    TPMS_CONTEXT *pin_session;
    uint64_t pin_session_on;
    TPM2B_NONCE pin_nonce;
    /* Any thread. */
    pthread_mutex_t mutex;
    int32_t expiration; /* 0: not approved */
    TPMT_SIGNATURE approval;
};

LH_MUST lh_err lh_lease_sys(lh_core *core, TSS2_SYS_CONTEXT **ret);
/* Both objects of a use on the TPM: their handles. */
LH_MUST lh_err lh_lease_load(lh_core *core, lh_tpm_key *key, TPM2_HANDLE *ret_approver, TPM2_HANDLE *ret_key);
/* Did the TPM lose what we thought was loaded? */
bool lh_lease_stale(TSS2_RC rc);
/* A signature r ‖ s as the TPM takes it. */
void lh_lease_signature(const uint8_t signature[64], TPMT_SIGNATURE *ret);
/* A policy session, neither salted nor bound. */
TSS2_RC lh_lease_session(TSS2_SYS_CONTEXT *sys, TPMI_SH_AUTH_SESSION *ret, TPM2B_NONCE *ret_nonce);

/* lease_key_pin.c: define the index that counts; undefine it (a refusal is of no use to anybody then). */
LH_MUST lh_err lh_lease_pin_define(lh_core *core, const lh_tpm_key *key);
void lh_lease_pin_undefine(lh_core *core, const lh_tpm_key *key);
/* SHA-256 of at most 1024 bytes, by the TPM. */
LH_MUST lh_err lh_lease_hash(lh_core *core, lh_bytes data, uint8_t ret[32]);
TSS2L_SYS_AUTH_COMMAND lh_lease_owner_auth(const lh_core *core);

#endif
