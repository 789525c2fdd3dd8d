/* Keys that are made and kept.
 *
 * Invariants:
 *  1. A key is shown to nobody before its record is durable: what was lost in a crash was never used.
 *  2. A record is written only where there is none of its id, and never changed: of two who make a key at
 *     once the first to write wins, and both read what was written. */
#include "vault/made_key.h"

#include "codec/bin.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define FORMAT 1
#define LABEL "leasehold-made-key-v1"
#define RECORD_MAX (LH_DERIVE_CONTEXT_MAX + LH_KEY_SECRET_MAX + 128)

/* Which key: everything that is the same for each who asks for it. */
typedef struct {
    lh_vault *v;
    const lh_derivation *derivation;
    lh_buf context;
    lh_record_id id;
    lh_secret *seal; /* the key that its material is sealed under */
} which;

static void which_clear(which *w)
{
    lh_buf_free(&w->context);
    lh_secret_free(w->seal);
}

static lh_err identify(which *w, const lh_secret *parent)
{
    if (w->derivation->per != LH_PER_WORKLOAD)
        return LH_RAISE(LH_E_INTERNAL, w->derivation->kind); /* policy has refused it */
    LH_TRY(lh_derivation_context(w->derivation, &w->context));
    const lh_bytes parts[] = {LH_BYTES_STR(LABEL), lh_buf_bytes(&w->context)};
    LH_TRY(lh_sha256(w->v->crypto, parts, LH_ARRAY_LEN(parts), w->id.b));
    return lh_derive(w->v->crypto, parent, lh_buf_bytes(&w->context), LH_AEAD_KEY_SIZE, &w->seal);
}

/* --- the record -------------------------------------------------------------------------------------------
 */

/* u8 1 ‖ blob context ‖ nonce[12] ‖ blob ciphertext and tag, with all that is before it as associated data.
 */
static lh_err encode(const which *w, const lh_secret *material, lh_buf *ret)
{
    uint8_t nonce[LH_AEAD_NONCE_SIZE];
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(LH_KEY_SECRET_MAX + LH_AEAD_TAG_SIZE);
    lh_random(nonce, sizeof(nonce));
    lh_put_u8(ret, FORMAT);
    lh_put_blob(ret, lh_buf_bytes(&w->context));
    lh_put_raw(ret, nonce, sizeof(nonce));
    LH_TRY(lh_buf_status(ret));
    LH_TRY(lh_aead_seal(
        w->v->crypto, lh_secret_data(w->seal), nonce, lh_buf_bytes(ret), lh_secret_bytes(material), &sealed));
    lh_put_blob(ret, lh_buf_bytes(&sealed));
    return lh_buf_status(ret);
}

static lh_err refuse_altered(const which *w)
{
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(LH_RECORD_KEY, &w->id, name);
    return LH_REFUSE(LH_E_CORRUPT, "key-altered", "%s is not a key of role %s and %s", name,
        w->derivation->role, w->derivation->workload);
}

static lh_err decode(const which *w, lh_bytes record, lh_key **ret)
{
    lh_reader r = lh_reader_new(record);
    uint8_t format = lh_read_u8(&r);
    lh_bytes context = lh_read_blob(&r, LH_DERIVE_CONTEXT_MAX);
    lh_bytes nonce = lh_read_raw(&r, LH_AEAD_NONCE_SIZE);
    const size_t head = record.len - r.left;
    lh_bytes sealed = lh_read_blob(&r, LH_KEY_SECRET_MAX + LH_AEAD_TAG_SIZE);
    if (!lh_ok(lh_read_done(&r, "a key's record")) || format != FORMAT ||
        !lh_bytes_equal(context, lh_buf_bytes(&w->context)))
        return refuse_altered(w);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_KEY_SECRET_MAX);
    if (!lh_ok(lh_aead_open(w->v->crypto, lh_secret_data(w->seal), nonce.data, LH_BYTES(record.data, head),
            sealed, &plain)) ||
        plain.len == 0)
        return refuse_altered(w);
    LH_AUTO(lh_secret_freep) lh_secret *material = NULL;
    LH_TRY(lh_secret_copy(lh_buf_bytes(&plain), &material));
    lh_err err = lh_key_new(w->v->crypto, w->derivation->kind, material, ret);
    return err.code == LH_E_INVALID ? refuse_altered(w) : err;
}

static lh_err find(const which *w, lh_key **ret)
{
    LH_AUTO(lh_buf_free) lh_buf record = LH_BUF_INIT(RECORD_MAX);
    lh_err err = lh_record_get(w->v->core->records, LH_RECORD_KEY, &w->id, &record);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(LH_E_NOT_FOUND, "key-unmade", "role %s has no key for %s yet", w->derivation->role,
            w->derivation->workload);
    LH_TRY(err);
    return decode(w, lh_buf_bytes(&record), ret);
}

/* --- making -----------------------------------------------------------------------------------------------
 */

typedef struct {
    const which *w;
    lh_bytes record;
    uint8_t public_hash[LH_SHA256_SIZE]; /* of its SubjectPublicKeyInfo */
} making;

static lh_err write_key(lh_record_txn *txn, void *arg)
{
    const making *m = arg;
    const lh_derivation *d = m->w->derivation;
    if (lh_txn_exists(txn, LH_RECORD_KEY, &m->w->id))
        return LH_SUCCESS; /* somebody was quicker: theirs is the key */
    LH_TRY(lh_txn_put(txn, LH_RECORD_KEY, &m->w->id, m->record));
    return lh_event_append(m->w->v->core, txn, "key.made",
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "role", d->role, "workload", d->workload, "parent",
            d->parent, "parent_version", (json_int_t)d->parent_version, "key",
            lh_key_row_by_kind(d->kind)->name, "public_key",
            lh_event_hex(m->public_hash, sizeof(m->public_hash))));
}

static lh_err make(const which *w)
{
    lh_crypto *c = w->v->crypto;
    LH_AUTO(lh_secret_freep) lh_secret *material = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf record = LH_BUF_INIT(RECORD_MAX);
    LH_TRY(lh_key_make_material(c, w->derivation->kind, &material));
    LH_TRY(lh_key_new(c, w->derivation->kind, material, &key));
    LH_TRY(lh_key_public_spki(key, &spki));
    LH_TRY(encode(w, material, &record));
    making m = {.w = w, .record = lh_buf_bytes(&record)};
    const lh_bytes public = lh_buf_bytes(&spki);
    LH_TRY(lh_sha256(c, &public, 1, m.public_hash));
    return lh_records_write(w->v->core->records, write_key, &m);
}

lh_err lh_made_key_find(lh_vault *v, const lh_derivation *derivation, const lh_secret *parent, lh_key **ret)
{
    LH_AUTO(which_clear)
    which w = {.v = v, .derivation = derivation, .context = LH_BUF_INIT(LH_DERIVE_CONTEXT_MAX)};
    LH_TRY(identify(&w, parent));
    return find(&w, ret);
}

lh_err lh_made_key_get(lh_vault *v, const lh_derivation *derivation, const lh_secret *parent, lh_key **ret)
{
    LH_AUTO(which_clear)
    which w = {.v = v, .derivation = derivation, .context = LH_BUF_INIT(LH_DERIVE_CONTEXT_MAX)};
    LH_TRY(identify(&w, parent));
    lh_err err = find(&w, ret);
    if (err.code != LH_E_NOT_FOUND)
        return err;
    LH_TRY(make(&w));
    return find(&w, ret);
}
