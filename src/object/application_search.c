/* Searching: token objects by their partition's index, session objects by the application's own, both in
 * order of creation, which a cursor is a point in. */
#include "object/application_internal.h"

#include "leasehold/pkcs11-3.h"

#include <p11-kit/pkcs11.h>

struct search {
    lh_application *a;
    lh_place place;
    lh_attributes *template;
    lh_index_query *token_query;
    lh_index_query *session_query;
    uint64_t after;
    lh_index_facts *token; /* LH_WIRE_SEARCH_MAX each */
    lh_index_facts *session;
    size_t token_count;
    size_t session_count;
};

static void search_free(struct search *s)
{
    lh_place_leave(&s->place);
    lh_attributes_free(s->template);
    lh_index_query_free(s->token_query);
    lh_index_query_free(s->session_query);
    free(s->token);
    free(s->session);
}

static lh_err find_candidates(struct search *s)
{
    lh_partitions *p = s->a->p;
    lh_index_page page = {
        .after = s->after, .private = s->place.user == LH_RULES_USER, .max = LH_WIRE_SEARCH_MAX};
    s->token = malloc(LH_WIRE_SEARCH_MAX * sizeof(*s->token));
    s->session = malloc(LH_WIRE_SEARCH_MAX * sizeof(*s->session));
    if (!s->token || !s->session)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_rwlock_rdlock(&p->lock);
    bool stale = p->stale;
    lh_err err = lh_index_query_new(s->place.partition->index, s->template, &s->token_query);
    if (lh_ok(err)) {
        page.ret = s->token;
        s->token_count = lh_index_search(s->place.partition->index, s->token_query, &page);
    }
    pthread_rwlock_unlock(&p->lock);
    LH_TRY(err);
    if (stale)
        return LH_FAIL(LH_E_NOMEM, "memory ran out while objects were indexed: restart the vault");
    LH_TRY(lh_index_query_new(s->a->session_index, s->template, &s->session_query));
    page.ret = s->session;
    s->session_count = lh_index_search(s->a->session_index, s->session_query, &page);
    return LH_SUCCESS;
}

/* What the index cannot tell: read the object and compare. */
static lh_err matches_token(struct search *s, const lh_index_facts *facts, bool *ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *attributes = NULL;
    lh_object_record record;
    *ret = true;
    if (!lh_index_query_is_partial(s->token_query))
        return LH_SUCCESS;
    lh_err err = lh_partitions_read_object(s->a->p, s->place.partition, facts->handle, &record, &attributes);
    if (err.code == LH_E_NOT_FOUND) { /* destroyed meanwhile */
        *ret = false;
        return LH_SUCCESS;
    }
    LH_TRY(err);
    *ret = lh_rules_match(attributes, s->template);
    return LH_SUCCESS;
}

static bool matches_session(const struct search *s, const lh_index_facts *facts)
{
    const lh_session_object *object = facts->owner;
    return object->partition == s->place.partition &&
           (!lh_index_query_is_partial(s->session_query) ||
               lh_rules_match(lh_live_attributes(object->live), s->template));
}

/* Both lists in one order. Where one was cut off, nothing after its end is told yet. */
static lh_err merge(struct search *s, uint64_t *ret_cursor, lh_buf *out)
{
    uint64_t bound = UINT64_MAX;
    uint64_t last = s->after;
    size_t told = 0;
    size_t i = 0;
    size_t j = 0;
    if (s->token_count == LH_WIRE_SEARCH_MAX)
        bound = s->token[s->token_count - 1].order;
    if (s->session_count == LH_WIRE_SEARCH_MAX && s->session[s->session_count - 1].order < bound)
        bound = s->session[s->session_count - 1].order;
    while ((i < s->token_count || j < s->session_count) && told < LH_WIRE_SEARCH_MAX) {
        bool token = j == s->session_count || (i < s->token_count && s->token[i].order < s->session[j].order);
        const lh_index_facts *facts = token ? &s->token[i++] : &s->session[j++];
        bool match = false;
        if (facts->order > bound)
            break;
        last = facts->order;
        if (token)
            LH_TRY(matches_token(s, facts, &match));
        else
            match = matches_session(s, facts);
        if (match) {
            lh_put_u64(out, facts->handle);
            told++;
        }
    }
    bool more = bound != UINT64_MAX || i < s->token_count || j < s->session_count;
    *ret_cursor = more ? last : 0;
    return LH_SUCCESS;
}

static void put_profiles(const struct search *s, lh_buf *out)
{
    if (!lh_attributes_has(s->template, CKA_CLASS) && !lh_attributes_has(s->template, CKA_PROFILE_ID))
        return;
    for (size_t i = 0; i < s->a->p->n_profiles; i++)
        if (lh_rules_match(s->a->p->profiles[i], s->template))
            lh_put_u64(out, lh_profile_handle(s->place.partition, i));
}

lh_err lh_application_search(
    lh_application *a, const lh_search_request *r, uint64_t *ret_cursor, lh_buf *ret_handles)
{
    LH_AUTO(search_free) struct search s = {.a = a, .after = r->cursor};
    uint64_t cursor = 0;
    LH_TRY(lh_application_enter_token(a, r->slot, &s.place));
    LH_TRY(lh_attributes_parse(r->attributes, &s.template));
    LH_TRY(find_candidates(&s));
    if (r->cursor == 0 && s.token_count + s.session_count < LH_WIRE_SEARCH_MAX)
        put_profiles(&s, ret_handles);
    LH_TRY(merge(&s, &cursor, ret_handles));
    LH_TRY(lh_buf_status(ret_handles));
    *ret_cursor = cursor;
    return LH_SUCCESS;
}
