#include "quorum/genesis.h"

#include "codec/approval.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "quorum/approval.h"
#include "quorum/config.h"
#include "quorum/table.h"

#define SEAL_PCRS_SIZE 128
#define NONCE_SIZE 16

typedef struct {
    const lh_officer *officer; /* of the roster */
    int64_t at;
    lh_buf armor;
} signature;

struct lh_genesis {
    bool development;
    int64_t created;
    uint8_t nonce[NONCE_SIZE];
    uint8_t tpm_srk[32];
    bool software_tpm;
    char seal_pcrs[SEAL_PCRS_SIZE];
    lh_roster *roster;
    lh_buf text;
    uint8_t vault[32];
    size_t n_signatures;
    signature signatures[LH_LIMIT_OFFICERS]; /* in the order they came */
};

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

void lh_genesis_free(lh_genesis *genesis)
{
    if (!genesis)
        return;
    lh_roster_free(genesis->roster);
    lh_buf_free(&genesis->text);
    for (size_t i = 0; i < genesis->n_signatures; i++)
        lh_buf_free(&genesis->signatures[i].armor);
    free(genesis);
}

lh_bytes lh_genesis_bytes(const lh_genesis *genesis)
{
    return lh_buf_bytes(&genesis->text);
}

const uint8_t *lh_genesis_vault(const lh_genesis *genesis)
{
    return genesis->vault;
}

lh_roster *lh_genesis_roster(const lh_genesis *genesis)
{
    return genesis->roster;
}

bool lh_genesis_development(const lh_genesis *genesis)
{
    return genesis->development;
}

bool lh_genesis_has_signed(const lh_genesis *genesis, const char *officer)
{
    for (size_t i = 0; i < genesis->n_signatures; i++)
        if (strcmp(genesis->signatures[i].officer->name, officer) == 0)
            return true;
    return false;
}

bool lh_genesis_complete(const lh_genesis *genesis)
{
    return genesis->n_signatures == lh_roster_count(genesis->roster);
}

static lh_err build_text(lh_genesis *genesis, lh_crypto *c)
{
    LH_AUTO(lh_freep) lh_genesis_key *keys = NULL;
    size_t n = 0;
    keys = calloc(LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS, sizeof *keys);
    if (!keys)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < lh_roster_count(genesis->roster); i++) {
        const lh_officer *officer = lh_roster_officer(genesis->roster, i);
        for (size_t k = 0; k < officer->n_keys; k++)
            keys[n++] = (lh_genesis_key){officer->name, lh_buf_bytes(&officer->keys[k])};
    }
    lh_genesis_fields fields = {
        .development = genesis->development,
        .created = genesis->created,
        .threshold = lh_roster_threshold(genesis->roster),
        .software_tpm = genesis->software_tpm,
        .seal_pcrs = genesis->seal_pcrs,
        .keys = keys,
        .n_keys = n,
    };
    memcpy(fields.nonce, genesis->nonce, sizeof fields.nonce);
    memcpy(fields.tpm_srk, genesis->tpm_srk, sizeof fields.tpm_srk);
    genesis->text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    LH_TRY(lh_genesis_text(&fields, &genesis->text));
    lh_bytes text = lh_buf_bytes(&genesis->text);
    return lh_sha256(c, &text, 1, genesis->vault);
}

static lh_err alloc_genesis(lh_genesis **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? LH_SUCCESS : LH_RAISE(LH_E_NOMEM, 0);
}

lh_err lh_genesis_new(lh_crypto *c, const lh_genesis_request *request, lh_genesis **ret)
{
    LH_AUTO(lh_genesis_freep) lh_genesis *genesis = NULL;
    LH_TRY(alloc_genesis(&genesis));
    LH_TRY(lh_text_check_value("the PCR selection", LH_BYTES_STR(request->seal_pcrs), SEAL_PCRS_SIZE - 1));
    genesis->development = request->development;
    genesis->created = request->created;
    genesis->software_tpm = request->software_tpm;
    strcpy(genesis->seal_pcrs, request->seal_pcrs); /* its length was checked */
    memcpy(genesis->tpm_srk, request->tpm_srk, sizeof genesis->tpm_srk);
    lh_random(genesis->nonce, sizeof genesis->nonce);
    LH_TRY(lh_roster_decode(c, lh_roster_encoding(request->roster), &genesis->roster));
    LH_TRY(build_text(genesis, c));
    *ret = LH_TAKE(genesis);
    return LH_SUCCESS;
}

lh_err lh_genesis_sign(
    lh_genesis *genesis, lh_crypto *c, lh_bytes armor, int64_t at, const lh_officer **ret_officer)
{
    const lh_officer *officer = NULL;
    if (lh_genesis_complete(genesis))
        return LH_REFUSE(LH_E_STATE, "genesis-complete", "every officer has signed the genesis already");
    LH_TRY(lh_approval_verify(c, genesis->roster, armor, lh_genesis_bytes(genesis), &officer));
    if (lh_genesis_has_signed(genesis, officer->name))
        return LH_REFUSE(
            LH_E_EXISTS, "approval-same-person", "%s has signed the genesis already", officer->name);
    signature *s = &genesis->signatures[genesis->n_signatures];
    *s = (signature){officer, at, LH_BUF_INIT(LH_LIMIT_SIGNATURE)};
    lh_buf_append(&s->armor, armor.data, armor.len);
    LH_TRY(lh_buf_status(&s->armor));
    genesis->n_signatures++;
    *ret_officer = officer;
    return LH_SUCCESS;
}

lh_err lh_genesis_encode(const lh_genesis *genesis, lh_buf *out)
{
    lh_put_u8(out, LH_CONFIG_FORMAT);
    lh_put_u8(out, LH_CONFIG_GENESIS);
    lh_put_u8(out, genesis->development ? 1 : 0);
    lh_put_u64(out, (uint64_t)genesis->created);
    lh_put_raw(out, genesis->nonce, sizeof genesis->nonce);
    lh_put_raw(out, genesis->tpm_srk, sizeof genesis->tpm_srk);
    lh_put_u8(out, genesis->software_tpm ? 1 : 0);
    lh_put_str(out, genesis->seal_pcrs);
    lh_put_blob(out, lh_roster_encoding(genesis->roster));
    lh_put_u32(out, (uint32_t)genesis->n_signatures);
    for (size_t i = 0; i < genesis->n_signatures; i++) {
        const signature *s = &genesis->signatures[i];
        lh_put_u64(out, (uint64_t)s->at);
        lh_put_blob(out, lh_buf_bytes(&s->armor));
    }
    return lh_buf_status(out);
}

static bool read_flag(lh_reader *r)
{
    uint8_t flag = lh_read_u8(r);
    if (flag > 1)
        r->bad = true;
    return flag == 1;
}

static lh_err read_signatures(lh_genesis *genesis, lh_crypto *c, lh_reader *r)
{
    uint32_t n = lh_read_u32(r);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        const lh_officer *officer = NULL;
        int64_t at = (int64_t)lh_read_u64(r);
        lh_bytes armor = lh_read_blob(r, LH_LIMIT_SIGNATURE);
        LH_TRY(lh_genesis_sign(genesis, c, armor, at, &officer));
    }
    return lh_read_done(r, "the genesis record");
}

lh_err lh_genesis_decode(lh_crypto *c, lh_bytes encoding, lh_genesis **ret)
{
    LH_AUTO(lh_genesis_freep) lh_genesis *genesis = NULL;
    LH_TRY(alloc_genesis(&genesis));
    lh_reader r = lh_reader_new(encoding);
    if (lh_read_u8(&r) != LH_CONFIG_FORMAT || lh_read_u8(&r) != LH_CONFIG_GENESIS)
        r.bad = true;
    genesis->development = read_flag(&r);
    genesis->created = (int64_t)lh_read_u64(&r);
    lh_read_into(&r, genesis->nonce, sizeof genesis->nonce);
    lh_read_into(&r, genesis->tpm_srk, sizeof genesis->tpm_srk);
    genesis->software_tpm = read_flag(&r);
    lh_read_str(&r, genesis->seal_pcrs, sizeof genesis->seal_pcrs);
    lh_bytes roster = lh_read_blob(&r, LH_LIMIT_RECORD);
    LH_TRY(lh_read_ok(&r, "the genesis record"));
    LH_TRY(lh_roster_decode(c, roster, &genesis->roster));
    LH_TRY(build_text(genesis, c));
    LH_TRY(read_signatures(genesis, c, &r));
    *ret = LH_TAKE(genesis);
    return LH_SUCCESS;
}

lh_err lh_genesis_store(const lh_genesis *genesis, lh_record_txn *txn)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = lh_record_id_from_u64(0);
    LH_TRY(lh_genesis_encode(genesis, &plain));
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &id, lh_buf_bytes(&plain)));
    return lh_genesis_complete(genesis) ? lh_table_put_officers(txn, genesis->roster, 1) : LH_SUCCESS;
}

lh_err lh_genesis_load(lh_records *records, lh_crypto *c, lh_genesis **ret)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = lh_record_id_from_u64(0);
    LH_TRY(lh_record_get(records, LH_RECORD_CONFIG, &id, &plain));
    return lh_genesis_decode(c, lh_buf_bytes(&plain), ret);
}
