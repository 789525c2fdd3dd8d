#include "roster.h"

#include "codec/sshsig.h"
#include "output.h"

#include <stdio.h>

static lh_err read_key(const char *path, json_t **ret)
{
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    LH_TRY(in_file(path, &line));
    LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_pubkey_line key;
    if (!lh_ok(lh_pubkey_line_parse(lh_buf_bytes(&line), &raw, &key)))
        return LH_REFUSE(LH_E_INVALID, "pubkey-line",
            "%s is no OpenSSH public key: expected the one line of a .pub file that ssh-keygen made", path);
    LH_TRY(lh_pubkey_format(key.blob, &text));
    json_t *made = json_stringn((const char *)text.data, text.len);
    if (made == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = made;
    return LH_SUCCESS;
}

/* The keys of the officer of that name, made where there is none yet; borrowed. */
static json_t *find_keys(json_t *roster, const char *name)
{
    for (size_t i = 0; i < json_array_size(roster); i++) {
        json_t *officer = json_array_get(roster, i);
        if (strcmp(json_string_value(json_object_get(officer, "name")), name) == 0)
            return json_object_get(officer, "keys");
    }
    json_t *officer = json_pack("{s:s,s:[]}", "name", name, "keys");
    if (officer == NULL || json_array_append_new(roster, officer) != 0)
        return NULL;
    return json_object_get(officer, "keys");
}

lh_err roster_read(const lh_cli *cli, const char *option, json_t **ret)
{
    LH_AUTO(lh_json_freep) json_t *roster = json_array();
    const char *given;
    for (size_t i = 0; (given = cli_value_at(cli, option, i)) != NULL; i++) {
        const char *equals = strchr(given, '=');
        char name[LH_LIMIT_NAME + 1];
        if (equals == NULL || equals == given || equals[1] == '\0' || equals - given > LH_LIMIT_NAME)
            return CLI_MISUSE("--%s \"%s\": expected NAME=KEY.pub", option, given);
        (void)snprintf(name, sizeof name, "%.*s", (int)(equals - given), given);
        json_t *key = NULL;
        LH_TRY(read_key(equals + 1, &key));
        json_t *keys = find_keys(roster, name);
        if (keys == NULL) {
            json_decref(key);
            return CLI_MISUSE("--%s \"%s\": the name is not UTF-8 text", option, given);
        }
        if (json_array_append_new(keys, key) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    if (json_array_size(roster) == 0)
        return CLI_MISUSE("%s needs --%s NAME=KEY.pub, once for each key", cli->command->name, option);
    *ret = LH_TAKE(roster);
    return LH_SUCCESS;
}
