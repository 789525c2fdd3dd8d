/* Parameters of the operations on standalone partitions. */
#include "codec/utf8.h"
#include "quorum/params.h"
#include "quorum/params_json.h"

static const char LABEL_EXPECTED[] =
    "a label has 1 to 32 bytes of visible characters, without a space at either end";

/* Partitions of older stores have names like labels; what new ones may be called, lh_state_admit says. */
static lh_err check_label(const char *key, const char *label)
{
    if (lh_utf8_is_label(LH_BYTES_STR(label), LH_LIMIT_PARTITION_NAME))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_INVALID, "partition-name", "%s",
        strcmp(key, "label") == 0 ? LABEL_EXPECTED : LH_PARTITION_NAME_EXPECTED);
}

static lh_err read_label(json_t *object, const char *key, char out[LH_LIMIT_PARTITION_NAME + 1])
{
    bool found = false;
    LH_TRY(lh_params_text(object, key, out, LH_LIMIT_PARTITION_NAME + 1, &found));
    if (!found)
        return LH_REFUSE(LH_E_INVALID, "params", "the parameters lack \"%s\"", key);
    return check_label(key, out);
}

static int compare_users(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static lh_err read_users(json_t *list, lh_params *params)
{
    size_t index;
    json_t *user;
    if (!list)
        return LH_SUCCESS;
    if (!json_is_array(list) || json_array_size(list) > LH_LIMIT_PARTITION_USERS)
        return lh_params_expected("\"users\" is a list of at most 256 user numbers");
    if (json_array_size(list) == 0)
        return LH_SUCCESS;
    params->users = calloc(json_array_size(list), sizeof *params->users);
    if (!params->users)
        return LH_RAISE(LH_E_NOMEM, 0);
    json_array_foreach(list, index, user)
    {
        json_int_t uid = json_integer_value(user);
        /* The highest number means "no user" to the kernel. */
        if (!json_is_integer(user) || uid < 0 || uid >= UINT32_MAX)
            return lh_params_expected("a user is a number from 0 to 4294967294");
        params->users[params->n_users++] = (uint32_t)uid;
    }
    qsort(params->users, params->n_users, sizeof *params->users, compare_users);
    for (size_t i = 1; i < params->n_users; i++)
        if (params->users[i] == params->users[i - 1])
            return lh_params_expected("a user stands twice");
    return LH_SUCCESS;
}

static lh_err read_so(json_t *so, bool *ret_quorum)
{
    const char *text = so ? json_string_value(so) : "pin";
    if (!text || (strcmp(text, "pin") != 0 && strcmp(text, "quorum") != 0))
        return lh_params_expected("\"so\" is \"pin\" or \"quorum\"");
    *ret_quorum = strcmp(text, "quorum") == 0;
    return LH_SUCCESS;
}

lh_err lh_params_read_partition(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"name", "users", "so", NULL}));
    LH_TRY(read_label(object, "name", params->partition));
    LH_TRY(read_so(json_object_get(object, "so"), &params->so_quorum));
    return read_users(json_object_get(object, "users"), params);
}

lh_err lh_params_read_partition_name(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"name", NULL}));
    return read_label(object, "name", params->partition);
}

static lh_err read_verifier(json_t *object, lh_params *params)
{
    LH_TRY(read_label(object, "partition", params->partition));
    return lh_params_hex(
        object, "pin-verifier", params->verifier, sizeof params->verifier, &params->has_verifier);
}

lh_err lh_params_read_initialize(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"partition", "label", "pin-verifier", NULL}));
    LH_TRY(read_label(object, "label", params->label));
    return read_verifier(object, params);
}

lh_err lh_params_read_pin(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"partition", "pin-verifier", NULL}));
    LH_TRY(read_verifier(object, params));
    return params->has_verifier ? LH_SUCCESS
                                : lh_params_expected("\"pin-verifier\" is a SHA-256 of 64 hex digits");
}
