#include "quorum/roster.h"

#include "codec/bin.h"
#include "crypto/hash.h"
#include "crypto/ssh.h"

#include <stdatomic.h>

#define ROSTER_PREFIX "leasehold-roster-v1"
#define ROSTER_MAX                                                                                           \
    (LH_LIMIT_OFFICERS * (LH_LIMIT_OFFICER_KEYS * (LH_LIMIT_PUBLIC_KEY + 4) + LH_LIMIT_NAME + 8) + 64)
#define ENTRIES_MAX (LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS)

struct lh_roster {
    atomic_uint refs;
    uint32_t threshold;
    size_t n;
    lh_officer *officers;
    lh_buf encoding;
    uint8_t digest[LH_SHA256_SIZE];
};

lh_roster *lh_roster_ref(lh_roster *roster)
{
    atomic_fetch_add(&roster->refs, 1);
    return roster;
}

void lh_roster_free(lh_roster *roster)
{
    if (!roster || atomic_fetch_sub(&roster->refs, 1) != 1)
        return;
    for (size_t i = 0; i < roster->n; i++)
        for (size_t k = 0; k < roster->officers[i].n_keys; k++)
            lh_buf_free(&roster->officers[i].keys[k]);
    lh_buf_free(&roster->encoding);
    free(roster->officers);
    free(roster);
}

uint32_t lh_roster_threshold(const lh_roster *roster)
{
    return roster->threshold;
}

size_t lh_roster_count(const lh_roster *roster)
{
    return roster->n;
}

const lh_officer *lh_roster_officer(const lh_roster *roster, size_t index)
{
    return &roster->officers[index];
}

lh_bytes lh_roster_encoding(const lh_roster *roster)
{
    return lh_buf_bytes(&roster->encoding);
}

const uint8_t *lh_roster_digest(const lh_roster *roster)
{
    return roster->digest;
}

const lh_officer *lh_roster_find_key(const lh_roster *roster, lh_bytes key)
{
    for (size_t i = 0; i < roster->n; i++)
        for (size_t k = 0; k < roster->officers[i].n_keys; k++)
            if (lh_bytes_equal(lh_buf_bytes(&roster->officers[i].keys[k]), key))
                return &roster->officers[i];
    return NULL;
}

const lh_officer *lh_roster_find_name(const lh_roster *roster, const char *name)
{
    for (size_t i = 0; i < roster->n; i++)
        if (strcmp(roster->officers[i].name, name) == 0)
            return &roster->officers[i];
    return NULL;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

lh_err lh_roster_check_name(const char *name)
{
    size_t len = strlen(name);
    bool good = len > 0 && len <= LH_LIMIT_NAME && is_letter_or_digit(name[0]);
    for (size_t i = 0; good && i < len; i++)
        good = is_letter_or_digit(name[i]) || strchr("._-", name[i]);
    return good ? LH_SUCCESS
                : LH_REFUSE(LH_E_INVALID, "roster-name",
                      "a name has 1 to %d of the characters a-z, 0-9, '.', '_' and '-', a letter or digit "
                      "first",
                      LH_LIMIT_NAME);
}

static int compare_keys(lh_bytes a, lh_bytes b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_entries(const void *left, const void *right)
{
    const lh_roster_entry *a = left;
    const lh_roster_entry *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : compare_keys(a->key, b->key);
}

static lh_err check_entries(lh_crypto *c, const lh_roster_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
        LH_TRY(lh_roster_check_name(entries[i].name));
        if (entries[i].key.len > LH_LIMIT_PUBLIC_KEY)
            return LH_REFUSE(LH_E_INVALID, "roster-size", "a key of officer %s is too long", entries[i].name);
        LH_TRY(lh_ssh_key_parse(c, entries[i].key, &key));
        for (size_t j = 0; j < i; j++)
            if (lh_bytes_equal(entries[i].key, entries[j].key))
                return LH_REFUSE(LH_E_INVALID, "roster-key-shared",
                    "one key stands twice, for %s and %s: a key belongs to one officer and is given once",
                    entries[j].name, entries[i].name);
    }
    return LH_SUCCESS;
}

static lh_err add_key(lh_roster *roster, const lh_roster_entry *entry)
{
    lh_officer *officer = roster->n > 0 ? &roster->officers[roster->n - 1] : NULL;
    if (!officer || strcmp(officer->name, entry->name) != 0) {
        if (roster->n == LH_LIMIT_OFFICERS)
            return LH_REFUSE(LH_E_INVALID, "roster-size", "more than %d officers", LH_LIMIT_OFFICERS);
        officer = &roster->officers[roster->n++];
        strcpy(officer->name, entry->name); /* its length was checked */
    }
    if (officer->n_keys == LH_LIMIT_OFFICER_KEYS)
        return LH_REFUSE(LH_E_INVALID, "roster-size", "officer %s has more than %d keys", officer->name,
            LH_LIMIT_OFFICER_KEYS);
    lh_buf *key = &officer->keys[officer->n_keys++];
    *key = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_buf_append(key, entry->key.data, entry->key.len);
    return lh_buf_status(key);
}

static lh_err encode(lh_roster *roster, lh_crypto *c)
{
    lh_buf *out = &roster->encoding;
    lh_put_raw(out, ROSTER_PREFIX, strlen(ROSTER_PREFIX));
    lh_put_u32(out, roster->threshold);
    lh_put_u32(out, (uint32_t)roster->n);
    for (size_t i = 0; i < roster->n; i++) {
        const lh_officer *officer = &roster->officers[i];
        lh_put_str(out, officer->name);
        lh_put_u32(out, (uint32_t)officer->n_keys);
        for (size_t k = 0; k < officer->n_keys; k++)
            lh_put_blob(out, lh_buf_bytes(&officer->keys[k]));
    }
    LH_TRY(lh_buf_status(out));
    lh_bytes whole = lh_buf_bytes(out);
    return lh_sha256(c, &whole, 1, roster->digest);
}

static lh_err alloc_roster(uint32_t threshold, lh_roster **ret)
{
    LH_AUTO(lh_roster_freep) lh_roster *roster = calloc(1, sizeof *roster);
    if (!roster)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&roster->refs, 1);
    roster->threshold = threshold;
    roster->encoding = LH_BUF_INIT(ROSTER_MAX);
    roster->officers = calloc(LH_LIMIT_OFFICERS, sizeof *roster->officers);
    if (!roster->officers)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = LH_TAKE(roster);
    return LH_SUCCESS;
}

lh_err lh_roster_new(
    lh_crypto *c, const lh_roster_entry *entries, size_t n, uint32_t threshold, lh_roster **ret)
{
    LH_AUTO(lh_roster_freep) lh_roster *roster = NULL;
    LH_AUTO(lh_freep) lh_roster_entry *sorted = NULL;
    if (n == 0 || n > ENTRIES_MAX)
        return LH_REFUSE(LH_E_INVALID, "roster-size", "a roster has 1 to %d keys", ENTRIES_MAX);
    LH_TRY(check_entries(c, entries, n));
    LH_TRY(alloc_roster(threshold, &roster));
    sorted = calloc(n, sizeof *sorted);
    if (!sorted)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(sorted, entries, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_entries);
    for (size_t i = 0; i < n; i++)
        LH_TRY(add_key(roster, &sorted[i]));
    if (threshold < 2 || threshold > roster->n)
        return LH_REFUSE(LH_E_INVALID, "roster-threshold",
            "a threshold of %u with %zu officers: at least 2, and no more than there are officers", threshold,
            roster->n);
    LH_TRY(encode(roster, c));
    *ret = LH_TAKE(roster);
    return LH_SUCCESS;
}

typedef struct {
    char names[LH_LIMIT_OFFICERS][LH_LIMIT_NAME + 1];
    lh_roster_entry entries[ENTRIES_MAX];
    size_t n;
} decoded;

static lh_err read_officers(lh_reader *r, decoded *d)
{
    uint32_t n = lh_read_u32(r);
    if (n > LH_LIMIT_OFFICERS)
        return LH_FAIL(LH_E_CORRUPT, "a roster of %u officers", n);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        lh_read_str(r, d->names[i], sizeof d->names[i]);
        uint32_t keys = lh_read_u32(r);
        if (keys == 0 || keys > LH_LIMIT_OFFICER_KEYS)
            return LH_FAIL(LH_E_CORRUPT, "an officer with %u keys", keys);
        for (uint32_t k = 0; k < keys; k++)
            d->entries[d->n++] = (lh_roster_entry){d->names[i], lh_read_blob(r, LH_LIMIT_PUBLIC_KEY)};
    }
    return lh_read_done(r, "a roster");
}

lh_err lh_roster_decode(lh_crypto *c, lh_bytes encoding, lh_roster **ret)
{
    LH_AUTO(lh_roster_freep) lh_roster *roster = NULL;
    LH_AUTO(lh_freep) decoded *d = calloc(1, sizeof *d);
    if (!d)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_reader r = lh_reader_new(encoding);
    lh_bytes prefix = lh_read_raw(&r, strlen(ROSTER_PREFIX));
    if (!lh_bytes_equal(prefix, LH_BYTES_STR(ROSTER_PREFIX)))
        return LH_FAIL(LH_E_CORRUPT, "these bytes are not a roster");
    uint32_t threshold = lh_read_u32(&r);
    LH_TRY(read_officers(&r, d));
    LH_TRY(lh_roster_new(c, d->entries, d->n, threshold, &roster));
    if (!lh_bytes_equal(lh_roster_encoding(roster), encoding))
        return LH_FAIL(LH_E_CORRUPT, "a roster that is not in its canonical form");
    *ret = LH_TAKE(roster);
    return LH_SUCCESS;
}
