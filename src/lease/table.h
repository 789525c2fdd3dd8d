/* The leases in memory, found by id and by the process and role that hold them.
 * Threads: the caller locks (the vault's lock). */
#ifndef LH_LEASE_TABLE_H
#define LH_LEASE_TABLE_H

#include "lease/lease.h"

typedef struct lh_lease_table lh_lease_table;

LH_MUST lh_err lh_lease_table_new(lh_lease_table **ret);
void lh_lease_table_free(lh_lease_table *table);
LH_DEFINE_FREEP(lh_lease_table, lh_lease_table_free)

/* Takes a reference of its own. */
LH_MUST lh_err lh_lease_table_add(lh_lease_table *table, lh_lease *lease);
void lh_lease_table_remove(lh_lease_table *table, lh_lease *lease);

/* Borrowed; NULL where there is none. */
lh_lease *lh_lease_table_by_id(const lh_lease_table *table, const uint8_t id[LH_LEASE_ID_SIZE]);
/* The newest one of that process of the vault's own host, and role. */
lh_lease *lh_lease_table_by_holder(
    const lh_lease_table *table, int32_t pid, uint64_t start_time, const char *role);

/* The newest one of that process on an enrolled host, by its connection, and role. */
lh_lease *lh_lease_table_by_stream(
    const lh_lease_table *table, int32_t pid, uint64_t stream, const char *role);

size_t lh_lease_table_count(const lh_lease_table *table);

/* fn returns false to stop; it must not change the table. */
typedef bool (*lh_lease_fn)(lh_lease *lease, void *arg);
void lh_lease_table_each(const lh_lease_table *table, lh_lease_fn fn, void *arg);

#endif
