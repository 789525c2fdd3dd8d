#include "agent/config.h"

#include "codec/schema.h"
#include "proc/service.h"
#include "serve/settings.h"

static const lh_schema vault_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_ADDRESS_TEXT,
    .check = lh_address_is,
    .expected = "HOST:PORT, [IPv6]:PORT, unix:/path or device:/dev/PATH"};
static const lh_schema key_schema = {.type = LH_SCHEMA_DIGEST};
static const lh_schema_field config_fields[] = {
    {"vault", &vault_schema, false},
    {"vault_key", &key_schema, false},
    {"socket", &lh_settings_socket, false},
    {"socket_mode", &lh_settings_mode, false},
    {"tcti", &lh_settings_tcti, false},
    {"state_dir", &lh_settings_path, false},
    {"user", &lh_settings_user, false},
    {"group", &lh_settings_user, false},
    {"log_level", &lh_settings_level, false},
    {"event_log", &lh_settings_path, false},
    {"ima_log", &lh_settings_path, false},
    {"pods", &lh_settings_path, false},
    {NULL, NULL, false},
};
static const lh_schema config_schema = {
    .type = LH_SCHEMA_MAP, .fields = config_fields, .expected = "a configuration"};

void lh_agent_config_free(lh_agent_config *config)
{
    if (config == NULL)
        return;
    free(config->socket);
    free(config->tcti);
    free(config->state_dir);
    free(config->user);
    free(config->group);
    free(config->event_log);
    free(config->ima_log);
    free(config->pods);
    free(config);
}

/* root NULL: the defaults. */
static lh_err build(const lh_yaml_node *root, lh_agent_config **ret)
{
    LH_AUTO(lh_agent_config_freep) lh_agent_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    const lh_yaml_node *vault = lh_yaml_get(root, "vault");
    config->have_vault = vault != NULL;
    if (vault != NULL)
        LH_TRY(lh_address_parse(lh_schema_string(vault, ""), &config->vault));
    const lh_yaml_node *key = lh_yaml_get(root, "vault_key");
    config->have_vault_key = key != NULL;
    if (key != NULL)
        lh_schema_digest(key, config->vault_key);
    const lh_yaml_node *event_log = lh_yaml_get(root, "event_log");
    const lh_yaml_node *ima_log = lh_yaml_get(root, "ima_log");
    config->event_log_named = event_log != NULL;
    config->ima_log_named = ima_log != NULL;
    LH_TRY(lh_settings_text(event_log, LH_SERVICE_EVENT_LOG, &config->event_log));
    LH_TRY(lh_settings_text(ima_log, LH_SERVICE_IMA_LOG, &config->ima_log));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "pods"), NULL, &config->pods));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "socket"), "/run/leasehold/vault.sock", &config->socket));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "tcti"), "device:/dev/tpmrm0", &config->tcti));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "state_dir"), "/var/lib/leasehold-agent", &config->state_dir));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "user"), "leasehold", &config->user));
    LH_TRY(lh_settings_text(lh_yaml_get(root, "group"), NULL, &config->group));
    config->socket_mode = lh_settings_mode_of(lh_yaml_get(root, "socket_mode"), "0666");
    config->log_level = lh_settings_level_of(lh_yaml_get(root, "log_level"));
    *ret = LH_TAKE(config);
    return LH_SUCCESS;
}

lh_err lh_agent_config_check(const lh_agent_config *config)
{
    if (!config->have_vault)
        return LH_REFUSE(LH_E_INVALID, "vault-missing",
            "the configuration does not say where the vault is (vault: HOST:PORT)");
    if (!config->have_vault_key)
        return LH_REFUSE(LH_E_INVALID, "vault-key-missing",
            "the configuration does not say by which key the vault is known (vault_key: sha256:…, as "
            "`leasehold "
            "status` shows it on the vault's host)");
    return LH_SUCCESS;
}

lh_err lh_agent_config_defaults(lh_agent_config **ret)
{
    return build(NULL, ret);
}

lh_err lh_agent_config_parse(lh_bytes doc, const char *file, lh_agent_config **ret, lh_problems *problems)
{
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    LH_TRY(lh_settings_parse(doc, file, &config_schema, &yaml, problems));
    return build(lh_yaml_root(yaml), ret);
}

lh_err lh_agent_config_load(const char *path, lh_agent_config **ret, lh_problems *problems)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(lh_settings_read(path, &text));
    return lh_agent_config_parse(lh_buf_bytes(&text), path, ret, problems);
}
