/* The table of admin calls: one row each. */
#include "admin/call.h"
#include "base/limits.h"

#define REQUIRED true
#define OPTIONAL false
#define TEXT(name, need, bytes)                                                                              \
    {                                                                                                        \
        name, LH_ADMIN_TEXT, need, bytes, 0, NULL                                                            \
    }
#define LINE(name, need, bytes)                                                                              \
    {                                                                                                        \
        name, LH_ADMIN_LINE, need, bytes, 0, NULL                                                            \
    }
#define HEX(name, need, bytes)                                                                               \
    {                                                                                                        \
        name, LH_ADMIN_HEX, need, bytes, 0, NULL                                                             \
    }
#define NUMBER(name, need, highest)                                                                          \
    {                                                                                                        \
        name, LH_ADMIN_NUMBER, need, highest, 0, NULL                                                        \
    }
#define BOOL(name, need)                                                                                     \
    {                                                                                                        \
        name, LH_ADMIN_BOOL, need, 0, 0, NULL                                                                \
    }
#define OBJECT(name, need, fields)                                                                           \
    {                                                                                                        \
        name, LH_ADMIN_OBJECT, need, 0, 0, fields                                                            \
    }
#define LIST(name, need, count, fields)                                                                      \
    {                                                                                                        \
        name, LH_ADMIN_LIST, need, count, 0, fields                                                          \
    }
#define STRINGS(name, need, count, bytes)                                                                    \
    {                                                                                                        \
        name, LH_ADMIN_STRINGS, need, count, bytes, NULL                                                     \
    }
#define NUMBERS(name, need, count, highest)                                                                  \
    {                                                                                                        \
        name, LH_ADMIN_NUMBERS, need, count, highest, NULL                                                   \
    }
#define END                                                                                                  \
    {                                                                                                        \
        NULL, LH_ADMIN_TEXT, false, 0, 0, NULL                                                               \
    }

#define ANY_NUMBER INT64_MAX
#define ANY_TEXT LH_LIMIT_MESSAGE
#define PAGE 4096 /* elements of a list in one reply */
#define TIME 32
#define PCRS 24
#define AK_NAME 34 /* bytes of a Name */

#define NAME(name, need) LINE(name, need, LH_LIMIT_NAME)
#define WORKLOAD(name, need) LINE(name, need, LH_LIMIT_SPIFFE_ID)
#define FIELDS(noun) static const lh_admin_field noun[]

FIELDS(nothing) = {END};

/* Parts that several calls share. */
FIELDS(officer) = {
    NAME("name", REQUIRED),
    STRINGS("keys", REQUIRED, LH_LIMIT_OFFICER_KEYS, LH_LIMIT_PUBLIC_KEY),
    END,
};
FIELDS(officer_status) = {
    NAME("name", REQUIRED),
    STRINGS("keys", OPTIONAL, LH_LIMIT_OFFICER_KEYS, LH_LIMIT_PUBLIC_KEY),
    BOOL("signed", OPTIONAL),
    END,
};
FIELDS(approval) = {
    NAME("officer", REQUIRED),
    LINE("verb", REQUIRED, 16),
    LINE("time", OPTIONAL, TIME),
    END,
};
/* What `proposals` tells of each. */
FIELDS(proposal_line) = {
    HEX("id", REQUIRED, 16),
    LINE("operation", REQUIRED, 64),
    LINE("requester", REQUIRED, LH_LIMIT_NAME),
    LINE("reason", OPTIONAL, LH_LIMIT_TEXT_LINE),
    LINE("created", OPTIONAL, TIME),
    LINE("not_before", OPTIONAL, TIME),
    LINE("not_after", REQUIRED, TIME),
    LINE("state", REQUIRED, 16),
    LIST("approvals", REQUIRED, PAGE, approval),
    NUMBER("needed", REQUIRED, LH_LIMIT_OFFICERS),
    END,
};
/* All that the approval text is made of. */
FIELDS(proposal) = {
    HEX("id", REQUIRED, 16),
    LINE("operation", REQUIRED, 64),
    TEXT("params", REQUIRED, LH_LIMIT_DOCUMENT),
    HEX("vault", REQUIRED, 32),
    NUMBER("sequence", REQUIRED, ANY_NUMBER),
    HEX("state_hash", REQUIRED, 32),
    LINE("requester", REQUIRED, LH_LIMIT_NAME),
    HEX("officers_digest", REQUIRED, 32),
    NUMBER("threshold", REQUIRED, LH_LIMIT_OFFICERS),
    NUMBER("officers_count", REQUIRED, LH_LIMIT_OFFICERS),
    NUMBER("object_version", REQUIRED, ANY_NUMBER),
    HEX("nonce", REQUIRED, 16),
    LINE("not_before", REQUIRED, TIME),
    LINE("not_after", REQUIRED, TIME),
    LINE("reason", REQUIRED, LH_LIMIT_TEXT_LINE),
    LIST("approvals", REQUIRED, PAGE, approval),
    NUMBER("needed", REQUIRED, LH_LIMIT_OFFICERS),
    LINE("state", REQUIRED, 16),
    END,
};
FIELDS(by_id) = {HEX("id", REQUIRED, 16), END};
FIELDS(with_all) = {BOOL("all", OPTIONAL), END};

/* status */
FIELDS(tpm_status) = {
    TEXT("manufacturer", OPTIONAL, 64),
    TEXT("vendor", OPTIONAL, 64),
    TEXT("firmware", OPTIONAL, 64),
    END,
};
FIELDS(log_status) = {NUMBER("size", REQUIRED, ANY_NUMBER), HEX("root", REQUIRED, 32), END};
FIELDS(seal_status) = {NUMBERS("pcrs", OPTIONAL, PCRS, PCRS - 1), END};
FIELDS(reference_status) = {
    BOOL("set", REQUIRED),
    BOOL("ok", OPTIONAL),
    TEXT("message", OPTIONAL, ANY_TEXT),
    END,
};
FIELDS(net_status) = {
    STRINGS("listen", REQUIRED, LH_LIMIT_LISTEN, LH_LIMIT_LISTEN_TEXT),
    TEXT("key", OPTIONAL, 71),
    END,
};
FIELDS(status_reply) = {
    LINE("state", REQUIRED, 16),
    LINE("reason", OPTIONAL, 64),
    TEXT("message", OPTIONAL, 1024),
    TEXT("vault", OPTIONAL, 64),
    TEXT("environment", OPTIONAL, 32),
    LINE("version", OPTIONAL, 64),
    BOOL("software_tpm", OPTIONAL),
    OBJECT("tpm", OPTIONAL, tpm_status),
    TEXT("ak", OPTIONAL, LH_LIMIT_TPM_PUBLIC * 2),
    LIST("officers", OPTIONAL, LH_LIMIT_OFFICERS, officer_status),
    NUMBER("threshold", OPTIONAL, LH_LIMIT_OFFICERS),
    NUMBER("sequence", OPTIONAL, ANY_NUMBER),
    TEXT("state_hash", OPTIONAL, 64),
    OBJECT("log", OPTIONAL, log_status),
    NUMBER("leases", OPTIONAL, ANY_NUMBER),
    OBJECT("seal", OPTIONAL, seal_status),
    OBJECT("reference", OPTIONAL, reference_status),
    TEXT("assurance", OPTIONAL, 32),
    OBJECT("net", OPTIONAL, net_status),
    END,
};

/* init, genesis */
FIELDS(init_request) = {
    LIST("officers", REQUIRED, LH_LIMIT_OFFICERS, officer),
    NUMBER("threshold", REQUIRED, LH_LIMIT_OFFICERS),
    NUMBERS("seal_pcrs", OPTIONAL, PCRS, PCRS - 1),
    END,
};
FIELDS(init_reply) = {HEX("vault", REQUIRED, 32), TEXT("text", REQUIRED, ANY_TEXT), END};
FIELDS(genesis_show_reply) = {
    TEXT("text", REQUIRED, ANY_TEXT),
    HEX("vault", REQUIRED, 32),
    STRINGS("signed", REQUIRED, LH_LIMIT_OFFICERS, LH_LIMIT_NAME),
    STRINGS("missing", REQUIRED, LH_LIMIT_OFFICERS, LH_LIMIT_NAME),
    END,
};
FIELDS(genesis_sign_request) = {TEXT("signature", REQUIRED, LH_LIMIT_SIGNATURE), END};
FIELDS(genesis_sign_reply) = {
    NAME("officer", REQUIRED),
    STRINGS("missing", REQUIRED, LH_LIMIT_OFFICERS, LH_LIMIT_NAME),
    LINE("state", REQUIRED, 16),
    END,
};

/* proposals */
FIELDS(propose_request) = {
    LINE("operation", REQUIRED, 64),
    TEXT("params", REQUIRED, LH_LIMIT_DOCUMENT),
    LINE("requester", REQUIRED, LH_LIMIT_NAME),
    LINE("reason", REQUIRED, LH_LIMIT_TEXT_LINE),
    NUMBER("life", OPTIONAL, LH_LIMIT_PROPOSAL_LIFE),
    END,
};
/* The text where it fits beside the parameters; whoever signs makes it from the fields anyway. */
FIELDS(proposal_reply) = {
    OBJECT("proposal", REQUIRED, proposal),
    TEXT("text", OPTIONAL, ANY_TEXT),
    HEX("text_sha256", OPTIONAL, 32),
    END,
};
FIELDS(proposals_reply) = {LIST("proposals", REQUIRED, PAGE, proposal_line), END};
FIELDS(vote_request) = {
    HEX("id", REQUIRED, 16),
    LINE("verb", REQUIRED, 16),
    TEXT("signature", REQUIRED, LH_LIMIT_SIGNATURE),
    END,
};
FIELDS(vote_reply) = {
    NAME("officer", REQUIRED),
    LIST("approvals", REQUIRED, PAGE, approval),
    NUMBER("needed", REQUIRED, LH_LIMIT_OFFICERS),
    LINE("state", OPTIONAL, 16),
    OBJECT("result", OPTIONAL, NULL),
    END,
};

/* policy, references, explain */
FIELDS(policy_reply) = {
    TEXT("policy", REQUIRED, LH_LIMIT_DOCUMENT),
    NUMBER("version", REQUIRED, ANY_NUMBER),
    END,
};
FIELDS(references_reply) = {
    TEXT("references", REQUIRED, LH_LIMIT_DOCUMENT),
    NUMBER("version", REQUIRED, ANY_NUMBER),
    END,
};
FIELDS(template_request) = {NUMBERS("pcrs", OPTIONAL, PCRS, PCRS - 1), END};
FIELDS(template_reply) = {TEXT("references", REQUIRED, LH_LIMIT_DOCUMENT), END};
/* A set of files, in parts: data is base64. */
FIELDS(upload_request) = {
    HEX("files", REQUIRED, 32),
    NUMBER("size", REQUIRED, LH_LIMIT_FILESET),
    NUMBER("offset", REQUIRED, LH_LIMIT_FILESET),
    TEXT("data", REQUIRED, 4 * (LH_LIMIT_FILESET_PART / 3 + 1)),
    END,
};
FIELDS(upload_reply) = {BOOL("complete", REQUIRED), END};
FIELDS(file_set) = {
    HEX("files", REQUIRED, 32),
    NUMBER("count", REQUIRED, ANY_NUMBER),
    NUMBER("events", REQUIRED, ANY_NUMBER),
    NUMBER("bytes", REQUIRED, ANY_NUMBER),
    END,
};
FIELDS(file_sets_reply) = {LIST("sets", REQUIRED, PAGE, file_set), END};
FIELDS(explain_request) = {
    LINE("role", REQUIRED, LH_LIMIT_NAME),
    NUMBER("pid", OPTIONAL, INT32_MAX),
    LINE("host", OPTIONAL, LH_LIMIT_NAME),
    LINE("mechanism", OPTIONAL, LH_LIMIT_NAME),
    LINE("use", OPTIONAL, 16),
    END,
};
FIELDS(explain_reply) = {
    BOOL("allowed", REQUIRED),
    TEXT("reason", OPTIONAL, 64),
    TEXT("rule", OPTIONAL, 1024),
    TEXT("text", REQUIRED, ANY_TEXT),
    END,
};
FIELDS(refusal) = {
    LINE("time", REQUIRED, TIME),
    LINE("host", OPTIONAL, LH_LIMIT_NAME),
    NUMBER("pid", OPTIONAL, INT32_MAX),
    NUMBER("uid", OPTIONAL, UINT32_MAX),
    TEXT("exe", OPTIONAL, LH_LIMIT_PATH),
    TEXT("role", OPTIONAL, LH_LIMIT_NAME),
    TEXT("reason", OPTIONAL, 64),
    TEXT("rule", OPTIONAL, 1024),
    TEXT("text", OPTIONAL, ANY_TEXT),
    END,
};
FIELDS(refusals_reply) = {LIST("refusals", REQUIRED, PAGE, refusal), END};

/* keys, leases, holds */
FIELDS(parent) = {
    NAME("name", REQUIRED),
    NUMBER("version", OPTIONAL, ANY_NUMBER),
    LINE("created", OPTIONAL, TIME),
    END,
};
FIELDS(role) = {
    NAME("role", REQUIRED),
    LINE("key", REQUIRED, 32),
    LINE("per", REQUIRED, 16),
    NAME("parent", OPTIONAL),
    STRINGS("allow", OPTIONAL, PAGE, 64),
    NUMBER("ttl", OPTIONAL, ANY_NUMBER),
    NUMBER("max_ttl", OPTIONAL, ANY_NUMBER),
    NUMBER("uses", OPTIONAL, ANY_NUMBER),
    STRINGS("workloads", OPTIONAL, LH_LIMIT_WORKLOADS, LH_LIMIT_SPIFFE_ID),
    END,
};
/* One of a chain beside a leased key; the key's own comes first. */
FIELDS(key_certificate) = {
    NAME("role", REQUIRED),
    WORKLOAD("workload", REQUIRED),
    LINE("subject", REQUIRED, 512),
    LINE("not_after", OPTIONAL, TIME),
    END,
};
/* more: there are other certificates, which did not fit. */
FIELDS(keys_reply) = {
    LIST("parents", REQUIRED, PAGE, parent),
    LIST("roles", REQUIRED, LH_LIMIT_ROLES, role),
    LIST("certificates", OPTIONAL, PAGE, key_certificate),
    BOOL("more", OPTIONAL),
    END,
};
FIELDS(key_public_request) = {NAME("role", REQUIRED), WORKLOAD("workload", REQUIRED), END};
FIELDS(key_public_reply) = {TEXT("pem", REQUIRED, 4096), TEXT("ssh", OPTIONAL, 4096), END};
FIELDS(lease) = {
    HEX("id", REQUIRED, 16),
    NAME("role", REQUIRED),
    WORKLOAD("workload", REQUIRED),
    LINE("host", OPTIONAL, LH_LIMIT_NAME),
    LINE("source", OPTIONAL, 64),
    NUMBER("pid", OPTIONAL, INT32_MAX),
    NUMBER("uid", OPTIONAL, UINT32_MAX),
    LINE("issued", OPTIONAL, TIME),
    LINE("expires", OPTIONAL, TIME),
    LINE("not_after", OPTIONAL, TIME),
    NUMBER("uses", OPTIONAL, ANY_NUMBER),
    NUMBER("used", OPTIONAL, ANY_NUMBER),
    LINE("state", REQUIRED, 16),
    TEXT("reason", OPTIONAL, 512),
    TEXT("assurance", OPTIONAL, 32),
    END,
};
/* more: there are others, which did not fit. */
FIELDS(leases_reply) = {LIST("leases", REQUIRED, PAGE, lease), BOOL("more", OPTIONAL), END};
FIELDS(lease_show_reply) = {
    OBJECT("lease", REQUIRED, lease),
    HEX("vault", OPTIONAL, 32),
    TEXT("evidence", OPTIONAL, ANY_TEXT),
    TEXT("facts", OPTIONAL, ANY_TEXT),
    END,
};
FIELDS(hold) = {
    LINE("id", REQUIRED, 64),
    WORKLOAD("workload", OPTIONAL),
    NAME("role", OPTIONAL),
    LINE("lease", OPTIONAL, 64),
    NAME("host", OPTIONAL),
    LINE("placed", OPTIONAL, TIME),
    LINE("officer", OPTIONAL, LH_LIMIT_NAME),
    TEXT("reason", OPTIONAL, LH_LIMIT_TEXT_LINE),
    END,
};
FIELDS(holds_reply) = {LIST("holds", REQUIRED, PAGE, hold), END};

/* partitions */
FIELDS(pin_status) = {
    BOOL("set", REQUIRED),
    NUMBER("failures", REQUIRED, ANY_NUMBER),
    BOOL("locked", REQUIRED),
    NUMBER("wait_ms", REQUIRED, ANY_NUMBER),
    END,
};
FIELDS(partition) = {
    LINE("name", REQUIRED, LH_LIMIT_PARTITION_NAME),
    NUMBER("number", REQUIRED, ANY_NUMBER),
    LINE("so", REQUIRED, 16),
    NUMBERS("users", REQUIRED, LH_LIMIT_PARTITION_USERS, UINT32_MAX),
    STRINGS("workloads", REQUIRED, LH_LIMIT_WORKLOADS, LH_LIMIT_SPIFFE_ID),
    STRINGS("legacy", REQUIRED, PAGE, 64),
    BOOL("initialized", OPTIONAL),
    BOOL("blank", OPTIONAL),
    TEXT("label", OPTIONAL, LH_LIMIT_PARTITION_NAME),
    TEXT("serial", OPTIONAL, 32),
    LINE("created", OPTIONAL, TIME),
    NUMBER("objects", OPTIONAL, ANY_NUMBER),
    NUMBER("keys", OPTIONAL, ANY_NUMBER),
    NUMBER("bytes", OPTIONAL, ANY_NUMBER),
    NUMBER("logins", OPTIONAL, ANY_NUMBER),
    OBJECT("so_pin", OPTIONAL, pin_status),
    OBJECT("user_pin", OPTIONAL, pin_status),
    END,
};
FIELDS(partition_list_reply) = {LIST("partitions", REQUIRED, PAGE, partition), BOOL("more", OPTIONAL), END};
FIELDS(partition_show_request) = {LINE("name", REQUIRED, LH_LIMIT_PARTITION_NAME), END};
FIELDS(partition_show_reply) = {OBJECT("partition", REQUIRED, partition), END};

/* hosts */
FIELDS(ek_certificate) = {
    TEXT("subject", REQUIRED, ANY_TEXT),
    TEXT("issuer", REQUIRED, ANY_TEXT),
    TEXT("serial", REQUIRED, ANY_TEXT),
    LINE("not_after", OPTIONAL, TIME),
    END,
};
FIELDS(host) = {
    NAME("name", REQUIRED),
    NUMBER("version", REQUIRED, ANY_NUMBER),
    LINE("ek_kind", REQUIRED, 16),
    HEX("ek_sha256", REQUIRED, 32),
    LINE("ek_proof", REQUIRED, 16),
    LINE("ak_name", REQUIRED, 2 * AK_NAME),
    HEX("channel_key", REQUIRED, 32),
    NAME("reference", OPTIONAL),
    OBJECT("labels", REQUIRED, NULL),
    BOOL("connected", OPTIONAL),
    LIST("certificates", OPTIONAL, LH_LIMIT_EK_CERTIFICATES, ek_certificate),
    OBJECT("live", OPTIONAL, NULL),
    END,
};
FIELDS(host_list_request) = {NAME("after", OPTIONAL), END};
FIELDS(host_list_reply) = {LIST("hosts", REQUIRED, LH_LIMIT_HOSTS, host), BOOL("more", OPTIONAL), END};
FIELDS(host_show_request) = {NAME("name", REQUIRED), END};
FIELDS(host_show_reply) = {OBJECT("host", REQUIRED, host), END};

/* log */
FIELDS(log_show_request) = {
    NUMBER("from", OPTIONAL, ANY_NUMBER),
    NUMBER("count", OPTIONAL, PAGE),
    END,
};
FIELDS(log_entry) = {
    NUMBER("index", REQUIRED, ANY_NUMBER),
    HEX("salt", REQUIRED, 32),
    TEXT("entry", REQUIRED, LH_LIMIT_DOCUMENT),
    END,
};
FIELDS(log_show_reply) = {
    NUMBER("size", REQUIRED, ANY_NUMBER),
    LIST("entries", REQUIRED, PAGE, log_entry),
    END,
};
FIELDS(log_leaves_request) = {
    NUMBER("from", REQUIRED, ANY_NUMBER),
    NUMBER("count", REQUIRED, PAGE),
    END,
};
FIELDS(log_leaves_reply) = {
    NUMBER("size", REQUIRED, ANY_NUMBER),
    STRINGS("leaves", REQUIRED, PAGE, 64),
    END,
};
FIELDS(log_checkpoint_reply) = {TEXT("note", REQUIRED, 8192), END};
FIELDS(log_checkpoints_reply) = {STRINGS("notes", REQUIRED, PAGE, 8192), END};
FIELDS(log_keys_reply) = {
    LINE("origin", REQUIRED, 128),
    LINE("ed25519", REQUIRED, 1024),
    LINE("p256", REQUIRED, 1024),
    END,
};
FIELDS(log_problem) = {TEXT("place", REQUIRED, 512), TEXT("message", REQUIRED, 1024), END};
FIELDS(log_checked) = {
    NUMBER("records", OPTIONAL, ANY_NUMBER),
    NUMBER("entries", OPTIONAL, ANY_NUMBER),
    NUMBER("configuration", OPTIONAL, ANY_NUMBER),
    END,
};
FIELDS(log_verify_reply) = {
    BOOL("good", REQUIRED),
    LIST("problems", REQUIRED, PAGE, log_problem),
    OBJECT("checked", OPTIONAL, log_checked),
    END,
};

static const lh_admin_call table[] = {
    {"status", LH_ADMIN_ANYONE, nothing, status_reply},
    {"init", LH_ADMIN_ADMIN, init_request, init_reply},
    {"genesis.show", LH_ADMIN_ADMIN, nothing, genesis_show_reply},
    {"genesis.sign", LH_ADMIN_ADMIN, genesis_sign_request, genesis_sign_reply},
    {"propose", LH_ADMIN_ADMIN, propose_request, proposal_reply},
    {"proposals", LH_ADMIN_ADMIN, with_all, proposals_reply},
    {"proposal.show", LH_ADMIN_ADMIN, by_id, proposal_reply},
    {"proposal.vote", LH_ADMIN_ADMIN, vote_request, vote_reply},
    {"policy.show", LH_ADMIN_ADMIN, nothing, policy_reply},
    {"references.show", LH_ADMIN_ADMIN, nothing, references_reply},
    {"references.template", LH_ADMIN_ADMIN, template_request, template_reply},
    {"reference.upload", LH_ADMIN_ADMIN, upload_request, upload_reply},
    {"reference.list", LH_ADMIN_ADMIN, nothing, file_sets_reply},
    {"explain", LH_ADMIN_ANYONE, explain_request, explain_reply},
    {"refusals", LH_ADMIN_ANYONE, nothing, refusals_reply},
    {"keys", LH_ADMIN_ADMIN, nothing, keys_reply},
    {"key.public", LH_ADMIN_ADMIN, key_public_request, key_public_reply},
    {"leases", LH_ADMIN_ADMIN, with_all, leases_reply},
    {"lease.show", LH_ADMIN_ADMIN, by_id, lease_show_reply},
    {"lease.end", LH_ADMIN_ADMIN, by_id, nothing},
    {"holds", LH_ADMIN_ADMIN, nothing, holds_reply},
    {"partition.list", LH_ADMIN_ADMIN, nothing, partition_list_reply},
    {"partition.show", LH_ADMIN_ADMIN, partition_show_request, partition_show_reply},
    {"host.list", LH_ADMIN_ADMIN, host_list_request, host_list_reply},
    {"host.show", LH_ADMIN_ADMIN, host_show_request, host_show_reply},
    {"log.show", LH_ADMIN_ADMIN, log_show_request, log_show_reply},
    {"log.leaves", LH_ADMIN_ADMIN, log_leaves_request, log_leaves_reply},
    {"log.checkpoint", LH_ADMIN_ADMIN, nothing, log_checkpoint_reply},
    {"log.checkpoints", LH_ADMIN_ADMIN, nothing, log_checkpoints_reply},
    {"log.keys", LH_ADMIN_ADMIN, nothing, log_keys_reply},
    {"log.verify", LH_ADMIN_ADMIN, nothing, log_verify_reply},
};

const lh_admin_call *lh_admin_call_find(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(table); i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

const lh_admin_call *lh_admin_calls(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(table);
    return table;
}
