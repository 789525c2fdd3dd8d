#include "daemon/config.h"

#include "codec/schema.h"
#include "daemon/net.h"
#include "proc/service.h"
#include "serve/settings.h"

#include <stdlib.h>

static const lh_schema users_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of names",
    .item = &lh_settings_user,
    .max = LH_CONFIG_ADMINS};
static const lh_schema_field admin_fields[] = {
    {"users", &users_schema, false}, {"groups", &users_schema, false}, {NULL, NULL, false}};
static const lh_schema admin_schema = {
    .type = LH_SCHEMA_MAP, .fields = admin_fields, .expected = "a map { users, groups }"};
static const lh_schema pcr_schema = {.type = LH_SCHEMA_INT, .min = 0, .max = 23};
static const lh_schema pcrs_schema = {
    .type = LH_SCHEMA_LIST, .expected = "a list of PCR numbers", .item = &pcr_schema, .min = 1, .max = 24};
static const lh_schema_field seal_fields[] = {{"pcrs", &pcrs_schema, true}, {NULL, NULL, false}};
static const lh_schema seal_schema = {
    .type = LH_SCHEMA_MAP, .fields = seal_fields, .expected = "a map { pcrs }"};
static const lh_schema address_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_LISTEN_TEXT,
    .check = lh_net_is_address,
    .expected = "an address and port such as \"192.0.2.1:7710\" or \"[2001:db8::1]:7710\", or \"unix:\" "
                "and an absolute path"};
static const lh_schema listen_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of addresses",
    .item = &address_schema,
    .max = LH_LIMIT_LISTEN};
static const lh_schema workers_schema = {.type = LH_SCHEMA_INT, .min = 0, .max = LH_CONFIG_WORKERS};
static const lh_schema interval_schema = {.type = LH_SCHEMA_DURATION, .min = 1, .max = 86400};
static const lh_schema flag_schema = {.type = LH_SCHEMA_BOOL};
static const lh_schema_field config_fields[] = {
    {"state_dir", &lh_settings_path, false},
    {"socket", &lh_settings_socket, false},
    {"socket_mode", &lh_settings_mode, false},
    {"tcti", &lh_settings_tcti, false},
    {"user", &lh_settings_user, false},
    {"group", &lh_settings_user, false},
    {"admin", &admin_schema, false},
    {"seal", &seal_schema, false},
    {"workers", &workers_schema, false},
    {"checkpoint_interval", &interval_schema, false},
    {"log_level", &lh_settings_level, false},
    {"ek_authorities", &lh_settings_path, false},
    {"pods", &lh_settings_path, false},
    {"event_log", &lh_settings_path, false},
    {"ima_log", &lh_settings_path, false},
    {"standalone_first", &flag_schema, false},
    {"blank", &flag_schema, false},
    {"legacy", &flag_schema, false},
    {"listen", &listen_schema, false},
    {NULL, NULL, false},
};
static const lh_schema config_schema = {
    .type = LH_SCHEMA_MAP, .fields = config_fields, .expected = "a configuration"};

static void free_list(char **list, size_t count)
{
    for (size_t i = 0; i < count && list != NULL; i++)
        free(list[i]);
    free(list);
}

void lh_config_free(lh_config *config)
{
    if (config == NULL)
        return;
    free(config->state_dir);
    free(config->socket);
    free(config->tcti);
    free(config->user);
    free(config->group);
    free(config->ek_authorities);
    free(config->pods);
    free(config->event_log);
    free(config->ima_log);
    free_list(config->admin_users, config->admin_user_count);
    free_list(config->admin_groups, config->admin_group_count);
    free_list(config->listen, config->listen_count);
    free(config);
}

/* ret_named: it is in the file. */
static lh_err take_log(const lh_yaml_node *node, const char *fallback, char **ret, bool *ret_named)
{
    *ret_named = node != NULL;
    return lh_settings_text(node, fallback, ret);
}

static lh_err take_names(const lh_yaml_node *list, const char *fallback, char ***ret, size_t *ret_count)
{
    size_t room = list != NULL ? lh_yaml_node_count(list) : 1;
    *ret = calloc(room + 1, sizeof(**ret));
    if (*ret == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (list == NULL && fallback != NULL) {
        LH_TRY(lh_settings_text(NULL, fallback, &(*ret)[0]));
        *ret_count = 1;
    }
    const lh_yaml_node *at = list != NULL ? lh_yaml_node_first(list) : NULL;
    for (; at != NULL; at = lh_yaml_node_next(at)) {
        LH_TRY(lh_settings_text(at, NULL, &(*ret)[*ret_count]));
        (*ret_count)++;
    }
    return LH_SUCCESS;
}

/* root NULL: the defaults. */
static lh_err build(const lh_yaml_node *root, lh_config **ret)
{
    LH_AUTO(lh_config_freep) lh_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_settings_text(lh_yaml_get(root, "state_dir"), "/var/lib/leasehold", &config->state_dir));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "socket"), "/run/leasehold/vault.sock", &config->socket));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "tcti"), "device:/dev/tpmrm0", &config->tcti));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "user"), "leasehold", &config->user));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "group"), NULL, &config->group));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "ek_authorities"), NULL, &config->ek_authorities));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "pods"), NULL, &config->pods));
    LH_TRY(take_log(
        lh_yaml_get(root, "event_log"), LH_SERVICE_EVENT_LOG, &config->event_log, &config->event_log_named));
    LH_TRY(
        take_log(lh_yaml_get(root, "ima_log"), LH_SERVICE_IMA_LOG, &config->ima_log, &config->ima_log_named));
    const lh_yaml_node *admin = lh_yaml_get(root, "admin");
    LH_TRY(take_names(lh_yaml_get(admin, "users"), "root", &config->admin_users, &config->admin_user_count));
    LH_TRY(take_names(lh_yaml_get(admin, "groups"), NULL, &config->admin_groups, &config->admin_group_count));
    LH_TRY(take_names(lh_yaml_get(root, "listen"), NULL, &config->listen, &config->listen_count));
    const lh_yaml_node *pcrs = lh_yaml_get(lh_yaml_get(root, "seal"), "pcrs");
    const lh_yaml_node *at = pcrs != NULL ? lh_yaml_node_first(pcrs) : NULL;
    for (; at != NULL; at = lh_yaml_node_next(at))
        config->seal_pcrs |= UINT32_C(1) << lh_schema_int(at, 0);
    if (pcrs == NULL)
        config->seal_pcrs = UINT32_C(1) << 7;
    config->socket_mode = lh_settings_mode_of(lh_yaml_get(root, "socket_mode"), "0666");
    config->workers = (unsigned)lh_schema_int(lh_yaml_get(root, "workers"), 0);
    config->checkpoint_interval = lh_schema_duration(lh_yaml_get(root, "checkpoint_interval"), 60);
    config->log_level = lh_settings_level_of(lh_yaml_get(root, "log_level"));
    config->standalone_first = lh_schema_bool(lh_yaml_get(root, "standalone_first"), false);
    config->blank = lh_schema_bool(lh_yaml_get(root, "blank"), false);
    config->legacy = lh_schema_bool(lh_yaml_get(root, "legacy"), false);
    *ret = LH_TAKE(config);
    return LH_SUCCESS;
}

lh_err lh_config_check(const lh_config *config, bool development)
{
    if (development || (!config->blank && !config->legacy))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_INVALID, "development-only",
        "%s: true is for development vaults only (leaseholdd --dev)", config->blank ? "blank" : "legacy");
}

lh_err lh_config_defaults(lh_config **ret)
{
    return build(NULL, ret);
}

lh_err lh_config_parse(lh_bytes doc, const char *file, lh_config **ret, lh_problems *problems)
{
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    LH_TRY(lh_settings_parse(doc, file, &config_schema, &yaml, problems));
    return build(lh_yaml_root(yaml), ret);
}

lh_err lh_config_load(const char *path, lh_config **ret, lh_problems *problems)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(lh_settings_read(path, &text));
    return lh_config_parse(lh_buf_bytes(&text), path, ret, problems);
}
