/* Invariants:
 * 1. all and every list of terms are sorted by order of creation.
 * 2. An entry stands in all, in handles, and in the list of each of its terms; nowhere else.
 * 3. A list of length 0 is a slot that only fills its place until the table is rebuilt. */
#include "object/index.h"

#include "base/secret.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"

#include <p11-kit/pkcs11.h>

#define TERMS_MAX 16

/* Attributes that have lists. Their values can be told to whoever sees the object. */
static const unsigned long term_types[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_ID, CKA_LABEL, CKA_SUBJECT,
    CKA_ISSUER, CKA_SERIAL_NUMBER, CKA_UNIQUE_ID, CKA_CERTIFICATE_TYPE, CKA_APPLICATION, CKA_OBJECT_ID,
    CKA_MODULUS, CKA_EC_POINT, CKA_PROFILE_ID};
_Static_assert(LH_ARRAY_LEN(term_types) <= TERMS_MAX, "terms of one entry");

/* Attributes that are two bits of each entry: whether it has them, and their value. */
static const unsigned long bool_types[] = {CKA_TOKEN, CKA_PRIVATE, CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT,
    CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER, CKA_SENSITIVE,
    CKA_EXTRACTABLE, CKA_TRUSTED, CKA_MODIFIABLE, CKA_LOCAL, CKA_ALWAYS_AUTHENTICATE};

/* Attributes that a use is judged by, at its beginning and in its middle. */
static const unsigned long usage_types[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_PRIVATE, CKA_START_DATE,
    CKA_END_DATE, CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER,
    CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE, CKA_LEASEHOLD_USES};

struct lh_index_entry {
    lh_index_facts facts;
    uint32_t bools_had;
    uint32_t bools_true;
    size_t count;
    uint64_t terms[];
};

typedef struct {
    lh_index_entry **entries;
    size_t len;
    size_t cap;
} list;

typedef struct {
    uint64_t term;
    bool taken;
    list list;
} slot;

struct lh_index {
    uint64_t key[2];
    list all;
    slot *slots; /* of terms */
    size_t capacity;
    size_t used;
    lh_index_entry **handles; /* open addressing */
    size_t handle_capacity;
    lh_index_sums sums;
    size_t memory; /* of entries and lists */
};

struct lh_index_query {
    uint32_t bools_had;
    uint32_t bools_true;
    bool partial;
    size_t count;
    uint64_t terms[TERMS_MAX];
};

/* --- SipHash-2-4 (Aumasson, Bernstein 2012) --- */

typedef struct {
    uint64_t v[4];
} sip;

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(sip *s)
{
    uint64_t *v = s->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(sip *s, uint64_t word)
{
    s->v[3] ^= word;
    sip_round(s);
    sip_round(s);
    s->v[0] ^= word;
}

static uint64_t hash(const lh_index *index, uint64_t type, lh_bytes value)
{
    sip s = {{index->key[0] ^ 0x736f6d6570736575u, index->key[1] ^ 0x646f72616e646f6du,
        index->key[0] ^ 0x6c7967656e657261u, index->key[1] ^ 0x7465646279746573u}};
    sip_word(&s, type);
    size_t at = 0;
    for (; at + 8 <= value.len; at += 8) {
        uint64_t word;
        memcpy(&word, value.data + at, 8);
        sip_word(&s, word);
    }
    uint64_t last = (uint64_t)value.len << 56;
    for (size_t i = 0; at + i < value.len; i++)
        last |= (uint64_t)value.data[at + i] << (8 * i);
    sip_word(&s, last);
    s.v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

/* --- terms --- */

static bool is_term(unsigned long type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(term_types); i++)
        if (term_types[i] == type)
            return true;
    return false;
}

static int bool_bit(unsigned long type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(bool_types); i++)
        if (bool_types[i] == type)
            return (int)i;
    return -1;
}

static void take_bools(const lh_attributes *set, uint32_t *ret_had, uint32_t *ret_true)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(bool_types); i++) {
        lh_bytes value;
        if (!lh_attributes_get(set, bool_types[i], &value) || value.len != 1)
            continue;
        *ret_had |= UINT32_C(1) << i;
        if (value.data[0])
            *ret_true |= UINT32_C(1) << i;
    }
}

uint64_t lh_index_usage(const lh_index *index, const lh_attributes *object)
{
    uint64_t hashes[LH_ARRAY_LEN(usage_types)] = {0}; /* 0: it has none */
    for (size_t i = 0; i < LH_ARRAY_LEN(usage_types); i++) {
        lh_bytes value;
        if (lh_attributes_get(object, usage_types[i], &value))
            hashes[i] = hash(index, usage_types[i], value);
    }
    return hash(index, UINT64_MAX, LH_BYTES((const uint8_t *)hashes, sizeof(hashes)));
}

lh_err lh_index_entry_new(
    const lh_index *index, const lh_attributes *object, const lh_index_facts *facts, lh_index_entry **ret)
{
    uint64_t terms[TERMS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(term_types); i++) {
        lh_bytes value;
        if (lh_attributes_get(object, term_types[i], &value))
            terms[count++] = hash(index, term_types[i], value);
    }
    lh_index_entry *entry = calloc(1, sizeof(*entry) + count * sizeof(entry->terms[0]));
    if (!entry)
        return LH_RAISE(LH_E_NOMEM, 0);
    entry->facts = *facts;
    entry->facts.private = lh_attributes_bool(object, CKA_PRIVATE, true);
    uint64_t class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    entry->facts.key = class == CKO_SECRET_KEY || class == CKO_PRIVATE_KEY;
    entry->facts.usage = lh_index_usage(index, object);
    take_bools(object, &entry->bools_had, &entry->bools_true);
    entry->count = count;
    memcpy(entry->terms, terms, count * sizeof(terms[0]));
    *ret = entry;
    return LH_SUCCESS;
}

void lh_index_entry_free(lh_index_entry *entry)
{
    free(entry);
}

/* --- lists --- */

/* Where the first entry of an order greater than after stands. */
static size_t position_after(const list *l, uint64_t after)
{
    size_t low = 0;
    size_t high = l->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->entries[middle]->facts.order > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static lh_err list_insert(lh_index *index, list *l, lh_index_entry *entry)
{
    if (l->len == l->cap) {
        size_t cap = l->cap == 0 ? 1 : l->cap * 2;
        lh_index_entry **entries = realloc(l->entries, cap * sizeof(lh_index_entry *));
        if (!entries)
            return LH_RAISE(LH_E_NOMEM, 0);
        index->memory += (cap - l->cap) * sizeof(lh_index_entry *);
        l->entries = entries;
        l->cap = cap;
    }
    size_t at = position_after(l, entry->facts.order);
    memmove(&l->entries[at + 1], &l->entries[at], (l->len - at) * sizeof(lh_index_entry *));
    l->entries[at] = entry;
    l->len++;
    return LH_SUCCESS;
}

static void list_remove(lh_index *index, list *l, const lh_index_entry *entry)
{
    size_t at = position_after(l, entry->facts.order);
    if (at == 0 || l->entries[at - 1] != entry)
        return;
    l->len--;
    memmove(&l->entries[at - 1], &l->entries[at], (l->len - (at - 1)) * sizeof(lh_index_entry *));
    if (l->len == 0) {
        index->memory -= l->cap * sizeof(lh_index_entry *);
        free(l->entries);
        *l = (list){NULL, 0, 0};
    }
}

static slot *slot_of(slot *slots, size_t capacity, uint64_t term)
{
    size_t at = (size_t)term & (capacity - 1);
    while (slots[at].taken && slots[at].term != term)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static lh_err reserve_slots(lh_index *index, size_t more)
{
    if (index->capacity && index->used + more < index->capacity / 4 * 3)
        return LH_SUCCESS;
    size_t live = 0;
    for (size_t i = 0; i < index->capacity; i++)
        live += index->slots[i].list.len > 0 ? 1 : 0;
    size_t capacity = 64;
    while (live + more >= capacity / 2)
        capacity *= 2;
    slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < index->capacity; i++)
        if (index->slots[i].list.len > 0)
            *slot_of(slots, capacity, index->slots[i].term) = index->slots[i];
    free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
    index->used = live;
    return LH_SUCCESS;
}

static const list *list_of(const lh_index *index, uint64_t term)
{
    if (index->capacity == 0)
        return NULL;
    const slot *s = slot_of(index->slots, index->capacity, term);
    return s->taken && s->list.len > 0 ? &s->list : NULL;
}

/* --- handles --- */

static size_t spread(uint64_t handle)
{
    return (size_t)(handle * UINT64_C(0x9e3779b97f4a7c15) >> 20);
}

static lh_index_entry **handle_slot(lh_index_entry **handles, size_t capacity, uint64_t handle)
{
    size_t at = spread(handle) & (capacity - 1);
    while (handles[at] && handles[at]->facts.handle != handle)
        at = (at + 1) & (capacity - 1);
    return &handles[at];
}

static lh_err reserve_handles(lh_index *index)
{
    if (index->handle_capacity && index->all.len + 1 < index->handle_capacity / 4 * 3)
        return LH_SUCCESS;
    size_t capacity = index->handle_capacity ? index->handle_capacity * 2 : 64;
    lh_index_entry **handles = calloc(capacity, sizeof(lh_index_entry *));
    if (!handles)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < index->all.len; i++)
        *handle_slot(handles, capacity, index->all.entries[i]->facts.handle) = index->all.entries[i];
    free(index->handles);
    index->handles = handles;
    index->handle_capacity = capacity;
    return LH_SUCCESS;
}

/* Open addressing without tombstones: those that follow are put again. */
static void forget_handle(lh_index *index, lh_index_entry **at)
{
    size_t capacity = index->handle_capacity;
    size_t i = (size_t)(at - index->handles);
    index->handles[i] = NULL;
    for (i = (i + 1) & (capacity - 1); index->handles[i]; i = (i + 1) & (capacity - 1)) {
        lh_index_entry *entry = index->handles[i];
        index->handles[i] = NULL;
        *handle_slot(index->handles, capacity, entry->facts.handle) = entry;
    }
}

static lh_index_entry *find(const lh_index *index, uint64_t handle)
{
    return index->handle_capacity ? *handle_slot(index->handles, index->handle_capacity, handle) : NULL;
}

/* --- the index --- */

lh_err lh_index_new(lh_index **ret)
{
    lh_index *index = calloc(1, sizeof(*index));
    if (!index)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_random(index->key, sizeof(index->key));
    *ret = index;
    return LH_SUCCESS;
}

void lh_index_clear(lh_index *index)
{
    for (size_t i = 0; i < index->all.len; i++)
        free(index->all.entries[i]);
    for (size_t i = 0; i < index->capacity; i++)
        free(index->slots[i].list.entries);
    free(index->all.entries);
    free(index->slots);
    free(index->handles);
    uint64_t key[2] = {index->key[0], index->key[1]};
    *index = (lh_index){.key = {key[0], key[1]}};
}

void lh_index_free(lh_index *index)
{
    if (!index)
        return;
    lh_index_clear(index);
    free(index);
}

static size_t entry_size(const lh_index_entry *entry)
{
    return sizeof(*entry) + entry->count * sizeof(entry->terms[0]);
}

static void charge(lh_index *index, const lh_index_entry *entry, bool add)
{
    uint64_t one = add ? 1 : UINT64_MAX; /* minus one */
    index->sums.objects += one;
    index->sums.keys += entry->facts.key ? one : 0;
    if (entry->facts.private)
        index->sums.private_bytes += one * entry->facts.size;
    else
        index->sums.public_bytes += one * entry->facts.size;
    index->memory += (size_t)one * entry_size(entry);
}

static void unlink_entry(lh_index *index, lh_index_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        slot *s = slot_of(index->slots, index->capacity, entry->terms[i]);
        if (s->taken)
            list_remove(index, &s->list, entry);
    }
    list_remove(index, &index->all, entry);
    lh_index_entry **at = handle_slot(index->handles, index->handle_capacity, entry->facts.handle);
    if (*at == entry)
        forget_handle(index, at);
}

static lh_err link_entry(lh_index *index, lh_index_entry *entry)
{
    LH_TRY(reserve_slots(index, entry->count));
    LH_TRY(reserve_handles(index));
    *handle_slot(index->handles, index->handle_capacity, entry->facts.handle) = entry;
    LH_TRY(list_insert(index, &index->all, entry));
    for (size_t i = 0; i < entry->count; i++) {
        slot *s = slot_of(index->slots, index->capacity, entry->terms[i]);
        if (!s->taken) {
            *s = (slot){.term = entry->terms[i], .taken = true};
            index->used++;
        }
        LH_TRY(list_insert(index, &s->list, entry));
    }
    return LH_SUCCESS;
}

lh_err lh_index_add(lh_index *index, lh_index_entry *entry_taken)
{
    (void)lh_index_remove(index, entry_taken->facts.handle);
    lh_err err = link_entry(index, entry_taken);
    if (lh_ok(err)) {
        charge(index, entry_taken, true);
        return err;
    }
    if (index->handles && index->slots)
        unlink_entry(index, entry_taken);
    free(entry_taken);
    return err;
}

bool lh_index_remove(lh_index *index, uint64_t handle)
{
    lh_index_entry *entry = find(index, handle);
    if (!entry)
        return false;
    unlink_entry(index, entry);
    charge(index, entry, false);
    free(entry);
    return true;
}

bool lh_index_find(const lh_index *index, uint64_t handle, lh_index_facts *ret)
{
    const lh_index_entry *entry = find(index, handle);
    if (entry)
        *ret = entry->facts;
    return entry != NULL;
}

lh_index_sums lh_index_sums_of(const lh_index *index)
{
    return index->sums;
}

size_t lh_index_memory(const lh_index *index)
{
    return sizeof(*index) + index->memory + index->capacity * sizeof(slot) +
           index->handle_capacity * sizeof(lh_index_entry *);
}

/* --- searching --- */

lh_err lh_index_query_new(const lh_index *index, const lh_attributes *template, lh_index_query **ret)
{
    lh_index_query *query = calloc(1, sizeof(*query));
    if (!query)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < lh_attributes_count(template); i++) {
        lh_attribute wanted = lh_attributes_at(template, i);
        if (is_term(wanted.type))
            query->terms[query->count++] = hash(index, wanted.type, wanted.value);
        else if (bool_bit(wanted.type) < 0 || wanted.value.len != 1)
            query->partial = true;
    }
    take_bools(template, &query->bools_had, &query->bools_true);
    *ret = query;
    return LH_SUCCESS;
}

void lh_index_query_free(lh_index_query *query)
{
    free(query);
}

bool lh_index_query_is_partial(const lh_index_query *query)
{
    return query->partial;
}

static bool has_term(const lh_index_entry *entry, uint64_t term)
{
    for (size_t i = 0; i < entry->count; i++)
        if (entry->terms[i] == term)
            return true;
    return false;
}

static bool fits(const lh_index_entry *entry, const lh_index_query *query, bool private)
{
    if ((entry->facts.private && !private) || (entry->bools_had & query->bools_had) != query->bools_had ||
        (entry->bools_true & query->bools_had) != query->bools_true)
        return false;
    for (size_t i = 0; i < query->count; i++)
        if (!has_term(entry, query->terms[i]))
            return false;
    return true;
}

size_t lh_index_search(const lh_index *index, const lh_index_query *query, const lh_index_page *page)
{
    const list *shortest = &index->all;
    for (size_t i = 0; i < query->count; i++) {
        const list *l = list_of(index, query->terms[i]);
        if (!l)
            return 0;
        if (l->len < shortest->len)
            shortest = l;
    }
    size_t found = 0;
    for (size_t at = position_after(shortest, page->after); at < shortest->len && found < page->max; at++)
        if (fits(shortest->entries[at], query, page->private))
            page->ret[found++] = shortest->entries[at]->facts;
    return found;
}
