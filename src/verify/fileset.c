#include "verify/fileset.h"

#include "crypto/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HEX_DIGITS 64
#define SEPARATOR "  "

typedef struct {
    unsigned pcr;
    uint8_t digest[32];
} event;

struct lh_fileset {
    atomic_int references;
    lh_digests *digests;
    lh_digest_set *files;
    size_t file_count;
    event *events; /* sorted */
    size_t event_count;
    size_t event_room;
    uint8_t hash[32];
};

lh_fileset *lh_fileset_ref(lh_fileset *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void lh_fileset_unref(lh_fileset *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_digest_set_free(set->files);
    lh_digests_unref(set->digests);
    free(set->events);
    free(set);
}

/* --- lines ------------------------------------------------------------------------------------------------
 */

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(lh_bytes line, uint8_t ret[32])
{
    if (line.len < HEX_DIGITS)
        return false;
    for (size_t i = 0; i < 32; i++) {
        int high = nibble(line.data[2 * i]);
        int low = nibble(line.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The PCR of an event's name, "event:PCR TEXT"; -1 where it is none. */
static int event_pcr(lh_bytes name)
{
    const size_t prefix = sizeof(LH_FILESET_EVENT_PREFIX) - 1;
    if (name.len <= prefix || memcmp(name.data, LH_FILESET_EVENT_PREFIX, prefix) != 0)
        return -1;
    int pcr = 0;
    size_t i = prefix;
    for (; i < name.len && i < prefix + 2 && name.data[i] >= '0' && name.data[i] <= '9'; i++)
        pcr = 10 * pcr + (name.data[i] - '0');
    bool canonical = i > prefix && (i == prefix + 1 || name.data[prefix] != '0');
    return canonical && pcr < 24 && i < name.len && name.data[i] == ' ' ? pcr : -1;
}

static bool name_is_good(lh_bytes name)
{
    if (name.len == 0 || name.len > LH_FILESET_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return name.data[0] == '/' || event_pcr(name) >= 0;
}

lh_err lh_fileset_next(lh_bytes *rest, lh_fileset_line *ret, bool *ret_more)
{
    if (rest->len == 0) {
        *ret_more = false;
        return LH_SUCCESS;
    }
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->data) : 0;
    lh_fileset_line line = {.name = LH_BYTES_NONE};
    bool good = end != NULL && len > HEX_DIGITS + 2 && read_digest(*rest, line.digest) &&
                memcmp(rest->data + HEX_DIGITS, SEPARATOR, 2) == 0;
    if (good) {
        line.name = LH_BYTES(rest->data + HEX_DIGITS + 2, len - HEX_DIGITS - 2);
        good = name_is_good(line.name);
    }
    if (!good)
        return LH_REFUSE(LH_E_INVALID, "fileset-format",
            "expected 64 lower-case hex digits, two spaces, and a path or an event, as sha256sum prints "
            "them");
    *rest = LH_BYTES(rest->data + len + 1, rest->len - len - 1);
    *ret = line;
    *ret_more = true;
    return LH_SUCCESS;
}

/* --- a whole set ------------------------------------------------------------------------------------------
 */

static lh_err add_event(lh_fileset *set, unsigned pcr, const uint8_t digest[32])
{
    if (set->event_count == LH_FILESET_EVENTS_MAX)
        return LH_REFUSE(LH_E_LIMIT, "fileset-size", "a set has at most %u events", LH_FILESET_EVENTS_MAX);
    if (set->event_count == set->event_room) {
        size_t room = set->event_room ? 2 * set->event_room : 64;
        event *grown = realloc(set->events, room * sizeof(*grown));
        if (grown == NULL)
            return LH_RAISE(LH_E_NOMEM, 0);
        set->events = grown;
        set->event_room = room;
    }
    event *e = &set->events[set->event_count++];
    e->pcr = pcr;
    memcpy(e->digest, digest, 32);
    return LH_SUCCESS;
}

static lh_err add_line(lh_fileset *set, const lh_fileset_line *line)
{
    int pcr = event_pcr(line->name);
    if (pcr >= 0)
        return add_event(set, (unsigned)pcr, line->digest);
    uint32_t id = 0;
    LH_TRY(lh_digests_intern(set->digests, line->digest, &id));
    set->file_count++;
    return lh_digest_set_add(set->files, id);
}

/* Bytewise, as `LC_ALL=C sort` has them. */
static bool is_after(lh_bytes before, lh_bytes line)
{
    size_t common = before.len < line.len ? before.len : line.len;
    int order = memcmp(before.data, line.data, common);
    return order < 0 || (order == 0 && before.len < line.len);
}

static lh_err read_lines(lh_fileset *set, lh_bytes text)
{
    lh_bytes rest = text;
    lh_bytes before = LH_BYTES_NONE;
    for (size_t number = 1;; number++) {
        const uint8_t *start = rest.data;
        lh_fileset_line line;
        bool more = false;
        lh_err err = lh_fileset_next(&rest, &line, &more);
        if (!lh_ok(err)) {
            const lh_err_detail d = *lh_err_last();
            return LH_REFUSE(err.code, d.reason, "line %zu: %s", number, d.message);
        }
        if (!more)
            return LH_SUCCESS;
        if (number > LH_FILESET_LINES_MAX)
            return LH_REFUSE(LH_E_LIMIT, "fileset-size", "a set has at most %u lines", LH_FILESET_LINES_MAX);
        lh_bytes whole = LH_BYTES(start, (size_t)(rest.data - start));
        if (before.len > 0 && !is_after(before, whole))
            return LH_REFUSE(LH_E_INVALID, "fileset-order",
                "line %zu: expected the lines sorted bytewise, each once: `LC_ALL=C sort -u`", number);
        before = whole;
        LH_TRY(add_line(set, &line));
    }
}

lh_err lh_fileset_parse(lh_crypto *c, lh_digests *digests, lh_bytes text, lh_fileset **ret)
{
    if (text.len > LH_FILESET_MAX)
        return LH_REFUSE(
            LH_E_LIMIT, "fileset-size", "a set of files has at most %u MiB", (unsigned)LH_FILESET_MAX >> 20);
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&set->references, 1);
    set->digests = lh_digests_ref(digests);
    LH_TRY(lh_digest_set_new(&set->files));
    LH_TRY(lh_sha256(c, &text, 1, set->hash));
    LH_TRY(read_lines(set, text));
    *ret = LH_TAKE(set);
    return LH_SUCCESS;
}

const uint8_t *lh_fileset_hash(const lh_fileset *set)
{
    return set->hash;
}

size_t lh_fileset_files(const lh_fileset *set)
{
    return set->file_count;
}

size_t lh_fileset_events(const lh_fileset *set)
{
    return set->event_count;
}

bool lh_fileset_has(const lh_fileset *set, const uint8_t digest[32])
{
    uint32_t id = 0;
    return lh_digests_find(set->digests, digest, &id) && lh_digest_set_has(set->files, id);
}

bool lh_fileset_has_event(const lh_fileset *set, unsigned pcr, const uint8_t digest[32])
{
    for (size_t i = 0; i < set->event_count; i++)
        if (set->events[i].pcr == pcr && memcmp(set->events[i].digest, digest, 32) == 0)
            return true;
    return false;
}

size_t lh_fileset_memory(const lh_fileset *set)
{
    return sizeof(*set) + lh_digest_set_memory(set->files) + set->event_room * sizeof(*set->events);
}
