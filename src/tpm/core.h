/* What runs on the TPM thread: the connection, the keys held on it, and how its errors are told. Private to
 * this folder. Everything here is called on that thread only. */
#ifndef LH_TPM_CORE_H
#define LH_TPM_CORE_H

#include "tpm/tpm.h"

#include <tss2/tss2_esys.h>

/* A key that is used often. A TPM has room for as few as three objects: it is loaded while nothing else needs
 * the room, and comes back from its saved context (Part 1, 30.3) otherwise. */
typedef struct {
    ESYS_TR tr;          /* ESYS_TR_NONE while not loaded */
    TPMS_CONTEXT *saved; /* NULL until first made on this connection */
} lh_kept_key;

/* What of the lease keys is on the TPM (lease_key.c): loaded while nothing else needs the room. */
typedef struct {
    uint64_t connection;       /* which connection this is; contexts saved on an earlier one are of no use */
    TPM2_HANDLE approver, key; /* 0: not loaded */
    uint64_t key_of;           /* the lease key that key is */
    lh_tpm_name approver_of;   /* the Name of approver */
    TPMS_CONTEXT *approver_saved; /* of that Name; NULL where there is none */
    TPMS_CONTEXT *storage;        /* the storage key; NULL until first made on this connection */
} lh_core_leases;

#define LH_CORE_EKS 3u /* kinds of endorsement keys */

typedef struct {
    char *tcti_name;
    bool simulator; /* swtpm or mssim without a resource manager: nobody else's objects are on it */
    bool broken;    /* the connection is to be closed when the job ends */
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys; /* NULL while there is no connection */
    lh_kept_key ak, checkpoint;
    lh_core_leases leases;
    TPMS_CONTEXT *eks[LH_CORE_EKS]; /* in the order of lh_core_ek's kinds; NULL until first made */
    lh_tpm_name ek;                 /* len 0 until computed on this connection */
    lh_tpm_name srk_pin;            /* len 0 until a seal was made or opened; outlives the connection */
    lh_secret *owner_auth;          /* NULL where empty */
} lh_core;

/* Run fn(core, arg) on the TPM thread, with a connection. */
typedef lh_err (*lh_core_fn)(lh_core *core, void *arg);
LH_MUST lh_err lh_tpm_run(lh_tpm *tpm, lh_core_fn fn, void *arg);

LH_MUST lh_err lh_core_connect(lh_core *core);
void lh_core_disconnect(lh_core *core);

/* Translate a response code, once. what: the TPM command ("TPM2_Unseal"). Marks the connection broken where
 * the code says that it, or what was loaded on it, is lost. Codes: LH_E_TPM ("tpm-gone" where it is),
 * LH_E_TPM_LOCKOUT, LH_E_SEAL_POLICY, LH_E_DENIED (authorization), LH_E_CORRUPT (integrity), LH_E_NOT_FOUND
 * (no such handle), LH_E_EXISTS, LH_E_STATE (NV not written), LH_E_FULL (NV space), LH_E_NOMEM. */
LH_MUST lh_err lh_core_error(lh_core *core, TSS2_RC rc, const char *what);
/* Is rc that TPM code, whatever handle, session or parameter it names? */
bool lh_core_is(TSS2_RC rc, TSS2_RC code);
#define LH_TPM_TRY(core, rc, what)                                                                           \
    do {                                                                                                     \
        TSS2_RC lh_tpm_rc = (rc);                                                                            \
        if (lh_tpm_rc != TSS2_RC_SUCCESS)                                                                    \
            return lh_core_error((core), lh_tpm_rc, (what));                                                 \
    } while (0)

/* A handle that lets go of itself. Transient objects and sessions are flushed from the TPM; persistent
 * objects and NV indexes only from ESYS. */
typedef struct {
    lh_core *core;
    ESYS_TR tr;
    bool transient;
} lh_handle;
#define LH_HANDLE_NONE ((lh_handle){NULL, ESYS_TR_NONE, false})
void lh_handle_release(lh_handle *handle); /* for LH_AUTO */

/* free() for what ESYS allocates, wiping it first: for LH_AUTO on a typed pointer. */
void lh_esys_freep(void *p);

/* A primary key of hierarchy from a template; its public area where ret_public is not NULL (Esys_Free). */
LH_MUST lh_err lh_core_primary(lh_core *core, ESYS_TR hierarchy, const TPM2B_PUBLIC *template, lh_handle *ret,
    TPM2B_PUBLIC **ret_public);
LH_MUST lh_err lh_core_name(lh_core *core, ESYS_TR tr, lh_tpm_name *ret);

/* The attestation key and the checkpoint key: borrowed until another key is asked for. */
LH_MUST lh_err lh_core_ak(lh_core *core, ESYS_TR *ret);
LH_MUST lh_err lh_core_checkpoint(lh_core *core, ESYS_TR *ret);
/* The template of an endorsement key (LH_TPM_EK_…); NULL: there is no such kind. */
const TPM2B_PUBLIC *lh_core_ek_template(uint16_t kind);
/* The endorsement key. LH_E_UNSUPPORTED "tpm-ek-kind". */
LH_MUST lh_err lh_core_ek(lh_core *core, uint16_t kind, lh_handle *ret);
/* A loaded key's TPMT_PUBLIC, marshalled. Appended. */
LH_MUST lh_err lh_core_append_public(lh_core *core, ESYS_TR key, lh_buf *out);
/* Append a to first and b to second, or neither. */
LH_MUST lh_err lh_core_append_pair(lh_buf *first, lh_bytes a, lh_buf *second, lh_bytes b);
/* Let go of kept keys, so that other objects can be loaded. */
void lh_core_make_room(lh_core *core);
/* Load what was saved. Where it is of before a reset of the TPM, which a transport that connects anew for
 * each command does not tell of: it is freed, and *ret is ESYS_TR_NONE. */
LH_MUST lh_err lh_core_load_saved(lh_core *core, TPMS_CONTEXT **saved, ESYS_TR *ret);
/* Forget them: their contexts belong to a connection that ends. */
void lh_core_forget_keys(lh_core *core);
/* The same for lease keys alone; and when the connection ends. */
void lh_core_leases_unload(lh_core *core);
void lh_core_leases_forget(lh_core *core);
/* The storage root key at 0x81000001, made if missing, checked to be one. */
LH_MUST lh_err lh_core_srk(lh_core *core, lh_handle *ret, lh_tpm_name *ret_name);
/* The same, refused where a Name is pinned and it is another. */
LH_MUST lh_err lh_core_srk_pinned(lh_core *core, lh_handle *ret);
LH_MUST lh_err lh_core_identity(lh_core *core, lh_tpm_identity *ret);

/* A session of type (TPM2_SE_HMAC, _POLICY), salted with srk, AES-128-CFB; flags as TPMA_SESSION. */
LH_MUST lh_err lh_core_session(lh_core *core, ESYS_TR srk, TPM2_SE type, TPMA_SESSION flags, lh_handle *ret);
/* A trial session, for computing a policy digest. */
LH_MUST lh_err lh_core_trial(lh_core *core, lh_handle *ret);
LH_MUST lh_err lh_core_policy_digest(lh_core *core, ESYS_TR session, TPM2B_DIGEST *ret);

/* PCR masks and values. */
LH_MUST lh_err lh_core_mask_check(uint32_t mask);
void lh_core_selection(uint32_t mask, TPML_PCR_SELECTION *ret);
/* counter: the TPM's PCR update counter at the reading. */
LH_MUST lh_err lh_core_pcr_read(
    lh_core *core, uint32_t mask, uint8_t ret[LH_TPM_PCRS][32], uint32_t *ret_counter);

#endif
