/* What the root key opens: records, configuration, log. The root key itself lives only as long as it takes to
 * derive the keys of these parts.
 *
 * Invariants:
 *  1. A core is opened only after records, tables, configuration chain, anchor and log agree with each other.
 *  2. A vault that an officer sealed has no core once lh_vault_core_open returns.
 */
#include "base/clock.h"
#include "base/log_line.h"
#include "codec/bin.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "vault/fileset.h"

#include <stdio.h>

#define VAULT_RECORD_FORMAT 1
#define SEAL_KEY "seal"
#define SEAL_MAX 16384
#define ROOT_SIZE 32

static lh_err derive(lh_crypto *c, const lh_secret *root, const char *info, lh_secret **ret)
{
    return lh_hkdf_sha256_secret(c, lh_secret_bytes(root), LH_BYTES_NONE, LH_BYTES_STR(info), 32, ret);
}

lh_core *lh_core_ref(lh_core *core)
{
    atomic_fetch_add_explicit(&core->references, 1, memory_order_relaxed);
    return core;
}

void lh_core_unref(lh_core *core)
{
    if (!core || atomic_fetch_sub_explicit(&core->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_log_free(core->log);
    lh_chain_free(core->chain);
    lh_genesis_free(core->genesis);
    lh_records_free(core->records);
    lh_secret_free(core->anchor_auth);
    lh_secret_free(core->log_seed);
    lh_secret_free(core->partition_root);
    lh_secret_free(core->net_key);
    lh_approver_free(core->approver);
    lh_buf_free(&core->ak_public);
    free(core);
}
LH_DEFINE_FREEP(lh_core, lh_core_unref)

static lh_err core_new(lh_vault *v, const lh_secret *root, lh_core **ret)
{
    LH_AUTO(lh_core_unrefp) lh_core *core = calloc(1, sizeof(*core));
    if (!core)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&core->references, 1);
    core->ak_public = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    LH_TRY(derive(v->crypto, root, "leasehold-anchor-v1", &core->anchor_auth));
    LH_TRY(derive(v->crypto, root, "leasehold-log-ed25519-v1", &core->log_seed));
    LH_TRY(derive(v->crypto, root, "leasehold-partitions-v1", &core->partition_root));
    LH_TRY(lh_core_net_key(v->crypto, root, core));
    LH_TRY(lh_approver_new(v->crypto, root, &core->approver));
    LH_TRY(lh_ed25519_public(v->crypto, core->log_seed, core->log_public));
    *ret = LH_TAKE(core);
    return LH_SUCCESS;
}

static lh_err p256_point_of(lh_bytes tpmt_public, uint8_t out[65])
{
    lh_tpms_public public;
    LH_TRY(lh_tpms_public_parse(tpmt_public, &public));
    if (public.type != LH_TPMS_ALG_ECC)
        return LH_FAIL(LH_E_TPM, "the TPM's checkpoint key is not an elliptic curve key");
    return lh_p256_point(public.x, public.y, out);
}

/* The vault record: what belongs to this vault and this TPM. */
static lh_err vault_record_encode(const lh_core *core, lh_buf *out)
{
    lh_put_u8(out, VAULT_RECORD_FORMAT);
    lh_put_u32(out, core->anchor_index);
    lh_put_raw(out, core->tpm_point, sizeof(core->tpm_point));
    lh_put_blob(out, lh_buf_bytes(&core->ak_public));
    return lh_buf_status(out);
}

static lh_err vault_record_load(lh_core *core)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(4096);
    lh_record_id id = LH_RECORD_ID_ZERO;
    lh_err err = lh_record_get(core->records, LH_RECORD_VAULT, &id, &plain);
    if (err.code == LH_E_NOT_FOUND) /* it is the first record to be written, with the genesis */
        return LH_REFUSE(LH_E_NOT_FOUND, "record-none", "there is no vault record");
    LH_TRY(err);
    lh_reader r = lh_reader_new(lh_buf_bytes(&plain));
    uint8_t format = lh_read_u8(&r);
    core->anchor_index = lh_read_u32(&r);
    lh_read_into(&r, core->tpm_point, sizeof(core->tpm_point));
    lh_bytes ak = lh_read_blob(&r, LH_EVIDENCE_PART_MAX);
    LH_TRY(lh_read_done(&r, "the vault record"));
    if (format != VAULT_RECORD_FORMAT)
        return LH_FAIL(LH_E_UNSUPPORTED, "the vault record was written by a newer version; use that version");
    lh_buf_append(&core->ak_public, ak.data, ak.len);
    return lh_buf_status(&core->ak_public);
}

void lh_vault_set_sealed(lh_vault *v, const char *reason, const char *message)
{
    pthread_mutex_lock(&v->mutex);
    v->state = LH_VAULT_SEALED;
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
    snprintf(v->message, sizeof(v->message), "%s", message);
    pthread_mutex_unlock(&v->mutex);
    lh_vault_changed(v);
}

static void set_state(lh_vault *v, enum lh_vault_state state, const char *reason, const char *message)
{
    pthread_mutex_lock(&v->mutex);
    v->state = state;
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
    snprintf(v->message, sizeof(v->message), "%s", message);
    pthread_mutex_unlock(&v->mutex);
    lh_vault_changed(v);
}

lh_err lh_vault_tpm(lh_vault *v, lh_tpm **ret)
{
    if (!v->tpm) {
        lh_tpm *tpm = NULL;
        LH_TRY(lh_tpm_open(v->tcti, &tpm));
        lh_err err = lh_tpm_info(tpm, &v->tpm_facts);
        const lh_attester_options options = {tpm, v->crypto, v->logs.event_log_fd, v->logs.ima_log_fd};
        if (lh_ok(err))
            err = lh_attester_new(&options, &v->attester);
        if (!lh_ok(err)) {
            lh_tpm_close(tpm);
            return err;
        }
        v->tpm = tpm;
        if (v->tpm_facts.is_software)
            lh_log_line(LH_LEVEL_WARNING,
                "SOFTWARE TPM: not hardware-backed. Whoever can write its state folder can "
                "roll it back. For development and tests only.");
    }
    *ret = v->tpm;
    return LH_SUCCESS;
}

/* The root key, or sealed with the reason. *ret stays NULL where the vault is to stay sealed. */
static lh_err unseal(lh_vault *v, lh_bytes blob, lh_secret **ret)
{
    lh_tpm *tpm = NULL;
    lh_err err = lh_vault_tpm(v, &tpm);
    if (lh_ok(err))
        err = lh_seal_open(tpm, blob, ret);
    if (lh_ok(err))
        return LH_SUCCESS;
    if (err.code == LH_E_NOMEM || err.code == LH_E_CORRUPT || err.code == LH_E_UNSUPPORTED)
        return err;
    const lh_err_detail *d = lh_err_last();
    v->retry_open = err.code == LH_E_TPM || err.code == LH_E_TPM_LOCKOUT || err.code == LH_E_LIMIT;
    lh_log_error(LH_LEVEL_WARNING, "the vault stays sealed");
    lh_vault_set_sealed(v,
        d->reason[0]    ? d->reason
        : v->retry_open ? "tpm-unavailable"
                        : "seal",
        d->message[0]
            ? d->message
            : "The TPM cannot be reached. Check that it is there and that this user may open it; the "
              "daemon tries again by itself.");
    return LH_SUCCESS;
}

static void set_id(lh_vault *v, const lh_genesis *genesis, lh_core *core)
{
    char hex[65];
    lh_hex(lh_genesis_vault(genesis), 32, hex);
    snprintf(core->origin, sizeof(core->origin), "leasehold/%.32s", hex);
    pthread_mutex_lock(&v->mutex);
    memcpy(v->id, lh_genesis_vault(genesis), sizeof(v->id));
    v->have_id = true;
    pthread_mutex_unlock(&v->mutex);
}

static lh_err check_environment(const lh_vault *v, const lh_genesis *genesis)
{
    if (lh_genesis_development(genesis) == v->options.development)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_STATE, "vault-development",
        v->options.development
            ? "%s holds a production vault, and this daemon was started for development vaults only"
            : "%s holds a development vault, which a production daemon never serves; make a new vault "
              "elsewhere",
        v->state_dir);
}

/* The parts below the root key, and whether they agree. */
static lh_err core_load(lh_vault *v, const lh_secret *root, lh_core **ret)
{
    LH_AUTO(lh_core_unrefp) lh_core *core = NULL;
    LH_TRY(core_new(v, root, &core));
    LH_TRY(lh_records_open(v->store, v->crypto, root, &core->records));
    LH_TRY(vault_record_load(core));
    LH_TRY(lh_genesis_load(core->records, v->crypto, &core->genesis));
    LH_TRY(check_environment(v, core->genesis));
    set_id(v, core->genesis, core);
    if (lh_genesis_complete(core->genesis)) {
        LH_TRY(lh_chain_replay(core->records, v->crypto, &core->chain));
        LH_TRY(lh_chain_check_tables(core->records, v->crypto, core->chain));
    }
    LH_TRY(lh_log_open(core->records, v->crypto, &core->log));
    LH_TRY(lh_event_resume(core));
    LH_TRY(lh_vault_anchor_check(v, core));
    *ret = LH_TAKE(core);
    return LH_SUCCESS;
}

static lh_err log_opened(lh_vault *v)
{
    return lh_event_write(v->core, "vault.opened",
        json_pack("{s:s, s:s, s:b, s:s}", "tpm_manufacturer", v->tpm_facts.manufacturer, "tpm_vendor",
            v->tpm_facts.vendor, "software_tpm", v->tpm_facts.is_software, "version", LEASEHOLD_VERSION));
}

static lh_err enter_open(lh_vault *v)
{
    lh_rules *rules = NULL;
    LH_TRY(lh_filesets_load(v));
    LH_TRY(lh_rules_new(v->core->chain, &rules));
    lh_vault_rules_set(v, rules);
    LH_TRY(log_opened(v));
    LH_TRY(lh_vault_checkpoint(v, NULL));
    LH_TRY(lh_vault_leases_load(v));
    LH_TRY(lh_standalone_open(v));
    set_state(v, LH_VAULT_OPEN, "", "");
    return LH_SUCCESS;
}

lh_err lh_vault_core_enter_open(lh_vault *v)
{
    lh_err err = enter_open(v);
    if (lh_ok(err))
        return err;
    /* Nothing half open is left: the keeper begins again with what is stored. */
    const lh_err_detail detail = *lh_err_last();
    lh_vault_core_close(v);
    lh_vault_set_sealed(v, detail.reason[0] ? detail.reason : lh_code_name(err.code),
        detail.message[0] ? detail.message : lh_code_text(err.code));
    v->retry_open = true;
    return lh_err_raise(
        err.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
}

static void set_empty(lh_vault *v)
{
    set_state(
        v, LH_VAULT_EMPTY, "vault-empty", "There is no vault here yet. Make one with `leasehold init`.");
}

static void set_founding(lh_vault *v)
{
    set_state(v, LH_VAULT_FOUNDING, "vault-founding",
        "The vault is founding: every officer must sign the genesis text (`leasehold show genesis`, "
        "`leasehold "
        "approve genesis`).");
}

/* Sets v->core, or leaves it NULL with the state that says why. */
static lh_err open_core(lh_vault *v)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(SEAL_MAX);
    lh_err err = lh_store_meta_get(v->store, SEAL_KEY, &blob);
    if (err.code == LH_E_NOT_FOUND) {
        set_empty(v);
        return LH_SUCCESS;
    }
    LH_TRY(err);
    LH_AUTO(lh_secret_freep) lh_secret *root = NULL;
    v->retry_open = false;
    LH_TRY(unseal(v, lh_buf_bytes(&blob), &root));
    if (!root)
        return LH_SUCCESS;
    lh_core *core = NULL;
    err = core_load(v, root, &core);
    if (err.code == LH_E_NOT_FOUND && strcmp(lh_err_last()->reason, "record-none") == 0) {
        /* init was cut off between writing the seal and the genesis: nothing was there yet to lose. */
        set_empty(v);
        return LH_SUCCESS;
    }
    LH_TRY(err);
    pthread_mutex_lock(&v->mutex);
    v->core = core;
    pthread_mutex_unlock(&v->mutex);
    return LH_SUCCESS;
}

lh_err lh_vault_core_settle(lh_vault *v)
{
    if (!v->core)
        return LH_SUCCESS;
    if (!v->core->chain) {
        set_founding(v);
        return LH_SUCCESS;
    }
    bool open = lh_vault_state_of(v) == LH_VAULT_OPEN;
    if (!lh_chain_state(v->core->chain)->sealed && v->options.check) {
        /* Opening has compared everything but the older checkpoints. */
        LH_TRY(lh_log_verify(v->core->log, NULL, NULL));
        LH_TRY(lh_vault_anchor_prove(v));
        set_state(v, LH_VAULT_OPEN, "", "");
        return LH_SUCCESS;
    }
    if (!lh_chain_state(v->core->chain)->sealed)
        return open ? LH_SUCCESS : lh_vault_core_enter_open(v);
    if (open) {
        while (lh_vault_leases_sweep(v))
            ;
        lh_vault_refusals_flush(v, true);
    }
    lh_vault_core_close(v);
    lh_vault_set_sealed(v, "sealed-by-officer",
        "An officer sealed this vault. It stays sealed, also through restarts, until a quorum of officers "
        "opens it "
        "with `leasehold unseal`.");
    return LH_SUCCESS;
}

lh_err lh_vault_core_open(lh_vault *v)
{
    LH_TRY(open_core(v));
    return lh_vault_core_settle(v);
}

lh_err lh_vault_core_reopen_for_officers(lh_vault *v)
{
    LH_TRY(open_core(v));
    return v->core ? LH_SUCCESS : lh_vault_require_open(v);
}

void lh_vault_core_close(lh_vault *v)
{
    lh_hosts_shut(v->hosts);
    lh_standalone_end(v); /* before the rules go, without which nobody sees a partition */
    pthread_mutex_lock(&v->mutex);
    lh_core *core = v->core;
    lh_rules *rules = v->rules;
    v->core = NULL;
    v->rules = NULL;
    pthread_mutex_unlock(&v->mutex);
    if (core)
        lh_records_shut(core->records);
    lh_standalone_close(v);
    if (v->filesets)
        lh_filesets_forget(v);
    lh_rules_unref(rules);
    lh_core_unref(core);
}

static lh_err define_anchor(lh_vault *v, lh_tpm *tpm, lh_core *core)
{
    (void)v;
    LH_TRY(lh_tpm_anchor_find_free(tpm, &core->anchor_index));
    return lh_tpm_anchor_define(tpm, core->anchor_index, core->anchor_auth);
}

static void pcr_text(uint32_t mask, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "sha256:");
    bool first = true;
    for (unsigned i = 0; i < LH_TPM_PCRS; i++) {
        if (!(mask & (1u << i)) || at >= size)
            continue;
        at += (size_t)snprintf(out + at, size - at, "%s%u", first ? "" : ",", i);
        first = false;
    }
}

static lh_err make_genesis(lh_vault *v, lh_tpm *tpm, const lh_roster *roster, uint32_t pcrs, lh_core *core)
{
    lh_tpm_identity identity;
    LH_TRY(lh_tpm_identify(tpm, &identity));
    if (identity.srk.len != 34)
        return LH_FAIL(LH_E_TPM, "the TPM's storage root key has no SHA-256 name");
    char pcrs_text[96];
    pcr_text(pcrs, pcrs_text, sizeof(pcrs_text));
    lh_genesis_request request = {.development = v->options.development,
        .created = lh_clock_wall(),
        .roster = roster,
        .software_tpm = v->tpm_facts.is_software,
        .seal_pcrs = pcrs_text};
    memcpy(request.tpm_srk, identity.srk.data + 2, 32);
    return lh_genesis_new(v->crypto, &request, &core->genesis);
}

static lh_err write_founding(lh_record_txn *txn, void *arg)
{
    lh_core *core = arg;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(4096);
    LH_TRY(vault_record_encode(core, &plain));
    lh_record_id id = LH_RECORD_ID_ZERO;
    LH_TRY(lh_txn_put(txn, LH_RECORD_VAULT, &id, lh_buf_bytes(&plain)));
    LH_TRY(lh_genesis_store(core->genesis, txn));
    return lh_event_append(core, txn, "vault.founding",
        json_pack("{s:o, s:b}", "vault", lh_event_hex(lh_genesis_vault(core->genesis), 32), "development",
            lh_genesis_development(core->genesis)));
}

static lh_err put_seal(lh_store_txn *txn, void *arg)
{
    const lh_buf *blob = arg;
    /* The head of records that an init which was cut off began: nothing is under it. */
    const lh_record_id head = LH_RECORD_ID_ZERO;
    lh_err err = lh_store_txn_delete(txn, LH_RECORD_HEAD, head.b);
    if (err.code != LH_E_NOT_FOUND)
        LH_TRY(err);
    return lh_store_txn_meta_put(txn, SEAL_KEY, lh_buf_bytes(blob));
}

lh_err lh_vault_core_create(lh_vault *v, const lh_roster *roster, uint32_t seal_pcrs)
{
    lh_tpm *tpm = NULL;
    LH_TRY(lh_vault_tpm(v, &tpm));
    if (v->options.development && !v->tpm_facts.is_software)
        return LH_REFUSE(
            LH_E_STATE, "vault-development", "a development vault is made on a software TPM only");
    LH_AUTO(lh_secret_freep) lh_secret *root = NULL;
    LH_TRY(lh_secret_random(ROOT_SIZE, &root));
    LH_AUTO(lh_core_unrefp) lh_core *core = NULL;
    LH_TRY(core_new(v, root, &core));
    LH_TRY(make_genesis(v, tpm, roster, seal_pcrs, core));
    LH_TRY(lh_tpm_ak_public(tpm, &core->ak_public));
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    LH_TRY(lh_tpm_checkpoint_public(tpm, &public));
    LH_TRY(p256_point_of(lh_buf_bytes(&public), core->tpm_point));
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(SEAL_MAX);
    LH_TRY(lh_seal_create(tpm, root, seal_pcrs, &blob));
    LH_TRY(define_anchor(v, tpm, core));
    LH_TRY(lh_store_write(v->store, put_seal, &blob));
    LH_TRY(lh_records_create(v->store, v->crypto, root, &core->records));
    LH_TRY(lh_log_open(core->records, v->crypto, &core->log));
    LH_TRY(lh_records_write(core->records, write_founding, core));
    set_id(v, core->genesis, core);
    v->core = LH_TAKE(core);
    set_state(v, LH_VAULT_FOUNDING, "vault-founding",
        "The vault is founding: every officer must sign the genesis text (`leasehold show genesis`, "
        "`leasehold approve "
        "genesis`).");
    return LH_SUCCESS;
}
