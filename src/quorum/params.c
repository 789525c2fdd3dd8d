#include "quorum/params.h"

#include "codec/approval.h"
#include "codec/sshsig.h"
#include "quorum/params_json.h"

lh_err lh_params_read_nothing(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    (void)params;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    return lh_params_members(object, (const char *const[]){NULL});
}

lh_err lh_params_read_parent(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    bool found = false;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"name", NULL}));
    LH_TRY(lh_params_text(object, "name", params->parent, sizeof params->parent, &found));
    return found ? lh_roster_check_name(params->parent) : lh_params_expected("{\"name\": NAME} is expected");
}

lh_err lh_params_read_hold(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    bool found = false;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"hold", NULL}));
    LH_TRY(lh_params_id(object, "hold", params->hold, &found));
    return found ? LH_SUCCESS : lh_params_expected("{\"hold\": ID} is expected");
}

lh_err lh_params_read_lease(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"lease", NULL}));
    LH_TRY(lh_params_id(object, "lease", params->selector.lease, &params->selector.has_lease));
    return params->selector.has_lease ? LH_SUCCESS : lh_params_expected("{\"lease\": ID} is expected");
}

lh_err lh_params_read_selector(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    lh_selector *s = &params->selector;
    bool found = false;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"workload", "role", "host", "lease", NULL}));
    LH_TRY(lh_params_text(object, "workload", s->workload, sizeof s->workload, &found));
    LH_TRY(lh_params_text(object, "role", s->role, sizeof s->role, &found));
    LH_TRY(lh_params_text(object, "host", s->host, sizeof s->host, &found));
    LH_TRY(lh_params_id(object, "lease", s->lease, &s->has_lease));
    return lh_selector_empty(s)
               ? lh_params_expected("one or more of workload, role, host and lease are expected")
               : LH_SUCCESS;
}

/* The entries of a roster, with the decoded keys that they borrow. */
typedef struct {
    lh_buf keys[LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS];
    lh_roster_entry entries[LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS];
    size_t n;
} roster_reader;

static void free_roster_reader(roster_reader **reader)
{
    for (size_t i = 0; *reader && i < (*reader)->n; i++)
        lh_buf_free(&(*reader)->keys[i]);
    free(*reader);
}

static lh_err read_key(roster_reader *reader, const char *name, json_t *line)
{
    lh_pubkey_line key;
    if (!json_is_string(line))
        return lh_params_expected("a key is a text, the line of a file that ends with .pub");
    if (reader->n == LH_ARRAY_LEN(reader->entries))
        return LH_REFUSE(LH_E_INVALID, "roster-size", "too many keys");
    lh_buf *raw = &reader->keys[reader->n];
    *raw = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_roster_entry *entry = &reader->entries[reader->n++];
    lh_bytes text = LH_BYTES(json_string_value(line), json_string_length(line));
    LH_TRY(lh_text_check_value("a key", text, LH_LIMIT_PUBLIC_KEY));
    LH_TRY(lh_pubkey_line_parse(text, raw, &key));
    *entry = (lh_roster_entry){name, key.blob};
    return LH_SUCCESS;
}

static lh_err read_officer(roster_reader *reader, json_t *officer)
{
    size_t index;
    json_t *line;
    if (!json_is_object(officer))
        return lh_params_expected("an officer is {\"name\": NAME, \"keys\": [LINE, …]}");
    LH_TRY(lh_params_members(officer, (const char *const[]){"name", "keys", NULL}));
    const char *name = json_string_value(json_object_get(officer, "name"));
    json_t *keys = json_object_get(officer, "keys");
    if (!name || json_array_size(keys) == 0)
        return lh_params_expected("an officer has a name and one or more keys");
    LH_TRY(lh_roster_check_name(name));
    for (size_t i = 0; i < reader->n; i++)
        if (strcmp(reader->entries[i].name, name) == 0)
            return LH_REFUSE(LH_E_INVALID, "params", "the officer %s stands twice", name);
    json_array_foreach(keys, index, line)
    {
        LH_TRY(read_key(reader, name, line));
    }
    return LH_SUCCESS;
}

lh_err lh_params_read_officers(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_AUTO(free_roster_reader) roster_reader *reader = calloc(1, sizeof *reader);
    size_t index;
    json_t *officer;
    if (!reader)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"officers", "threshold", NULL}));
    json_t *officers = json_object_get(object, "officers");
    json_t *threshold = json_object_get(object, "threshold");
    if (!json_is_array(officers) || !json_is_integer(threshold))
        return lh_params_expected("{\"officers\": […], \"threshold\": NUMBER} is expected");
    json_int_t m = json_integer_value(threshold);
    if (m < 2 || m > LH_LIMIT_OFFICERS)
        return LH_REFUSE(LH_E_INVALID, "roster-threshold", "the threshold is 2 to %d", LH_LIMIT_OFFICERS);
    json_array_foreach(officers, index, officer)
    {
        LH_TRY(read_officer(reader, officer));
    }
    return lh_roster_new(c, reader->entries, reader->n, (uint32_t)m, &params->roster);
}

lh_err lh_params_parse(lh_crypto *c, const lh_operation *operation, lh_bytes bytes, lh_params *ret)
{
    LH_AUTO(lh_params_clear) lh_params params = {.operation = operation, .bytes = bytes};
    if (bytes.len > LH_LIMIT_DOCUMENT)
        return LH_REFUSE(
            LH_E_LIMIT, "params-length", "parameters of %zu bytes: at most %d", bytes.len, LH_LIMIT_DOCUMENT);
    if (bytes.len == 0)
        return lh_params_expected("there are none");
    LH_TRY(lh_text_check_parameters(bytes));
    if (operation->read)
        LH_TRY(operation->read(c, bytes, &params));
    *ret = params;
    params = (lh_params){0}; /* handed on */
    return LH_SUCCESS;
}

void lh_params_clear(lh_params *params)
{
    lh_roster_free(params->roster);
    free(params->users);
    lh_certificate_chain_unref(params->chain);
    lh_host_enrolment_unref(params->enrolment);
    *params = (lh_params){0};
}

bool lh_selector_empty(const lh_selector *s)
{
    return s->workload[0] == '\0' && s->role[0] == '\0' && s->host[0] == '\0' && !s->has_lease;
}

void lh_selector_encode(const lh_selector *s, lh_buf *out)
{
    lh_put_str(out, s->workload);
    lh_put_str(out, s->role);
    lh_put_str(out, s->host);
    lh_put_u8(out, s->has_lease ? 1 : 0);
    lh_put_raw(out, s->lease, sizeof s->lease);
}

void lh_selector_decode(lh_reader *r, lh_selector *ret)
{
    lh_selector s = {0};
    lh_read_str(r, s.workload, sizeof s.workload);
    lh_read_str(r, s.role, sizeof s.role);
    lh_read_str(r, s.host, sizeof s.host);
    uint8_t has_lease = lh_read_u8(r);
    if (has_lease > 1)
        r->bad = true;
    s.has_lease = has_lease == 1;
    lh_read_into(r, s.lease, sizeof s.lease);
    *ret = s;
}
