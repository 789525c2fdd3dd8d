/* The key by which hosts know this vault: derived from the root key, so that it is there when the vault is
 * open, is the same after every start, and is stored nowhere. */
#include "crypto/derive.h"
#include "crypto/hash.h"
#include "vault/internal.h"

lh_err lh_core_net_key(lh_crypto *c, const lh_secret *root, lh_core *core)
{
    LH_TRY(
        lh_derive_material(c, root, LH_BYTES_STR("leasehold-net-p256-v1"), LH_KEY_EC_P256, &core->net_key));
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(lh_key_new(c, LH_KEY_EC_P256, core->net_key, &key));
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(256);
    LH_TRY(lh_key_public_spki(key, &spki));
    const lh_bytes part = lh_buf_bytes(&spki);
    return lh_sha256(c, &part, 1, core->net_hash);
}

/* Not under core_lock, which whoever waits for disk or TPM may hold: the state says whether the core is there
 * for good, and both change under the mutex. */
lh_err lh_vault_net_key(lh_vault *v, lh_secret **ret)
{
    LH_TRY(lh_vault_require_open(v));
    pthread_mutex_lock(&v->mutex);
    lh_core *core = v->state == LH_VAULT_OPEN && v->core ? lh_core_ref(v->core) : NULL;
    pthread_mutex_unlock(&v->mutex);
    if (!core)
        return LH_REFUSE(LH_E_STATE, "sealed", "the vault is not open");
    lh_err err = lh_secret_copy(lh_secret_bytes(core->net_key), ret);
    lh_core_unref(core);
    return err;
}

bool lh_vault_id(lh_vault *v, uint8_t out[32])
{
    pthread_mutex_lock(&v->mutex);
    bool have = v->have_id;
    if (have)
        memcpy(out, v->id, 32);
    pthread_mutex_unlock(&v->mutex);
    return have;
}

void lh_vault_changed(lh_vault *v)
{
    if (v->options.changed)
        v->options.changed(v->options.changed_arg);
}

json_t *lh_vault_net_status(lh_vault *v)
{
    json_t *listen = json_array();
    for (size_t i = 0; i < v->options.listen_count; i++)
        json_array_append_new(listen, json_string(v->options.listen[i]));
    json_t *status = json_pack("{s:o}", "listen", listen);
    char key[sizeof("sha256:") + 64] = "sha256:";
    if (status && v->core && lh_vault_state_of(v) == LH_VAULT_OPEN) {
        lh_hex(v->core->net_hash, 32, key + strlen(key));
        json_object_set_new(status, "key", json_string(key));
    }
    return status;
}
