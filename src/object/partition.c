/* Opening, the list of partitions, and what the configuration and people ask. */
#include "object/partition_internal.h"

#include "base/clock.h"
#include "crypto/hash.h"
#include "object/rules.h"

#include <stdio.h>

static const char pepper_label[] = "leasehold-pin-pepper-v1";
static const char ticket_label[] = "leasehold-ticket-key-v1";

/* --- one partition --- */

lh_err lh_partition_new(const uint8_t id[LH_PARTITION_ID_SIZE], lh_partition **ret)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = calloc(1, sizeof(*partition));
    if (!partition)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&partition->references, 1);
    pthread_mutex_init(&partition->pin_lock, NULL);
    memcpy(partition->id, id, LH_PARTITION_ID_SIZE);
    LH_TRY(lh_index_new(&partition->index));
    *ret = LH_TAKE(partition);
    return LH_SUCCESS;
}

lh_partition *lh_partition_ref(lh_partition *partition)
{
    atomic_fetch_add_explicit(&partition->references, 1, memory_order_relaxed);
    return partition;
}

void lh_partition_unref(lh_partition *partition)
{
    if (!partition || atomic_fetch_sub_explicit(&partition->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_index_free(partition->index);
    pthread_mutex_destroy(&partition->pin_lock);
    free(partition->users);
    explicit_bzero(partition->known, sizeof(partition->known));
    free(partition);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(lh_partition *const *)a)->record.number;
    uint64_t y = (*(lh_partition *const *)b)->record.number;
    return x < y ? -1 : x > y;
}

void lh_partitions_sort(lh_partitions *p)
{
    qsort(p->list, p->count, sizeof(p->list[0]), by_number);
}

void lh_partitions_remove(lh_partitions *p, lh_partition *partition)
{
    size_t kept = 0;
    bool found = false;
    for (size_t i = 0; i < p->count; i++) {
        if (p->list[i] == partition)
            found = true;
        else
            p->list[kept++] = p->list[i];
    }
    p->count = kept;
    if (found)
        lh_partition_unref(partition);
}

lh_err lh_partitions_find(lh_partitions *p, uint64_t number, lh_partition **ret)
{
    lh_partition *found = NULL;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->count && !found; i++)
        if (p->list[i]->record.number == number)
            found = lh_partition_ref(p->list[i]);
    pthread_rwlock_unlock(&p->lock);
    if (!found)
        return LH_REFUSE(
            LH_E_NOT_FOUND, "slot-id-invalid", "there is no partition %llu", (unsigned long long)number);
    *ret = found;
    return LH_SUCCESS;
}

void lh_partition_look(lh_partitions *p, lh_partition *partition, lh_partition_record *ret)
{
    pthread_rwlock_rdlock(&p->lock);
    *ret = partition->record;
    pthread_rwlock_unlock(&p->lock);
}

bool lh_partition_allows_uid(lh_partitions *p, lh_partition *partition, uint32_t uid)
{
    pthread_rwlock_rdlock(&p->lock);
    bool allowed = partition->n_users == 0;
    for (size_t i = 0; i < partition->n_users && !allowed; i++)
        allowed = partition->users[i] == uid;
    pthread_rwlock_unlock(&p->lock);
    return allowed;
}

bool lh_partitions_locate(lh_partitions *p, uint64_t handle, lh_partition **ret, lh_index_facts *ret_facts)
{
    lh_partition *found = NULL;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->count && !found; i++)
        if (lh_index_find(p->list[i]->index, handle, ret_facts))
            found = lh_partition_ref(p->list[i]);
    pthread_rwlock_unlock(&p->lock);
    if (found)
        *ret = found;
    return found != NULL;
}

int64_t lh_partitions_wall(lh_partitions *p)
{
    int64_t now = lh_clock_wall();
    int_fast64_t seen = atomic_load(&p->wall_seen);
    while (now > seen && !atomic_compare_exchange_weak(&p->wall_seen, &seen, now)) {
    }
    return now > seen ? now : (int64_t)seen;
}

uint64_t lh_partitions_new_handle(lh_partitions *p, bool session)
{
    for (;;) {
        uint64_t handle;
        lh_index_facts facts;
        lh_random(&handle, sizeof(handle));
        handle &= LH_HANDLE_SESSION - 1;
        handle |= LH_HANDLE_STANDALONE | (session ? LH_HANDLE_SESSION : 0);
        LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
        if (session || !lh_partitions_locate(p, handle, &partition, &facts))
            return handle;
    }
}

lh_err lh_partitions_read_object(lh_partitions *p, const lh_partition *partition, uint64_t handle,
    lh_object_record *ret_record, lh_attributes **ret)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    lh_record_id id = lh_object_record_id(partition->id, handle);
    LH_TRY(lh_record_get(p->options.records, LH_RECORD_OBJECT, &id, &plain));
    lh_object_record record;
    LH_TRY(lh_object_record_decode(lh_buf_bytes(&plain), &record));
    LH_TRY(lh_attributes_parse(record.attributes, ret));
    record.attributes = LH_BYTES_NONE;
    *ret_record = record;
    return LH_SUCCESS;
}

/* --- opening --- */

static lh_err load_partition(const lh_record_id *id, lh_bytes plain, void *arg)
{
    lh_partitions *p = arg;
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    LH_TRY(lh_partition_new(id->b, &partition));
    LH_TRY(lh_partition_record_decode(plain, &partition->record));
    if (p->count == LH_ARRAY_LEN(p->list))
        return LH_FAIL(LH_E_LIMIT, "more than %zu standalone partitions", LH_ARRAY_LEN(p->list));
    p->list[p->count++] = LH_TAKE(partition);
    return LH_SUCCESS;
}

static lh_err load_object(const lh_record_id *id, lh_bytes plain, void *arg)
{
    lh_partitions *p = arg;
    LH_AUTO(lh_attributes_freep) lh_attributes *attributes = NULL;
    LH_AUTO(lh_index_entry_freep) lh_index_entry *entry = NULL;
    lh_partition *partition = NULL;
    lh_object_record record;
    for (size_t i = 0; i < p->count && !partition; i++)
        if (memcmp(p->list[i]->id, id->b, LH_PARTITION_ID_SIZE) == 0)
            partition = p->list[i];
    uint64_t handle = lh_object_record_handle(id);
    if (!partition || (handle & (LH_HANDLE_STANDALONE | LH_HANDLE_SESSION)) != LH_HANDLE_STANDALONE)
        return LH_REFUSE(LH_E_CORRUPT, "object-record", "an object belongs to no partition");
    LH_TRY(lh_object_record_decode(plain, &record));
    LH_TRY(lh_attributes_parse(record.attributes, &attributes));
    lh_index_facts facts = {.handle = handle, .order = record.order, .size = record.attributes.len};
    LH_TRY(lh_index_entry_new(partition->index, attributes, &facts, &entry));
    if (record.order >= atomic_load(&p->next_order))
        atomic_store(&p->next_order, record.order + 1);
    return lh_index_add(partition->index, LH_TAKE(entry));
}

static lh_err load_profiles(lh_partitions *p)
{
    for (bool exists = true; p->n_profiles < LH_PROFILES_MAX;) {
        lh_attributes *profile = NULL;
        LH_TRY(lh_rules_profile(p->n_profiles, &profile, &exists));
        if (!exists)
            break;
        p->profiles[p->n_profiles++] = profile;
    }
    return LH_SUCCESS;
}

static lh_err derive(lh_partitions *p, const lh_secret *root, const char *label, lh_secret **ret)
{
    return lh_hkdf_sha256_secret(
        p->options.crypto, lh_secret_bytes(root), LH_BYTES_NONE, LH_BYTES_STR(label), LH_SHA256_SIZE, ret);
}

/* A key in the cache locks at most as much as it is charged: at most half of what may be locked, the rest is
 * for session objects and all else. */
static size_t cache_bytes(void)
{
    size_t half = lh_secret_budget() / 2;
    return half < LH_LIMIT_CACHED_KEY_BYTES ? half : LH_LIMIT_CACHED_KEY_BYTES;
}

static bool spare_keys(void *arg)
{
    return lh_key_cache_spare(arg);
}

lh_err lh_partitions_open(const lh_partitions_options *options, lh_partitions **ret)
{
    LH_AUTO(lh_partitions_freep) lh_partitions *p = calloc(1, sizeof(*p));
    if (!p)
        return LH_RAISE(LH_E_NOMEM, 0);
    p->options = *options;
    p->options.root = NULL;
    pthread_rwlock_init(&p->lock, NULL);
    pthread_mutex_init(&p->users_lock, NULL);
    atomic_init(&p->next_order, 1);
    atomic_init(&p->wall_seen, options->wall_floor);
    LH_TRY(derive(p, options->root, pepper_label, &p->pepper));
    LH_TRY(derive(p, options->root, ticket_label, &p->ticket_key));
    LH_TRY(lh_secret_random(LH_SHA256_SIZE, &p->known_key));
    LH_TRY(lh_key_cache_new(LH_LIMIT_CACHED_KEYS, cache_bytes(), &p->cache));
    LH_TRY(lh_logouts_new(&p->logouts));
    lh_crypto_set_spare(options->crypto, spare_keys, p->cache);
    LH_TRY(load_profiles(p));
    LH_TRY(lh_record_each(options->records, LH_RECORD_PARTITION, load_partition, p));
    lh_partitions_sort(p);
    LH_TRY(lh_record_each(options->records, LH_RECORD_OBJECT, load_object, p));
    LH_TRY(
        lh_records_add_listener(options->records, &(lh_record_listener){.begin = lh_partitions_listener.begin,
                                                      .undo = lh_partitions_listener.undo,
                                                      .committed = lh_partitions_listener.committed,
                                                      .aborted = lh_partitions_listener.aborted,
                                                      .arg = p}));
    p->listening = true;
    LH_TRY(lh_partitions_refresh(p));
    *ret = LH_TAKE(p);
    return LH_SUCCESS;
}

void lh_partitions_free(lh_partitions *p)
{
    if (!p)
        return;
    if (p->listening)
        lh_records_remove_listener(p->options.records, p);
    for (size_t i = 0; i < p->count; i++)
        lh_partition_unref(p->list[i]);
    for (size_t i = 0; i < p->n_profiles; i++)
        lh_attributes_free(p->profiles[i]);
    while (p->users) {
        lh_user_share *next = p->users->next;
        free(p->users);
        p->users = next;
    }
    if (p->cache)
        lh_crypto_set_spare(p->options.crypto, NULL, p->cache);
    lh_key_cache_free(p->cache);
    lh_logouts_free(p->logouts);
    lh_secret_free(p->pepper);
    lh_secret_free(p->ticket_key);
    lh_secret_free(p->known_key);
    free(p->pending);
    pthread_rwlock_destroy(&p->lock);
    pthread_mutex_destroy(&p->users_lock);
    free(p);
}

/* --- the blank one --- */

/* The highest number that a partition has now, the blank one's included; 0: there is none. */
static uint64_t highest_number(lh_partitions *p)
{
    pthread_rwlock_rdlock(&p->lock);
    uint64_t highest = p->count > 0 ? p->list[p->count - 1]->record.number : 0;
    pthread_rwlock_unlock(&p->lock);
    return highest;
}

lh_err lh_partitions_refresh(lh_partitions *p)
{
    if (!p->options.blank)
        return LH_SUCCESS;
    uint8_t id[LH_PARTITION_ID_SIZE];
    LH_AUTO(lh_partition_unrefp) lh_partition *fresh = NULL;
    lh_random(id, sizeof(id));
    LH_TRY(lh_partition_new(id, &fresh));
    memset(fresh->record.label, ' ', sizeof(fresh->record.label));
    fresh->blank = true;
    pthread_rwlock_wrlock(&p->lock);
    lh_partition *blank = NULL;
    uint64_t highest = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->list[i]->blank)
            blank = p->list[i];
        else if (p->list[i]->record.number > highest)
            highest = p->list[i]->record.number;
    }
    if (!blank && p->count < LH_ARRAY_LEN(p->list))
        blank = p->list[p->count++] = LH_TAKE(fresh);
    if (blank)
        blank->record.number = highest + 1;
    lh_partitions_sort(p);
    pthread_rwlock_unlock(&p->lock);
    return LH_SUCCESS;
}

/* --- the configuration --- */

struct sync {
    lh_partitions *p;
    const lh_partition_spec *specs;
    size_t count;
    lh_partition **mine; /* of each spec; counted */
    uint64_t highest;
};

static const lh_partition_spec *spec_of(const struct sync *sync, const lh_partition *partition)
{
    for (size_t i = 0; i < sync->count; i++)
        if (memcmp(sync->specs[i].id, partition->id, LH_PARTITION_ID_SIZE) == 0)
            return &sync->specs[i];
    return NULL;
}

static bool takes_number(const struct sync *sync, const lh_partition *partition)
{
    for (size_t i = 0; i < sync->count; i++)
        if (sync->specs[i].number == partition->record.number)
            return true;
    return false;
}

/* Under lock. */
static lh_err sync_existing(struct sync *sync, lh_record_txn *txn)
{
    lh_partitions *p = sync->p;
    for (size_t i = 0; i < p->count; i++) {
        lh_partition *partition = p->list[i];
        if (partition->blank)
            continue;
        if (partition->record.made_of_blank) {
            if (!takes_number(sync, partition))
                continue;
            lh_partition_record record;
            LH_TRY(lh_partition_get_in(txn, partition, &record));
            record.number = ++sync->highest;
            LH_TRY(lh_partition_put_in(p, txn, partition, &record));
        } else if (!spec_of(sync, partition)) {
            LH_TRY(lh_partition_drop_in(p, txn, partition));
        }
    }
    return LH_SUCCESS;
}

static lh_err sync_specs(lh_record_txn *txn, void *arg)
{
    struct sync *sync = arg;
    pthread_rwlock_rdlock(&sync->p->lock);
    lh_err existing = sync_existing(sync, txn);
    pthread_rwlock_unlock(&sync->p->lock);
    LH_TRY(existing);
    for (size_t i = 0; i < sync->count; i++) {
        const lh_partition_spec *spec = &sync->specs[i];
        lh_partition_record record;
        lh_err err = lh_partition_get_in(txn, sync->mine[i], &record);
        if (lh_ok(err) && record.number == spec->number && strcmp(record.name, spec->name) == 0)
            continue;
        if (err.code == LH_E_NOT_FOUND) {
            record = (lh_partition_record){.created = lh_partitions_wall(sync->p)};
            memset(record.label, ' ', sizeof(record.label));
        } else {
            LH_TRY(err);
        }
        record.number = spec->number;
        snprintf(record.name, sizeof(record.name), "%s", spec->name);
        LH_TRY(lh_partition_put_in(sync->p, txn, sync->mine[i], &record));
    }
    return LH_SUCCESS;
}

static void set_users(
    lh_partitions *p, lh_partition *partition, const lh_partition_spec *spec, uint32_t *taken)
{
    pthread_rwlock_wrlock(&p->lock);
    free(partition->users);
    partition->users = taken;
    partition->n_users = spec->n_users;
    partition->quorum_so = spec->quorum_so;
    pthread_rwlock_unlock(&p->lock);
}

static lh_err apply_users(struct sync *sync)
{
    for (size_t i = 0; i < sync->count; i++) {
        const lh_partition_spec *spec = &sync->specs[i];
        uint32_t *users = NULL;
        if (spec->n_users > 0) {
            users = calloc(spec->n_users, sizeof(*users));
            if (!users)
                return LH_RAISE(LH_E_NOMEM, 0);
            memcpy(users, spec->users, spec->n_users * sizeof(*users));
        }
        set_users(sync->p, sync->mine[i], spec, users);
    }
    return LH_SUCCESS;
}

static lh_err find_mine(struct sync *sync)
{
    lh_partitions *p = sync->p;
    for (size_t i = 0; i < sync->count; i++) {
        if (sync->specs[i].number > sync->highest)
            sync->highest = sync->specs[i].number;
        pthread_rwlock_rdlock(&p->lock);
        for (size_t j = 0; j < p->count && !sync->mine[i]; j++)
            if (memcmp(p->list[j]->id, sync->specs[i].id, LH_PARTITION_ID_SIZE) == 0)
                sync->mine[i] = lh_partition_ref(p->list[j]);
        pthread_rwlock_unlock(&p->lock);
        if (!sync->mine[i])
            LH_TRY(lh_partition_new(sync->specs[i].id, &sync->mine[i]));
    }
    return LH_SUCCESS;
}

lh_err lh_partitions_sync(lh_partitions *p, const lh_partition_spec *specs, size_t count)
{
    if (count > LH_LIMIT_PARTITIONS)
        return LH_REFUSE(LH_E_LIMIT, "state-limit", "more than %d partitions", LH_LIMIT_PARTITIONS);
    struct sync sync = {p, specs, count, calloc(count + 1, sizeof(lh_partition *)), highest_number(p)};
    if (!sync.mine)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_err err = find_mine(&sync);
    if (lh_ok(err)) /* limits on users before anything new is seen */
        err = apply_users(&sync);
    if (lh_ok(err))
        err = lh_records_write(p->options.records, sync_specs, &sync);
    for (size_t i = 0; i < count; i++)
        lh_partition_unref(sync.mine[i]);
    free(sync.mine);
    LH_TRY(err);
    return lh_partitions_refresh(p);
}

/* --- for people --- */

static void describe(const lh_partitions *p, const lh_partition *partition, lh_partition_description *ret)
{
    const lh_partition_record *record = &partition->record;
    lh_index_sums sums = lh_index_sums_of(partition->index);
    int64_t now = lh_clock_boot_ms();
    lh_partition_description d = {.number = record->number,
        .blank = partition->blank,
        .initialized = record->initialized,
        .quorum_so = partition->quorum_so,
        .created = record->created,
        .so_pin = record->so.set,
        .user_pin = record->user.set,
        .so = lh_pin_look(&record->so, p->options.boot_id, now),
        .user = lh_pin_look(&record->user, p->options.boot_id, now),
        .objects = sums.objects,
        .keys = sums.keys,
        .bytes = sums.public_bytes + sums.private_bytes,
        .logins = atomic_load(&partition->logins)};
    memcpy(d.id, partition->id, sizeof(d.id));
    snprintf(d.name, sizeof(d.name), "%s", record->name);
    lh_partition_label_text(record, d.label);
    lh_hex(partition->id, LH_PARTITION_SERIAL_SIZE / 2, d.serial);
    *ret = d;
}

lh_err lh_partitions_describe(lh_partitions *p, uint64_t number, lh_partition_description *ret)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    LH_TRY(lh_partitions_find(p, number, &partition));
    pthread_rwlock_rdlock(&p->lock);
    describe(p, partition, ret);
    pthread_rwlock_unlock(&p->lock);
    return LH_SUCCESS;
}

lh_err lh_partitions_numbers(lh_partitions *p, uint64_t **ret, size_t *ret_count)
{
    uint64_t *numbers = calloc(LH_ARRAY_LEN(p->list), sizeof(*numbers));
    if (!numbers)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->count; i++)
        numbers[i] = p->list[i]->record.number;
    *ret_count = p->count;
    pthread_rwlock_unlock(&p->lock);
    *ret = numbers;
    return LH_SUCCESS;
}
