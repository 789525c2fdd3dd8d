#include "vault/vault.h"

#include "base/log_line.h"
#include "vault/fileset.h"
#include "vault/partition_internal.h"
#include "vault/standalone_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static lh_err read_boot_id(uint8_t out[16])
{
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 36)
        return LH_FAIL(LH_E_IO, "cannot read /proc/sys/kernel/random/boot_id; is /proc mounted?");
    char digits[33];
    size_t at = 0;
    for (ssize_t i = 0; i < 36 && at < 32; i++)
        if (text[i] != '-')
            digits[at++] = text[i];
    digits[at] = '\0';
    return lh_unhex(digits, out, 16);
}

static void init_locks(lh_vault *v)
{
    /* Officers come first: a stream of clients must not keep a hold waiting. Nobody takes it twice. */
    pthread_rwlockattr_t prefer;
    pthread_rwlockattr_init(&prefer);
    pthread_rwlockattr_setkind_np(&prefer, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&v->core_lock, &prefer);
    pthread_rwlockattr_destroy(&prefer);
    pthread_mutex_init(&v->sweeping, NULL);
    pthread_mutex_init(&v->governance, NULL);
    pthread_mutex_init(&v->peers_mutex, NULL);
    pthread_mutex_init(&v->mutex, NULL);
    for (size_t i = 0; i < ISSUE_LOCKS; i++)
        pthread_mutex_init(&v->issue_locks[i], NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&v->keeper_wake, &attr);
    pthread_condattr_destroy(&attr);
}

/* What can pass by itself does not keep the daemon from starting: the vault stays sealed, says why, and the
 * keeper tries again. */
static lh_err open_or_wait(lh_vault *v)
{
    lh_err err = lh_vault_core_open(v);
    if (err.code != LH_E_FULL && err.code != LH_E_TPM && err.code != LH_E_TPM_LOCKOUT)
        return err;
    const lh_err_detail detail = *lh_err_last();
    lh_log_error(LH_LEVEL_ERROR, "the vault cannot be opened yet");
    lh_vault_core_close(v);
    lh_vault_set_sealed(v, detail.reason[0] ? detail.reason : lh_code_name(err.code),
        detail.message[0] ? detail.message : lh_code_text(err.code));
    v->retry_open = true;
    return LH_SUCCESS;
}

lh_err lh_vault_open(const lh_vault_options *options, lh_vault **ret)
{
    LH_AUTO(lh_vault_closep) lh_vault *v = calloc(1, sizeof(*v));
    if (!v)
        return LH_RAISE(LH_E_NOMEM, 0);
    init_locks(v);
    v->options = *options;
    v->logs = options->logs ? *options->logs : (lh_vault_logs){-1, -1};
    lh_standalone_hooks(&v->partition_hooks);
    v->state_dir = strdup(options->state_dir);
    v->tcti = strdup(options->tcti);
    if (!v->state_dir || !v->tcti)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(read_boot_id(v->boot_id));
    LH_TRY(lh_lease_table_new(&v->leases));
    LH_TRY(lh_filesets_new(&v->filesets));
    LH_TRY(lh_crypto_new(&v->crypto));
    LH_TRY(lh_hosts_new(v, &v->hosts));
    LH_TRY(lh_self_new(v, &v->self));
    LH_TRY(lh_self_watch_new(v, &v->self_watch));
    LH_TRY(lh_enrolment_authorities(v));
    LH_TRY(lh_store_open(v->state_dir, NULL, &v->store));
    pthread_rwlock_wrlock(&v->core_lock);
    lh_err err = open_or_wait(v);
    pthread_rwlock_unlock(&v->core_lock);
    LH_TRY(err);
    if (!options->check)
        LH_TRY(lh_vault_keeper_start(v));
    *ret = LH_TAKE(v);
    return LH_SUCCESS;
}

static void last_words(lh_vault *v)
{
    while (lh_vault_leases_sweep(v))
        ;
    lh_vault_refusals_flush(v, true);
    /* What cannot be written now is found again at the next start: nothing is lost by going on. */
    LH_IGNORE(lh_event_write(v->core, "vault.stopped", json_object()));
    LH_IGNORE(lh_vault_checkpoint(v, NULL));
}

void lh_vault_close(lh_vault *v)
{
    if (!v)
        return;
    lh_vault_keeper_stop(v);
    if (v->core && v->core->chain && v->state == LH_VAULT_OPEN && !v->options.check)
        last_words(v);
    lh_vault_core_close(v);
    lh_lease_table_free(v->leases);
    lh_vault_holders_free(v);
    lh_vault_refusals_free(v);
    lh_filesets_free(v->filesets);
    lh_attester_free(v->attester);
    lh_self_watch_free(v->self_watch);
    lh_self_free(v->self);
    lh_hosts_free(v->hosts);
    lh_tpm_close(v->tpm);
    lh_store_free(v->store);
    lh_ek_authorities_free(v->ek_authorities);
    lh_crypto_free(v->crypto);
    for (size_t i = 0; i < ISSUE_LOCKS; i++)
        pthread_mutex_destroy(&v->issue_locks[i]);
    pthread_mutex_destroy(&v->sweeping);
    pthread_cond_destroy(&v->keeper_wake);
    pthread_mutex_destroy(&v->peers_mutex);
    pthread_mutex_destroy(&v->mutex);
    pthread_mutex_destroy(&v->governance);
    pthread_rwlock_destroy(&v->core_lock);
    free(v->state_dir);
    free(v->tcti);
    free(v);
}

enum lh_vault_state lh_vault_state_of(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    enum lh_vault_state state = v->state;
    pthread_mutex_unlock(&v->mutex);
    return state;
}

void lh_vault_short_id(lh_vault *v, char out[17])
{
    out[0] = '\0';
    pthread_mutex_lock(&v->mutex);
    if (v->have_id)
        lh_hex(v->id, 8, out);
    pthread_mutex_unlock(&v->mutex);
}

bool lh_vault_allows_legacy(const lh_vault *v)
{
    return v->options.development && v->options.legacy;
}

lh_crypto *lh_vault_crypto(lh_vault *v)
{
    return v->crypto;
}

lh_err lh_vault_require_open(lh_vault *v)
{
    char reason[64];
    char message[512];
    pthread_mutex_lock(&v->mutex);
    bool open = v->state == LH_VAULT_OPEN;
    snprintf(reason, sizeof(reason), "%s", v->reason);
    snprintf(message, sizeof(message), "%s", v->message);
    pthread_mutex_unlock(&v->mutex);
    return open ? LH_SUCCESS : LH_REFUSE(LH_E_STATE, reason, "%s", message);
}

void lh_vault_token_info(lh_vault *v, lh_token_info_reply *ret)
{
    char id[17];
    lh_vault_short_id(v, id);
    char label[33];
    snprintf(
        label, sizeof(label), "%-32.32s", v->options.development ? "leasehold DEVELOPMENT" : "leasehold");
    enum lh_vault_state state = lh_vault_state_of(v);
    *ret = (lh_token_info_reply){
        .state = (uint8_t)(state == LH_VAULT_OPEN                                  ? LH_TOKEN_OPEN
                           : state == LH_VAULT_FOUNDING || state == LH_VAULT_EMPTY ? LH_TOKEN_FOUNDING
                                                                                   : LH_TOKEN_SEALED),
        .flags = v->options.development ? LH_TOKEN_FLAG_DEVELOPMENT : 0,
    };
    memcpy(ret->label, label, sizeof(ret->label));
    memset(ret->serial, ' ', sizeof(ret->serial));
    memcpy(ret->serial, id, strlen(id));
}
