/* The anchor: 81 bytes in the TPM's NV memory that say how far configuration and log had come. It is written
 * after the commit and before the acknowledgement of each change of the configuration, and with each
 * checkpoint; so a store that is put back as it was earlier is older than its anchor, and refused.
 *
 * u8 1 ‖ u64 configuration sequence ‖ state hash[32] ‖ u64 log size ‖ log root[32]
 */
#include "base/log_line.h"
#include "codec/bin.h"
#include "crypto/sign.h"
#include "vault/internal.h"

#include <stdio.h>

#define ANCHOR_FORMAT 1

lh_err lh_vault_anchor_write(lh_vault *v)
{
    lh_core *core = v->core;
    lh_merkle_head head;
    LH_TRY(lh_log_head(core->log, &head));
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(LH_TPM_ANCHOR_MAX);
    lh_put_u8(&data, ANCHOR_FORMAT);
    lh_put_u64(&data, lh_chain_sequence(core->chain));
    lh_put_raw(&data, lh_chain_hash(core->chain), 32);
    lh_put_u64(&data, head.size);
    lh_put_raw(&data, head.root, sizeof(head.root));
    LH_TRY(lh_buf_status(&data));
    lh_tpm *tpm = NULL;
    lh_err err = lh_vault_tpm(v, &tpm);
    if (lh_ok(err))
        err = lh_tpm_anchor_write(tpm, core->anchor_index, core->anchor_auth, lh_buf_bytes(&data));
    pthread_mutex_lock(&v->mutex);
    v->anchor_behind = !lh_ok(err);
    if (lh_ok(err))
        v->anchored_log_size = head.size;
    pthread_mutex_unlock(&v->mutex);
    return err;
}

static lh_err check_log(lh_core *core, const lh_merkle_head *anchored)
{
    bool contained = false;
    LH_TRY(lh_log_contains(core->log, anchored, &contained));
    if (contained)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_ROLLBACK, "anchor-log",
        "the log has %llu entries and does not begin with the %llu that the TPM's anchor names: the store "
        "was put back "
        "to an earlier state or its log was replaced; restore the newest copy of the store",
        (unsigned long long)lh_log_size(core->log), (unsigned long long)anchored->size);
}

lh_err lh_vault_anchor_check(lh_vault *v, lh_core *core)
{
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(LH_TPM_ANCHOR_MAX);
    lh_err err = lh_tpm_anchor_read(v->tpm, core->anchor_index, &data);
    /* Founding, or cut off after the last officer's signature: nothing has been anchored yet, and nothing can
     * have been issued or decided. */
    if (err.code == LH_E_STATE && (!core->chain || lh_chain_sequence(core->chain) == 0))
        return LH_SUCCESS;
    if (err.code == LH_E_STATE || err.code == LH_E_NOT_FOUND || err.code == LH_E_CORRUPT)
        return LH_REFUSE(LH_E_ROLLBACK, "anchor-missing",
            "the TPM's anchor 0x%08x is not there, is empty or is not ours: it was removed from the TPM, so "
            "nothing "
            "shows that this store is the newest; restore it from a known state with your officers",
            core->anchor_index);
    LH_TRY(err);
    lh_reader r = lh_reader_new(lh_buf_bytes(&data));
    uint8_t format = lh_read_u8(&r);
    uint64_t sequence = lh_read_u64(&r);
    uint8_t state[32];
    lh_read_into(&r, state, sizeof(state));
    lh_merkle_head head;
    head.size = lh_read_u64(&r);
    lh_read_into(&r, head.root, sizeof(head.root));
    LH_TRY(lh_read_done(&r, "the TPM's anchor"));
    if (format != ANCHOR_FORMAT)
        return LH_FAIL(LH_E_UNSUPPORTED, "the TPM's anchor was written by a newer version; use that version");
    if (!core->chain || !lh_chain_contains(core->chain, sequence, state))
        return LH_REFUSE(LH_E_ROLLBACK, "anchor-configuration",
            "the store's configuration does not reach state %llu, which the TPM's anchor names: the store "
            "was put back "
            "to an earlier state; restore the newest copy of the store",
            (unsigned long long)sequence);
    return check_log(core, &head);
}

lh_err lh_vault_anchor_prove(lh_vault *v)
{
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(LH_TPM_ANCHOR_MAX);
    lh_core *core = v->core;
    LH_TRY(lh_tpm_anchor_read(v->tpm, core->anchor_index, &data));
    return lh_tpm_anchor_write(v->tpm, core->anchor_index, core->anchor_auth, lh_buf_bytes(&data));
}

typedef struct {
    lh_vault *vault;
    lh_core *core;
} signer;

static lh_err sign_ed25519(void *arg, lh_bytes input, uint8_t out[64])
{
    const signer *s = arg;
    return lh_ed25519_sign(s->vault->crypto, s->core->log_seed, input, out);
}

static lh_err sign_tpm(void *arg, lh_bytes input, uint8_t out[64])
{
    const signer *s = arg;
    lh_tpm *tpm = NULL;
    LH_TRY(lh_vault_tpm(s->vault, &tpm));
    if (input.len != 32)
        return LH_RAISE(LH_E_INTERNAL, input.len);
    return lh_tpm_checkpoint_sign(tpm, input.data, out, out + 32);
}

lh_err lh_vault_checkpoint(lh_vault *v, lh_buf *ret_note)
{
    lh_core *core = v->core;
    signer s = {v, core};
    const lh_note_signer signers[] = {
        {{core->origin, LH_NOTE_ED25519, LH_BYTES(core->log_public, 32)}, sign_ed25519, &s},
        {{core->origin, LH_NOTE_ECDSA_P256, LH_BYTES(core->tpm_point, 65)}, sign_tpm, &s},
    };
    char extension[64];
    snprintf(extension, sizeof(extension), "tpm-nv-anchor 0x%08x", core->anchor_index);
    const lh_log_checkpoint_request request = {core->origin, extension, signers, LH_ARRAY_LEN(signers)};
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    uint64_t size = lh_log_size(core->log);
    LH_TRY(lh_log_checkpoint(core->log, &request, &note));
    LH_TRY(lh_vault_anchor_write(v));
    pthread_mutex_lock(&v->mutex);
    v->checkpoint_size = size;
    pthread_mutex_unlock(&v->mutex);
    if (ret_note)
        lh_buf_append(ret_note, note.data, note.len);
    return ret_note ? lh_buf_status(ret_note) : LH_SUCCESS;
}
