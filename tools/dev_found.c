/* Founding the development vault and putting its policy in force: officers with throwaway keys, each step an
 * ordinary admin call with as many real signatures as a production vault takes. */
#include "dev_vault.h"
#include "sign.h"

#include "base/limits.h"
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MS 30000
#define PARENT "dev-root"

static const char *const names[DEV_OFFICERS] = {"dev-ada", "dev-bob"};

typedef struct {
    dev_vault *vault;
    const dev_options *options;
    char keys[DEV_OFFICERS][DEV_PATH_MAX + 32];
} founding;

static lh_err key_path(const dev_vault *vault, size_t officer, char out[DEV_PATH_MAX + 32])
{
    char name[32];
    (void)snprintf(name, sizeof name, "officers/%s", names[officer]);
    return dev_dir_path(&vault->dir, name, out, DEV_PATH_MAX + 32);
}

lh_err dev_officers_start(const dev_vault *vault, lh_child *ret_children[DEV_OFFICERS])
{
    char folder[DEV_PATH_MAX + 32];
    LH_TRY(dev_dir_path(&vault->dir, "officers", folder, sizeof folder));
    if (mkdir(folder, 0700) != 0)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", folder, strerror(errno));
    for (size_t i = 0; i < DEV_OFFICERS; i++) {
        char path[DEV_PATH_MAX + 32];
        LH_TRY(key_path(vault, i, path));
        const char *const argv[] = {
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", names[i], "-f", path, NULL};
        const int fds[] = {-1, -1, STDERR_FILENO};
        lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = 3, .die_with_parent = true};
        lh_err err = lh_child_spawn(&spec, &ret_children[i]);
        if (err.code == LH_E_NOT_FOUND)
            return LH_FAIL(
                LH_E_NOT_FOUND, "ssh-keygen was not found: install OpenSSH's client (8.2 or later)");
        LH_TRY(err);
    }
    return LH_SUCCESS;
}

lh_err dev_officers_wait(lh_child *children[DEV_OFFICERS])
{
    for (size_t i = 0; i < DEV_OFFICERS; i++) {
        int status = 0;
        LH_TRY(lh_child_wait(children[i], KEY_MS, &status));
        if (status != 0)
            return LH_FAIL(LH_E_IO, "ssh-keygen did not make a key (status %d)", status);
    }
    return LH_SUCCESS;
}

/* All officers sign a text, side by side. */
static lh_err sign_all(const founding *f, const char *text, lh_buf armors[DEV_OFFICERS])
{
    LH_AUTO(sign_freep) sign_job *first = NULL;
    LH_AUTO(sign_freep) sign_job *second = NULL;
    _Static_assert(DEV_OFFICERS == 2, "one job each");
    LH_TRY(sign_start(f->keys[0], LH_BYTES_STR(text), &first));
    LH_TRY(sign_start(f->keys[1], LH_BYTES_STR(text), &second));
    LH_TRY(sign_finish(first, &armors[0]));
    return sign_finish(second, &armors[1]);
}

static void free_armors(lh_buf (*armors)[DEV_OFFICERS])
{
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        lh_buf_free(&(*armors)[i]);
}

#define ARMORS                                                                                               \
    {                                                                                                        \
        LH_BUF_INIT(LH_LIMIT_SIGNATURE), LH_BUF_INIT(LH_LIMIT_SIGNATURE)                                     \
    }

static lh_err read_officer(const founding *f, size_t officer, json_t *roster)
{
    char path[DEV_PATH_MAX + 40];
    (void)snprintf(path, sizeof path, "%s.pub", f->keys[officer]);
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    LH_TRY(in_file(path, &line));
    size_t len = line.len > 0 && line.data[line.len - 1] == '\n' ? line.len - 1 : line.len;
    json_t *entry = json_pack("{s:s,s:[s%]}", "name", names[officer], "keys", (const char *)line.data, len);
    if (entry == NULL || json_array_append_new(roster, entry) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

static lh_err make_genesis(const founding *f, json_t **ret_reply)
{
    LH_AUTO(lh_json_freep) json_t *roster = json_array();
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(read_officer(f, i, roster));
    return lh_admin_do(f->vault->client,
        json_pack("{s:s,s:O,s:i}", "call", "init", "officers", roster, "threshold", DEV_OFFICERS), ret_reply);
}

static lh_err found(const founding *f)
{
    LH_AUTO(lh_json_freep) json_t *genesis = NULL;
    LH_TRY(make_genesis(f, &genesis));
    LH_AUTO(free_armors) lh_buf armors[DEV_OFFICERS] = ARMORS;
    LH_TRY(sign_all(f, json_string_value(json_object_get(genesis, "text")), armors));
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(lh_admin_do(f->vault->client,
            json_pack("{s:s,s:s}", "call", "genesis.sign", "signature", lh_buf_cstr(&armors[i])), NULL));
    return dev_check_stop(f->options);
}

/* Propose, sign by all, hand the approvals in: executed. */
static lh_err carry(const founding *f, const char *operation, const char *params)
{
    LH_AUTO(lh_json_freep) json_t *made = NULL;
    LH_TRY(lh_admin_do(f->vault->client,
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "call", "propose", "operation", operation, "params", params,
            "requester", names[0], "reason", "development vault"),
        &made));
    const char *id = json_string_value(json_object_get(json_object_get(made, "proposal"), "id"));
    LH_AUTO(free_armors) lh_buf armors[DEV_OFFICERS] = ARMORS;
    LH_TRY(sign_all(f, json_string_value(json_object_get(made, "text")), armors));
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(lh_admin_do(f->vault->client,
            json_pack("{s:s,s:s,s:s,s:s}", "call", "proposal.vote", "id", id, "verb", "approve", "signature",
                lh_buf_cstr(&armors[i])),
            NULL));
    return dev_check_stop(f->options);
}

static lh_err set_references(const founding *f)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(lh_admin_do(f->vault->client, json_pack("{s:s}", "call", "references.template"), &reply));
    return carry(f, "reference.set", json_string_value(json_object_get(reply, "references")));
}

static lh_err apply_policy(const founding *f)
{
    static const struct {
        const char *name;
        const char *key;
        const char *allow;
    } roles[] = {
        {"dev-ec", "ec-p256", "ecdsa, ecdsa-sha256, ecdsa-sha384, ecdsa-sha512"},
        {"dev-ed25519", "ed25519", "eddsa"},
        {"dev-aes", "aes-256", "aes-ecb, aes-cbc, aes-cbc-pad, aes-ctr, aes-gcm"},
        {"dev-hmac", "hmac-sha256", "hmac-sha256"},
    };
    static const char id[] = "spiffe://dev.invalid/you";
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_printf(&text,
        "trust_domain: dev.invalid\nworkloads:\n  - id: %s\n    attest: { uid: %u, source: any }\nroles:\n",
        id, (unsigned)geteuid());
    for (size_t i = 0; i < LH_ARRAY_LEN(roles); i++)
        lh_buf_printf(&text,
            "  - name: %s\n    parent: " PARENT "\n    derive: { per: workload, key: %s }\n    allow: [%s]\n"
            "    ttl: 10m\n",
            roles[i].name, roles[i].key, roles[i].allow);
    lh_buf_append_str(&text, "grants:\n");
    for (size_t i = 0; i < LH_ARRAY_LEN(roles); i++)
        lh_buf_printf(&text, "  - { workload: %s, role: %s }\n", id, roles[i].name);
    const char *policy = lh_buf_cstr(&text);
    return policy == NULL ? lh_buf_status(&text) : carry(f, "policy.apply", policy);
}

lh_err dev_carry(dev_vault *vault, const dev_options *options, const char *operation, const char *params)
{
    founding f = {.vault = vault, .options = options};
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(key_path(vault, i, f.keys[i]));
    return carry(&f, operation, params);
}

lh_err dev_found(dev_vault *vault, const dev_options *options)
{
    founding f = {.vault = vault, .options = options};
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(key_path(vault, i, f.keys[i]));
    LH_TRY(found(&f));
    LH_TRY(set_references(&f));
    LH_TRY(carry(&f, "parent.create", "{\"name\": \"" PARENT "\"}"));
    return apply_policy(&f);
}

/* The name stands in JSON without escapes, so what would need one is told here. */
static lh_err create_partition(const founding *f, const char *name)
{
    LH_AUTO(lh_json_freep) json_t *params = json_pack("{s:s}", "name", name);
    char *text = params != NULL ? json_dumps(params, 0) : NULL;
    if (text == NULL || strchr(text, '\\') != NULL) {
        free(text);
        return LH_REFUSE(LH_E_INVALID, "partition-name",
            "--partition \"%s\": a name is 1 to 32 bytes of visible characters without \" and \\", name);
    }
    lh_err err = carry(f, "partition.create", text);
    free(text);
    return err;
}

lh_err dev_partitions_make(dev_vault *vault, const dev_options *options)
{
    founding f = {.vault = vault, .options = options};
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        LH_TRY(key_path(vault, i, f.keys[i]));
    for (size_t i = 0; i < options->n_partitions; i++)
        LH_TRY(create_partition(&f, options->partitions[i].label));
    if (options->n_partitions == 0)
        return LH_SUCCESS;
    if (setenv("LEASEHOLD_SOCKET", vault->socket, 1) != 0)
        return LH_RAISE(LH_E_NOMEM, errno);
    LH_TRY(dev_token_initialize(vault->module, options->partitions, options->n_partitions));
    return dev_check_stop(options);
}
