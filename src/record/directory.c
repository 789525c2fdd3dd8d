#include "record/directory.h"

#define CLEAR_MAX 1024 /* slots that are worth keeping when emptied */

/* FNV-1a over the id; the table is no boundary. */
static size_t hash_id(const lh_record_id *id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof(id->b); i++)
        hash = (hash ^ id->b[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

void lh_directory_free(lh_directory *directory)
{
    free(directory->slots);
    *directory = (lh_directory){.keeps_dead = directory->keeps_dead};
}

/* The slot of that id, or the free one where it would go. There is always a free one. */
static lh_entry *slot_of(lh_entry *slots, size_t capacity, const lh_record_id *id)
{
    size_t at = hash_id(id) & (capacity - 1);
    while (slots[at].state != LH_ENTRY_FREE && memcmp(slots[at].id.b, id->b, sizeof(id->b)) != 0)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static bool is_kept(const lh_directory *directory, const lh_entry *entry)
{
    return entry->state == LH_ENTRY_LIVE || (entry->state == LH_ENTRY_DEAD && directory->keeps_dead);
}

lh_err lh_directory_reserve(lh_directory *directory, size_t more)
{
    if (more > SIZE_MAX / 8 - directory->used)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (directory->used + more < directory->capacity / 4 * 3)
        return LH_SUCCESS;
    size_t kept = directory->keeps_dead ? directory->used : directory->live;
    size_t capacity = 16;
    while (kept + more >= capacity / 2) /* not 3/4: the next rebuild is not to follow at once */
        capacity *= 2;
    lh_entry *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < directory->capacity; i++)
        if (is_kept(directory, &directory->slots[i]))
            *slot_of(slots, capacity, &directory->slots[i].id) = directory->slots[i];
    free(directory->slots);
    directory->slots = slots;
    directory->capacity = capacity;
    directory->used = kept;
    return LH_SUCCESS;
}

const lh_entry *lh_directory_find(const lh_directory *directory, const lh_record_id *id)
{
    if (directory->capacity == 0)
        return NULL;
    const lh_entry *entry = slot_of(directory->slots, directory->capacity, id);
    return entry->state == LH_ENTRY_FREE ? NULL : entry;
}

void lh_directory_set(lh_directory *directory, const lh_entry *entry)
{
    lh_entry *slot = slot_of(directory->slots, directory->capacity, &entry->id);
    directory->used += slot->state == LH_ENTRY_FREE ? 1 : 0;
    directory->live -= slot->state == LH_ENTRY_LIVE ? 1 : 0;
    *slot = *entry;
    directory->live += slot->state == LH_ENTRY_LIVE ? 1 : 0;
}

void lh_directory_clear(lh_directory *directory)
{
    if (directory->capacity > CLEAR_MAX)
        lh_directory_free(directory); /* one large group does not slow all later ones down */
    else if (directory->used > 0)
        memset(directory->slots, 0, directory->capacity * sizeof(*directory->slots));
    directory->used = directory->live = 0;
}

lh_err lh_directory_copy(const lh_directory *directory, lh_directory *ret)
{
    lh_directory copy = *directory;
    copy.slots = NULL;
    if (copy.capacity > 0) {
        copy.slots = malloc(copy.capacity * sizeof(*copy.slots));
        if (!copy.slots)
            return LH_RAISE(LH_E_NOMEM, 0);
        memcpy(copy.slots, directory->slots, copy.capacity * sizeof(*copy.slots));
    }
    *ret = copy;
    return LH_SUCCESS;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, LH_STORE_ID_SIZE);
}

lh_err lh_directory_ids(
    const lh_directory *base, const lh_directory *changes, lh_record_id **ret_ids, size_t *ret_count)
{
    size_t most = base->live + (changes ? changes->live : 0);
    LH_AUTO(lh_freep) lh_record_id *ids = calloc(most + 1, sizeof(*ids));
    if (!ids)
        return LH_RAISE(LH_E_NOMEM, 0);
    size_t count = 0;
    for (size_t i = 0; i < base->capacity; i++) {
        const lh_entry *entry = &base->slots[i];
        if (entry->state == LH_ENTRY_LIVE && !(changes && lh_directory_find(changes, &entry->id)))
            ids[count++] = entry->id;
    }
    for (size_t i = 0; changes && i < changes->capacity; i++)
        if (changes->slots[i].state == LH_ENTRY_LIVE)
            ids[count++] = changes->slots[i].id;
    qsort(ids, count, sizeof(*ids), compare_ids);
    *ret_ids = LH_TAKE(ids);
    *ret_count = count;
    return LH_SUCCESS;
}
