#include "lease/table.h"

#define BUCKETS 1024 /* a power of two */

typedef struct node {
    struct node *next; /* in its bucket, newest first */
    lh_lease *lease;
} node;

/* Buckets by pid: what is looked up on the path of a request is "this process, that role". */
struct lh_lease_table {
    node *buckets[BUCKETS];
    size_t count;
};

static node **bucket(lh_lease_table *table, int32_t pid)
{
    return &table->buckets[(uint32_t)pid & (BUCKETS - 1)];
}

lh_err lh_lease_table_new(lh_lease_table **ret)
{
    lh_lease_table *table = calloc(1, sizeof(*table));
    if (!table)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = table;
    return LH_SUCCESS;
}

void lh_lease_table_free(lh_lease_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (node *next, *n = table->buckets[i]; n; n = next) {
            next = n->next;
            lh_lease_unref(n->lease);
            free(n);
        }
    }
    free(table);
}

lh_err lh_lease_table_add(lh_lease_table *table, lh_lease *lease)
{
    node *n = malloc(sizeof(*n));
    if (!n)
        return LH_RAISE(LH_E_NOMEM, 0);
    node **at = bucket(table, lh_lease_terms_of(lease)->pid);
    *n = (node){*at, lh_lease_ref(lease)};
    *at = n;
    table->count++;
    return LH_SUCCESS;
}

void lh_lease_table_remove(lh_lease_table *table, lh_lease *lease)
{
    for (node **at = bucket(table, lh_lease_terms_of(lease)->pid); *at; at = &(*at)->next) {
        node *n = *at;
        if (n->lease != lease)
            continue;
        *at = n->next;
        free(n);
        table->count--;
        lh_lease_unref(lease);
        return;
    }
}

lh_lease *lh_lease_table_by_id(const lh_lease_table *table, const uint8_t id[LH_LEASE_ID_SIZE])
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (const node *n = table->buckets[i]; n; n = n->next)
            if (memcmp(lh_lease_terms_of(n->lease)->id, id, LH_LEASE_ID_SIZE) == 0)
                return n->lease;
    return NULL;
}

lh_lease *lh_lease_table_by_holder(
    const lh_lease_table *table, int32_t pid, uint64_t start_time, const char *role)
{
    for (const node *n = table->buckets[(uint32_t)pid & (BUCKETS - 1)]; n; n = n->next) {
        const lh_lease_terms *terms = lh_lease_terms_of(n->lease);
        if (!terms->host[0] && terms->pid == pid && terms->start_time == start_time &&
            strcmp(terms->role, role) == 0)
            return n->lease;
    }
    return NULL;
}

lh_lease *lh_lease_table_by_stream(
    const lh_lease_table *table, int32_t pid, uint64_t stream, const char *role)
{
    for (const node *n = table->buckets[(uint32_t)pid & (BUCKETS - 1)]; n; n = n->next) {
        const lh_lease_terms *terms = lh_lease_terms_of(n->lease);
        if (terms->host[0] && terms->stream == stream && strcmp(terms->role, role) == 0)
            return n->lease;
    }
    return NULL;
}

size_t lh_lease_table_count(const lh_lease_table *table)
{
    return table->count;
}

void lh_lease_table_each(const lh_lease_table *table, lh_lease_fn fn, void *arg)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (const node *n = table->buckets[i]; n; n = n->next)
            if (!fn(n->lease, arg))
                return;
}
