#include "agent/config.h"

#include "codec/schema.h"
#include "proc/service.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SOCKET_PATH_MAX 107 /* bytes: sun_path without its NUL */

static bool is_mode(const char *text)
{
    return strlen(text) == 4 && text[0] == '0' && strspn(text, "01234567") == 4;
}

static bool is_user(const char *text)
{
    return text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(text);
}

static bool is_tcti(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") > 0;
}

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

static const lh_schema vault_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_ADDRESS_TEXT,
    .check = lh_address_is,
    .expected = "HOST:PORT, [IPv6]:PORT, unix:/path or device:/dev/PATH"};
static const lh_schema key_schema = {.type = LH_SCHEMA_DIGEST};
static const lh_schema path_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_PATH - 256, /* room for the names of files in it */
    .check = lh_schema_is_absolute_path,
    .expected = "an absolute path without empty, \".\" or \"..\" parts"};
static const lh_schema socket_schema = {.type = LH_SCHEMA_STRING,
    .max = SOCKET_PATH_MAX,
    .check = lh_schema_is_absolute_path,
    .expected = "an absolute path of at most 107 bytes without empty, \".\" or \"..\" parts"};
static const lh_schema mode_schema = {
    .type = LH_SCHEMA_STRING, .max = 4, .check = is_mode, .expected = "an octal mode such as \"0666\""};
static const lh_schema tcti_schema = {
    .type = LH_SCHEMA_STRING, .max = 1024, .check = is_tcti, .expected = "a TCTI such as device:/dev/tpmrm0"};
static const lh_schema user_schema = {
    .type = LH_SCHEMA_STRING, .max = 64, .check = is_user, .expected = "a name of a user or group"};
static const lh_schema level_schema = {.type = LH_SCHEMA_ENUM, .names = level_names};
static const lh_schema_field config_fields[] = {
    {"vault", &vault_schema, false},
    {"vault_key", &key_schema, false},
    {"socket", &socket_schema, false},
    {"socket_mode", &mode_schema, false},
    {"tcti", &tcti_schema, false},
    {"state_dir", &path_schema, false},
    {"user", &user_schema, false},
    {"group", &user_schema, false},
    {"log_level", &level_schema, false},
    {"event_log", &path_schema, false},
    {"ima_log", &path_schema, false},
    {"pods", &path_schema, false},
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

/* The node's text, or the fallback where there is no node; NULL for none. */
static lh_err take_text(const lh_yaml_node *node, const char *fallback, char **ret)
{
    const char *text = lh_schema_string(node, fallback);
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = copy;
    return LH_SUCCESS;
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
    LH_TRY(take_text(event_log, LH_SERVICE_EVENT_LOG, &config->event_log));
    LH_TRY(take_text(ima_log, LH_SERVICE_IMA_LOG, &config->ima_log));
    LH_TRY(take_text(lh_yaml_get(root, "pods"), NULL, &config->pods));
    LH_TRY(take_text(lh_yaml_get(root, "socket"), "/run/leasehold/vault.sock", &config->socket));
    LH_TRY(take_text(lh_yaml_get(root, "tcti"), "device:/dev/tpmrm0", &config->tcti));
    LH_TRY(take_text(lh_yaml_get(root, "state_dir"), "/var/lib/leasehold-agent", &config->state_dir));
    LH_TRY(take_text(lh_yaml_get(root, "user"), "leasehold", &config->user));
    LH_TRY(take_text(lh_yaml_get(root, "group"), NULL, &config->group));
    const char *mode = lh_schema_string(lh_yaml_get(root, "socket_mode"), "0666");
    config->socket_mode = (unsigned)strtoul(mode, NULL, 8);
    config->log_level =
        (enum lh_level)lh_schema_enum(lh_yaml_get(root, "log_level"), level_names, LH_LEVEL_NOTICE);
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

/* Nothing but blank lines and comments. */
static bool is_blank(lh_bytes doc)
{
    bool comment = false;
    for (size_t i = 0; i < doc.len; i++) {
        uint8_t byte = doc.data[i];
        if (byte == '\n')
            comment = false;
        else if (byte == '#')
            comment = true;
        else if (!comment && byte != ' ' && byte != '\r')
            return false;
    }
    return true;
}

lh_err lh_agent_config_parse(lh_bytes doc, const char *file, lh_agent_config **ret, lh_problems *problems)
{
    lh_problems_set_file(problems, file);
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    LH_AUTO(lh_buf_free) lh_buf blank = LH_BUF_INIT(doc.len + 16);
    if (is_blank(
            doc)) { /* no document as YAML has it; the parser still checks what the comments are made of */
        lh_buf_append(&blank, doc.data, doc.len);
        lh_buf_append_str(&blank, "\n{}\n");
        LH_TRY(lh_buf_status(&blank));
        doc = lh_buf_bytes(&blank);
    }
    LH_TRY(lh_yaml_parse(doc, &yaml, problems));
    if (!lh_schema_walk(lh_yaml_root(yaml), &config_schema, problems))
        return lh_problems_status(problems, "configuration");
    return build(lh_yaml_root(yaml), ret);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

lh_err lh_agent_config_load(const char *path, lh_agent_config **ret, lh_problems *problems)
{
    LH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no configuration file %s", path);
    if (fd < 0)
        return LH_FAIL(LH_E_IO, "cannot open the configuration file %s: %s", path, strerrordesc_np(errno));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    for (;;) {
        uint8_t block[4096];
        ssize_t got = read(fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return LH_FAIL(
                LH_E_IO, "cannot read the configuration file %s: %s", path, strerrordesc_np(errno));
        if (got == 0)
            break;
        lh_buf_append(&text, block, (size_t)got);
        if (!lh_ok(lh_buf_status(&text)))
            return LH_FAIL(
                LH_E_LIMIT, "the configuration file %s has more than %d bytes", path, LH_LIMIT_DOCUMENT);
    }
    return lh_agent_config_parse(lh_buf_bytes(&text), path, ret, problems);
}
